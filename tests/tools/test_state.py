"""Ownership, permissions and format of the local server's state folder."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from bindery.directory import storage_format
from tools.local import state
from tools.local.state import StateError


def test_new_folder_is_private_and_marked_with_its_format(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "state"
    with state.take(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert (folder / "format").read_text() == f"{storage_format.CURRENT}\n"
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    with state.take(folder) as lock:
        assert lock.name


def test_permissions_of_own_folder_are_restored(tmp_path: Path) -> None:
    state.take(tmp_path / "state").close()
    (tmp_path / "state").chmod(0o755)
    state.take(tmp_path / "state").close()
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_symbolic_link_is_refused(tmp_path: Path) -> None:
    state.take(tmp_path / "real").close()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(StateError, match=r"is a symbolic link\. Use the folder itself"):
        state.take(tmp_path / "link")


def test_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state.take(tmp_path / "state").close()
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(StateError, match=rf"belongs to another user \(uid {owner}\)"):
        state.take(tmp_path / "state")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda folder: (folder / "demo.env").symlink_to("elsewhere"),
            r"demo\.env is a symbolic link, which Bindery never creates",
        ),
        (lambda folder: folder.chmod(0o777), r"other users can write to the state folder .*: chmod 700 "),
        (
            lambda folder: (folder / "format").write_text("1\n"),
            rf"has format 1, but this release needs format {storage_format.CURRENT}\. Use the release that",
        ),
    ],
)
def test_folder_that_is_not_as_bindery_left_it_is_refused(
    tmp_path: Path, change: Callable[[Path], object], told: str
) -> None:
    state.take(tmp_path / "state").close()
    change(tmp_path / "state")
    with pytest.raises(StateError, match=told):
        state.take(tmp_path / "state")


def test_interrupted_start_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "lock").touch()
    state.take(tmp_path / "state").close()
    assert (tmp_path / "state" / "format").exists()
