"""The functions as commands reach them: requests are noted or fail, and the process is killed."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import Result

from tests.command_line import LOCAL, InProcess, Killed, answer, connected
from tools import files
from tools.cli import working
from tools.cli.client import Client

ENDPOINT = "https://api.example.com"


class Noted:
    """The functions over HTTP, and the requests that they got. The first `failing` requests fail."""

    def __init__(self) -> None:
        self.sent: list[httpx.Request] = []
        self.endpoint, self.failing = LOCAL, 0

    def connect(self, *_: object) -> Client:
        return connected(self._answer, self.endpoint)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        if len(self.sent) <= self.failing:
            return httpx.Response(503, json={"title": "Try again"})
        return answer(request)


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
