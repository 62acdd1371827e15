"""Commands whose process is killed at a request or a write."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tests.command_line import InProcess, Killed
from tools import files
from tools.cli import working

ENDPOINT = "https://api.example.com"


class Api(InProcess):
    """The functions. It notes the paths of requests, and calls `point` before and after each."""

    def __init__(self) -> None:
        super().__init__()
        self.endpoint = ENDPOINT
        self.asked: list[str] = []
        self.point: Callable[[], None] = lambda: None

    def ask(self, method: str, *path: str, **request: Any) -> Any:
        self.point()
        self.asked.append("/".join(path))
        answer = super().ask(method, *path, **request)
        self.point()
        return answer


class Kills:
    """Kill the process at the chosen request or write."""

    def __init__(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        api.point = self.point
        sync = working.sync

        def synced(file: Any) -> None:
            file.flush()
            size = os.fstat(file.fileno()).st_size
            try:
                self.point()
            except Killed:
                # Only a part of what was written is in the file.
                os.truncate(file.name, max(0, size - 20))
                raise
            sync(file)
            self.point()

        def around(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*given: Any) -> Any:
                self.point()
                found = real(*given)
                self.point()
                return found

            return call

        monkeypatch.setattr(working, "sync", synced)
        monkeypatch.setattr(files, "replace", around(files.replace))
        monkeypatch.setattr(Path, "rename", around(Path.rename))

    def point(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Killed

    def everywhere(self, run: Callable[[int], Result]) -> Iterator[tuple[int, Result]]:
        """Yield the result of each run that was killed at one more point and then repeated, until none is killed."""
        for number in range(1000):
            self.left = number
            try:
                run(number)
            except Killed:
                yield number, run(number)
                continue
            assert number > 15
            self.left = None
            return
