"""The change feed, from a bind request to a subscriber: the receiver of docs/webhooks.md, and the README's command."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.server.programs import BINDERY, TIME_LIMIT, bind, eventually, operate
from tests.server.servers import Server, free_port, listens
from tools.template import ROOT

RECEIVERS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/webhooks.md").read_text(), re.DOTALL)
(FOLLOW,) = re.findall(
    r"^## Operate it\n.*?\n```sh\n(.*?)```\n", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
)


class Inbox:
    """A documented receiver."""

    def __init__(self, folder: Path, code: str = RECEIVERS[0]) -> None:
        assert code.count("8000") == 1
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/"
        self._program, self._output = folder / "receiver.py", folder / "output"
        self._program.write_text(code.replace("8000", str(self._port)))

    @contextmanager
    def receiving(self, secret: str) -> Iterator[None]:
        environment = {"PATH": os.environ["PATH"], "WEBHOOK_SECRET": secret}
        with self._output.open("w") as output:
            process = subprocess.Popen([sys.executable, self._program], env=environment, stdout=output)
        try:
            eventually(lambda: listens(self._port), expected=True)
            yield
        finally:
            process.kill()
            process.wait()

    def ids(self) -> list[str]:
        """Return the ids of all events that the receiver printed."""
        return [line.partition(" ")[0] for line in self.output().splitlines()]

    def output(self) -> str:
        return self._output.read_text()


def device_of(server: Server, serial: str) -> str:
    found: str = operate(server, "find", "--serial", serial)[0]["device"]
    return found


def test_bind_request_is_delivered(server: Server, tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    made = operate(server, "create", inbox.url, "--type", "device.bound", group="webhooks")
    with inbox.receiving(made["secret"]):
        bind(server, "FEED-AGAIN")
        device = device_of(server, "FEED-AGAIN")
        eventually(lambda: device in inbox.output(), expected=True)
    operate(server, "delete", made["id"], "--yes", group="webhooks")


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
    count = operate(server, "export", "--since", "1d", "--file", str(file), group="history")["events"]
    assert event in map(json.loads, file.read_text().splitlines())
    checked = subprocess.run(
        [sys.executable, ROOT / "tools" / "check_history.py", file], capture_output=True, text=True, check=True
    )
    assert checked.stdout.startswith(f"{count:,} events in ")
