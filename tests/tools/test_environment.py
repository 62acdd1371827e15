"""Setting up the Makefile's virtual environments."""

import os
import sys
import threading
from pathlib import Path

import pytest

from tools import environment


def test_concurrent_makes_set_up_an_environment_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "requirements.txt"
    source.touch()
    folder = tmp_path / ".venv" / "run"
    made: list[Path] = []
    waiting = threading.Event()

    def make(folder: Path, sources: list[Path]) -> None:
        made.append(folder)
        assert waiting.wait(60)
        folder.mkdir()

    said = environment._say

    def say(text: str) -> None:
        said(text)
        if "waiting for another make" in text:
            waiting.set()

    monkeypatch.setattr(environment, "_make", make)
    monkeypatch.setattr(environment, "_say", say)
    monkeypatch.setattr(sys, "argv", ["environment.py", str(folder), str(source)])
    both = [threading.Thread(target=environment.main) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert made == [folder]
    assert (folder / ".made").exists()
    output = capsys.readouterr().out
    assert f"setting up {folder} with {sys.executable} (about 130 MB)" in output
    assert f"waiting for another make that is setting up {folder}" in output


def test_environment_is_rebuilt_when_a_source_is_newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    monkeypatch.setattr(environment, "_make", lambda folder, _: (folder.mkdir(exist_ok=True), made.append(folder)))
    source = tmp_path / "requirements.txt"
    source.touch()
    folder = tmp_path / "sam"
    monkeypatch.setattr(sys, "argv", ["environment.py", str(folder), str(source)])
    environment.main()
    environment.main()
    assert len(made) == 1
    newer = (folder / ".made").stat().st_mtime + 1
    os.utime(source, (newer, newer))
    environment.main()
    assert len(made) == 2


def test_failed_installation_shows_what_pip_printed(tmp_path: Path) -> None:
    pip = tmp_path / "bin" / "python"
    pip.parent.mkdir()
    pip.write_text("#!/bin/sh\necho 'no such package'\nexit 1\n")
    pip.chmod(0o755)
    with pytest.raises(SystemExit, match=r"cannot set up .*:\nno such package"):
        environment._install(tmp_path, 1, "-r", "requirements.txt")
