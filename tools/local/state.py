"""State folder of the local server: private, locked, in this release's format."""

import fcntl
import os
import stat
from pathlib import Path
from typing import TextIO

from bindery.directory import storage_format
from tools import files

ANOTHER = "Use another folder: make run STATE_DIR=…"


class StateError(Exception):
    """The folder cannot be used. The message says why."""


def take(state: Path) -> TextIO:
    """Lock the folder, creating it if it does not exist. Raises `StateError`."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owner(state)
        descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StateError(f"cannot use the state folder {state} ({error.strerror}). {ANOTHER}") from None
    lock = os.fdopen(descriptor, "r+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _check_format(state)
    except BlockingIOError:
        with lock:
            raise StateError(
                f"the state folder {state} is in use by another server (process {lock.read().strip()}). Stop it, or"
                " use another folder: make run STATE_DIR=…"
            ) from None
    except StateError:
        lock.close()
        raise
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _check_owner(state: Path) -> None:
    found = state.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise StateError(f"the state folder {state} is a symbolic link. Use the folder itself: make run STATE_DIR=…")
    if found.st_uid != os.geteuid():
        raise StateError(f"the state folder {state} belongs to another user (uid {found.st_uid}). {ANOTHER}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StateError(
            f"other users can write to the state folder {state}. Check its content, then run: chmod 700 {state}"
        )
    for folder, folders, names in os.walk(state):
        for name in (*folders, *names):
            if (path := Path(folder, name)).is_symlink():
                raise StateError(f"{path} is a symbolic link, which Bindery never creates. Remove it")


def _check_format(state: Path) -> None:
    marker = state / "format"
    if {path.name for path in state.iterdir()} <= {"lock", "lock.new", "format.new"}:
        files.replace(marker, f"{storage_format.CURRENT}\n")
    try:
        found = marker.read_text().strip()
    except FileNotFoundError:
        raise StateError(
            f"{state} is not a state folder of this release of Bindery. Move it away to start with new demo data, or"
            " use another folder: make run STATE_DIR=…"
        ) from None
    if found != str(storage_format.CURRENT):
        raise StateError(
            f"the state folder {state} has format {found}, but this release needs format {storage_format.CURRENT}. Use"
            " the release that created it, or another folder: make run STATE_DIR=…"
        )
    state.chmod(0o700)
