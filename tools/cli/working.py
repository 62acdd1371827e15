"""What commands share that send many requests: threads, progress, and where they keep their files."""

import fcntl
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tools.cli.client import ATTEMPTS, PAGE, Client, Exit, Failure

THREADS = 4
"""Requests at the same time."""

Part = TypeVar("Part")
Answer = TypeVar("Answer")


def in_order(parts: Iterable[Part], send: Callable[[Part], Answer]) -> Iterator[tuple[Part, Answer]]:
    """Send parts in threads, and yield each with its answer, in order. At most twice `THREADS` are ahead."""
    with ThreadPoolExecutor(THREADS) as threads:
        waiting: deque[tuple[Part, Future[Answer]]] = deque()
        try:
            for part in parts:
                waiting.append((part, threads.submit(send, part)))
                if len(waiting) == 2 * THREADS:
                    sent, answer = waiting.popleft()
                    yield sent, answer.result()
            while waiting:
                sent, answer = waiting.popleft()
                yield sent, answer.result()
        finally:
            for _, answer in waiting:
                answer.cancel()


def pages(api: Client, path: Sequence[str], query: Mapping[str, Any], cursor: str | None = None) -> Iterator[Any]:
    """Yield the pages of a list from a cursor on, retrying while the API is unavailable."""
    while True:
        asked = {**query, "limit": PAGE, "cursor": cursor}
        page = api.ask("GET", *path, query=asked, attempts=ATTEMPTS)
        yield page
        cursor = page["next"]
        if cursor is None:
            return


def progress_bar() -> Progress:
    """Return a bar with a text, on a terminal only."""
    console = Console(stderr=True)
    return Progress(
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}% {task.fields[text]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


def private(path: Path, mode: str) -> IO[Any]:
    """Open a file that only its owner can read."""
    encoding = None if "b" in mode else "utf-8"
    return open(path, mode, encoding=encoding, opener=lambda name, flags: os.open(name, flags, 0o600))


def sync(file: IO[Any]) -> None:
    """Write a file to the disk."""
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def held(file: IO[Any], what: str) -> Iterator[None]:
    """Lock a file. Raises `Failure` if another process has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Failure(Exit.CONFLICT, f"{what} is running in another process") from None
    yield


def has_room(file: Path) -> bool:
    """Return True if other files can be kept beside a file."""
    return file.is_file() and os.access(file.parent, os.W_OK)


def state_folder(name: str) -> Path:
    """Return a private folder for files that have no other place."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "bindery" / name
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    return state
