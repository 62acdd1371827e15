"""Local registry: ministack's DynamoDB and Secrets Manager, with a journal for durability.

`tools.local.engine` runs `registry.py STATE_FOLDER SOCKET_DESCRIPTORS` in ministack's environment. It prints `ready`,
and stops when its standard input is closed.

ministack saves its state only on a clean stop. So every change is flushed to `journal-<n>` before the response, and the
next start replays it on top of `snapshot-<n>/`. A clean stop replaces both by snapshot n+1 in one rename. Time to live
is off, because a replay must not depend on it.

Requests need the secret path `BINDERY_REGISTRY_PATH`, because ministack accepts any credentials. ministack's
administration API is blocked.
"""

import asyncio
import fcntl
import hmac
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any, NoReturn

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

SERVICES = (b"DynamoDB_20120810.", b"secretsmanager.")
HOSTS = (b"127.0.0.1", b"localhost", b"host.docker.internal")
"""Host names that this machine and its containers use."""
KEPT = frozenset({b"authorization", b"content-type", b"x-amz-target"})
"""Headers that identify a request's operation and region."""
READS = (b"BatchGet", b"Describe", b"Get", b"List", b"Query", b"Scan", b"TransactGet")
FILES = ("dynamodb.json", "secretsmanager.json")


class Journal:
    """File of all changes since the snapshot."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+b", buffering=0)
        self._flushing = asyncio.Lock()
        self._flushed = 0

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield the changes in order, and drop an incomplete last line, whose request got no response."""
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        self._file.truncate(whole)
        self._flushed = whole
        yield from map(json.loads, content[:whole].splitlines())

    def append(self, headers: list[tuple[bytes, bytes]], body: bytes) -> int:
        """Append a change and return the journal's size."""
        entry = {"headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]}
        line = json.dumps(entry | {"body": body.decode("latin-1")}).encode() + b"\n"
        if self._file.write(line) != len(line):
            raise OSError("the disk is full")
        return self._file.tell()

    async def flush(self, end: int) -> None:
        """Wait until the journal is on disk up to `end`."""
        async with self._flushing:
            if self._flushed < end:
                reached = self._file.tell()
                await asyncio.to_thread(os.fsync, self._file.fileno())
                self._flushed = reached


class Registry:
    """ASGI app that writes ministack's changes to the journal."""

    def __init__(self, ministack: App, journal: Journal, path: str) -> None:
        self._ministack = ministack
        self._journal = journal
        self._path = path.encode()
        self._turn = asyncio.Lock()

    async def replay(self) -> None:
        """Replay the journal."""
        # ministack saves only services that received a request, and a snapshot must contain both.
        for target in (b"DynamoDB_20120810.ListTables", b"secretsmanager.ListSecrets"):
            await self._answer([(b"x-amz-target", target)], b"{}")
        for entry in self._journal.entries():
            headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in entry["headers"]]
            answer = await self._answer(headers, entry["body"].encode("latin-1"))
            if answer[0]["status"] >= 400:
                raise RuntimeError(f"cannot replay a change of the journal: {answer}")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Respond to a request."""
        if scope["type"] != "http":
            return
        if not self._admits(scope):
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        headers = [(bytes(name), bytes(value)) for name, value in scope["headers"] if name in KEPT]
        target = dict(headers)[b"x-amz-target"]
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if target.partition(b".")[2].startswith(READS):
            answer = await self._answer(headers, body)
        else:
            answer = await self._change(headers, body)
        for message in answer:
            await send(message)

    def _admits(self, scope: Message) -> bool:
        headers = {bytes(name): bytes(value) for name, value in scope["headers"]}
        return (
            hmac.compare_digest(bytes(scope["raw_path"]).rstrip(b"/"), self._path)
            and headers.get(b"host", b"").rpartition(b":")[0] in HOSTS
            and scope["method"] == "POST"
            and headers.get(b"x-amz-target", b"").startswith(SERVICES)
        )

    async def _change(self, headers: list[tuple[bytes, bytes]], body: bytes) -> list[Message]:
        async with self._turn:
            answer = await self._answer(headers, body)
            if answer[0]["status"] >= 400:
                return answer
            try:
                end = self._journal.append(headers, body)
            except OSError as error:
                _give_up(error)
        try:
            await self._journal.flush(end)
        except OSError as error:
            _give_up(error)
        return answer

    async def _answer(self, headers: list[tuple[bytes, bytes]], body: bytes) -> list[Message]:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 0),
            "server": None,
        }
        answer: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            answer.append(message)

        await self._ministack(scope, receive, send)
        return answer


def _give_up(error: OSError) -> NoReturn:
    """Exit without a response: memory is ahead of the journal."""
    sys.stderr.write(f"cannot write the journal: {error}\n")
    sys.stderr.flush()
    os._exit(1)


class Lifespan:
    """Start and stop of ministack, which load and save a snapshot."""

    def __init__(self, ministack: App) -> None:
        self._ministack = ministack
        self._asked: asyncio.Queue[Message] = asyncio.Queue()
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Start ministack."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}}
        self._task = asyncio.ensure_future(self._ministack(scope, self._asked.get, self._said.put))
        await self._ask("startup")

    async def stop(self) -> None:
        """Stop ministack."""
        await self._ask("shutdown")
        if self._task is not None:
            await self._task

    async def _ask(self, what: str) -> None:
        await self._asked.put({"type": f"lifespan.{what}"})
        if (await self._said.get())["type"] != f"lifespan.{what}.complete":
            raise RuntimeError(f"ministack's {what} failed")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


async def run(state: Path, listening: list[str]) -> None:
    """Serve until standard input is closed."""
    number = _current(state)
    snapshot, journal = state / f"snapshot-{number}", state / f"journal-{number}"
    following = state / f"snapshot-{number + 1}"
    making = following.with_suffix(".new")
    os.environ |= {
        "PERSIST_STATE": "1",
        "STATE_DIR": str(snapshot),
        "SERVICES": "dynamodb,secretsmanager",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        "DOCKER_HOST": "unix:///nonexistent",
    }
    from ministack.app import app
    from ministack.core import persistence

    changes = Journal(journal)
    registry = Registry(app, changes, os.environ.pop("BINDERY_REGISTRY_PATH"))
    lifespan = Lifespan(app)
    await lifespan.start()
    persistence.STATE_DIR = str(making)
    await registry.replay()
    _sync(state)
    await _serve(registry, listening)
    await lifespan.stop()
    if all((making / name).exists() for name in FILES):
        for name in FILES:
            _sync(making / name)
        _sync(making)
        making.rename(following)
        _sync(state)
        shutil.rmtree(snapshot, ignore_errors=True)
        journal.unlink()


def _current(state: Path) -> int:
    """Return the newest snapshot's number, and delete the others with their journals."""
    number = max((int(path.name.partition("-")[2]) for path in state.glob("snapshot-*[0-9]")), default=0)
    for path in state.iterdir():
        # Left by an interrupted stop: an incomplete snapshot, or outdated files.
        if path.is_dir() and path != state / f"snapshot-{number}":
            shutil.rmtree(path)
        elif path.name.startswith("journal-") and path != state / f"journal-{number}":
            path.unlink()
    return number


async def _serve(registry: Registry, listening: list[str]) -> None:
    """Print `ready`, and serve until standard input is closed."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    config = Config()
    config.bind = [f"fd://{descriptor}" for descriptor in listening]
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await serve(registry, config, shutdown_trigger=ended.wait)


def main() -> None:
    """Serve, once no other process uses the folder."""
    os.umask(0o077)
    state = Path(sys.argv[1])
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        asyncio.run(run(state, sys.argv[2:]))


if __name__ == "__main__":
    main()
