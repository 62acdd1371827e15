"""Setting up the Makefile's virtual environments."""

import os
import sys
import threading
from pathlib import Path

import pytest

from tools import environment


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The requirements and the folder of an environment, which are the program's arguments."""
    source, folder = tmp_path / "requirements.txt", tmp_path / "run"
    source.touch()
    monkeypatch.setattr(sys, "argv", ["environment.py", str(folder), str(source)])
    return source, folder


def test_concurrent_makes_set_up_an_environment_once(
    settings: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = settings
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


def test_environment_is_rebuilt_when_a_source_is_newer(
    settings: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    monkeypatch.setattr(environment, "_make", lambda folder, _: (folder.mkdir(exist_ok=True), made.append(folder)))
    source, folder = settings
    environment.main()
    environment.main()
    assert len(made) == 1
    newer = (folder / ".made").stat().st_mtime + 1
    os.utime(source, (newer, newer))
    environment.main()
    assert len(made) == 2
