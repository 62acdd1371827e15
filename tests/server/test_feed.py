"""The change feed, from a bind request to a subscriber: the receiver of docs/webhooks.md, and the README's command."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.server.programs import BINDERY, TIME_LIMIT, bind, eventually, operate
from tests.server.servers import Server, free_port, listens
from tools.template import ROOT

RECEIVERS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/webhooks.md").read_text(), re.DOTALL)
(FOLLOW,) = re.findall(
    r"^## Operate it\n.*?\n```sh\n(.*?)```\n", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
)


class Inbox:
    """A documented receiver, which can be stopped and started again."""

    def __init__(self, folder: Path, code: str = RECEIVERS[0]) -> None:
        assert code.count("8000") == 1
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/"
        self._program, self._output, self._log = (folder / name for name in ("receiver.py", "output", "log"))
        self._program.write_text(code.replace("8000", str(self._port)))

    @contextmanager
    def receiving(self, secret: str) -> Iterator[None]:
        """Run the receiver. It remembers no event of earlier runs."""
        environment = {"PATH": os.environ["PATH"], "WEBHOOK_SECRET": secret}
        with self._output.open("a") as output, self._log.open("a") as log:
            process = subprocess.Popen([sys.executable, self._program], env=environment, stdout=output, stderr=log)
        try:
            eventually(lambda: listens(self._port), expected=True)
            yield
        finally:
            process.kill()
            process.wait()

    def events(self, device: str) -> list[dict[str, Any]]:
        """Return the events of a device that the receiver printed, with their ids."""
        lines = self._output.read_text().splitlines()
        events = [ast.literal_eval(line.partition(" ")[2]) for line in lines]
        made = [{"id": identifier, **event} for identifier, event in zip(self.ids(), events, strict=True)]
        return [event for event in made if event["data"].get("device") == device]

    def ids(self) -> list[str]:
        """Return the ids of all events that the receiver printed."""
        return [line.partition(" ")[0] for line in self._output.read_text().splitlines()]

    def types(self, device: str) -> list[str]:
        return [event["type"] for event in self.events(device)]

    def statuses(self) -> set[str]:
        """Return the statuses of all responses: 204 if signed with the receiver's secret, else 401."""
        return set(re.findall(r'"POST / HTTP/1\.1" ([0-9]{3})', self._log.read_text()))


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path)


def subscribe(server: Server, inbox: Inbox) -> tuple[str, str]:
    wanted = ("--type", "device.bound", "--type", "device.banned")
    made = operate(server, "create", inbox.url, *wanted, group="webhooks")
    return made["id"], made["secret"]


def device_of(server: Server, serial: str) -> str:
    found: str = operate(server, "find", "--serial", serial)[0]["device"]
    return found


def test_secret_is_replaced_and_events_are_kept_and_repeated(server: Server, inbox: Inbox) -> None:
    webhook, secret = subscribe(server, inbox)
    replacement = operate(server, "rotate", webhook, group="webhooks")["secret"]
    for valid in (secret, replacement):
        with inbox.receiving(valid):
            assert operate(server, "test", webhook, group="webhooks")["status"] == 204
    operate(server, "disable", webhook, "--reason", "maintenance", group="webhooks")
    bind(server, "FEED-AGAIN")
    device = device_of(server, "FEED-AGAIN")
    eventually(lambda: [event["type"] for event in operate(server, "history", device)][-1:], ["device.bound"])
    recorded = operate(server, "history", device)[-1]["recorded_at"]
    with inbox.receiving(replacement):
        assert inbox.types(device) == []
        operate(server, "enable", webhook, group="webhooks")
        eventually(lambda: inbox.types(device), ["device.bound"])
    with inbox.receiving(replacement):
        since = datetime.fromtimestamp(recorded / 1000, UTC).isoformat()
        assert operate(server, "replay", webhook, "--since", since, group="webhooks") == {"events": 1}
        eventually(lambda: inbox.types(device), ["device.bound"] * 2)
    first, second = inbox.events(device)
    assert first == second
    assert inbox.statuses() == {"204"}
    operate(server, "delete", webhook, "--yes", group="webhooks")


def test_events_are_followed_and_exported(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".local").symlink_to(server.state)
    following = subprocess.Popen(
        ["bash", "-euc", FOLLOW.replace(".venv/run/bin/bindery", str(BINDERY))],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background of a shell ignores Ctrl-C, and so would its processes.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    watchdog = threading.Timer(3 * TIME_LIMIT, following.kill)
    watchdog.start()
    assert following.stdout is not None
    assert following.stderr is not None
    while "Waiting for events." not in following.stderr.readline():
        assert following.poll() is None
    bind(server, "FEED-SHOWN")
    device = device_of(server, "FEED-SHOWN")
    for line in following.stdout:
        event = json.loads(line)
        if event["type"] == "device.bound" and event["data"]["device"] == device:
            break
    following.send_signal(signal.SIGINT)
    following.communicate()
    watchdog.cancel()
    assert following.returncode == 0
    file = tmp_path / "export.ndjson"
    count = operate(server, "export", "--file", str(file), group="history")["events"]
    assert event in map(json.loads, file.read_text().splitlines())
    checked = subprocess.run(
        [sys.executable, ROOT / "tools" / "check_history.py", file], capture_output=True, text=True, check=True
    )
    assert checked.stdout.startswith(f"{count:,} events in ")
