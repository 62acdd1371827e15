"""The command line in this process, against the functions of the admin API."""

import shlex
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from botocore.credentials import Credentials
from typer.testing import CliRunner, Result

from tests.http_api import admin
from tools.cli import client
from tools.cli.client import Client, Exit, Failure, problem
from tools.cli.main import app

Bindery = Callable[[str], Result]

LOCAL = "http://127.0.0.1:3000"


class Killed(BaseException):
    """The process is killed."""


def run(line: str) -> Result:
    """Run a command line."""
    return CliRunner().invoke(app, shlex.split(line))


def answer(request: httpx.Request) -> httpx.Response:
    """Respond to a request as the function of its resource does."""
    path = request.url.path.removeprefix("/admin/v1/")
    resource, query = path.partition("/")[0].replace("-", "_"), request.url.query.decode()
    found = admin(resource, request.method, path, request.content.decode() or None, query=query)
    return httpx.Response(found.status, text=found.body)


def connected(responder: Callable[[httpx.Request], httpx.Response] = answer, endpoint: str = LOCAL) -> Client:
    """Return a client whose requests get the responses of a function."""
    made = Client(endpoint, Credentials("AKIDEXAMPLE", "secret"), "eu-central-1")
    made.http = httpx.Client(transport=httpx.MockTransport(responder))
    return made


def connect(patch: pytest.MonkeyPatch, responder: Callable[[httpx.Request], httpx.Response] = answer) -> None:
    """Let all commands send their requests to a function."""
    patch.setattr(client, "connect", lambda *_: connected(responder))
    patch.setenv("COLUMNS", "80")


class InProcess(Client):
    """Client that calls the functions without HTTP."""

    def __init__(self) -> None:
        self.fail_after: int | None = None

    def close(self) -> None:
        """Do nothing."""

    def ask(
        self,
        method: str,
        *path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        attempts: int = 1,
    ) -> Any:
        """Invoke a function."""
        if self.fail_after is not None:
            if self.fail_after == 0:
                raise Failure(Exit.UNAVAILABLE, "unavailable")
            self.fail_after -= 1
        given = {name: value for name, value in (query or {}).items() if value is not None}
        found = admin(
            path[0].replace("-", "_"), method, "/".join(quote(part, safe="") for part in path), body, query=given
        )
        if found.status >= 400:
            response = httpx.Response(found.status, text=found.body)
            raise Failure(Exit.NOT_FOUND if found.status == 404 else Exit.REFUSED, problem(response, path, given))
        return found.json()
