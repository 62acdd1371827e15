"""The measured requests: recorded once on the local engine, and then repeated against a stub with its responses."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bindery.aws import direct, responses
from bindery.http.operation import logger
from tests.http_api import Response
from tests.layer.aws.authorities import Authority
from tests.openid import AUDIENCE, Bank
from tests.performance.stories import STORIES, World
from tools import template
from tools.local import serve
from tools.local.engine import Engine

CASES = {
    "rufus.bind_device": "bound again",
    "vodlix.add_device": "again",
    "quectel.bind_device_sn": "unique mode",
    "remoteit.connect_device": "connected again",
    "asseco.register_owned_device": "success",
}
"""Measured case of each binding operation."""


@dataclass
class Kept:
    """A case: its event, its DynamoDB calls and the responses."""

    event: dict[str, Any]
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], str]] = field(default_factory=list)


class Stub(NamedTuple):
    """A server with a case's responses. `authority` is the file of its root certificate, for `https` URLs."""

    url: str
    authority: Path


def keep(bank: Bank) -> tuple[dict[str, Kept], dict[str, str]]:
    """Run the stories, and return the measured cases and the secrets."""
    kept: dict[str, Kept] = {}
    secrets: dict[str, str] = {}
    now: Kept | None = None
    send = direct.Client.send

    def keeping(client: direct.Client, operation: str, body: bytes) -> responses.Response:
        response, request = send(client, operation, body), json.loads(body)
        if client.service.name == "secretsmanager":
            secrets[request["SecretId"]] = response.body.decode()
        elif now is not None:
            now.calls.append((operation, request))
            now.answers.append((response.status, response.headers, response.body.decode()))
        return response

    direct.Client.send = keeping  # type: ignore[method-assign]
    for handler in logger.handlers:
        handler.stream = open(os.devnull, "w")  # noqa: SIM115 (for the process' life)
    with tempfile.TemporaryDirectory() as folder, Engine(Path(folder)) as engine:
        serve.prepare(engine, bank.url, proxy="http://localhost")
        os.environ["AUDIENCE"] = AUDIENCE
        world = World(bank)
        for story in STORIES:
            for case, name, event in story(world):
                now = kept.setdefault(name, Kept(event)) if CASES.get(name) == case else None
                given = template.function(name).load()(dict(event), None)
                # The story itself makes calls too.
                now = None
                world.last = Response(given["statusCode"], given["headers"], given["body"])
    return kept, secrets


@contextmanager
def stub(folder: Path, kept: Kept, secrets: dict[str, str], *, secure: bool = True) -> Iterator[Stub]:
    """Run a server that replays a case's responses in turn."""
    authority = Authority(folder, "bench")
    authority.server()
    script = folder / "stub.json"
    script.write_text(json.dumps({**asdict(kept), "secrets": secrets}))
    command = [sys.executable, str(Path(__file__).with_name("stub.py")), str(script)]
    process = subprocess.Popen(command + [str(folder / "server.pem")] * secure, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        port = process.stdout.readline().strip()
        yield Stub(f"http{'s' * secure}://localhost:{port}", authority.bundle)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
