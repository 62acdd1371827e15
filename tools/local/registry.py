"""Local registry: ministack's DynamoDB and Secrets Manager, with a journal for durability.

`tools.local.engine` runs `registry.py STATE_FOLDER SOCKET_DESCRIPTORS` in ministack's environment. It prints `ready`,
and stops when its standard input is closed.

Every change is flushed to `journal-<n>` before the response, and the next start replays it on top of `snapshot-<n>/`,
in ministack's format. A clean stop replaces both by snapshot n+1 in one rename. Time to live is off, because a replay
must not depend on it.

It also serves the tables' changes (`tools.local.changes`). A replay gives them the same positions and times, and drops
those that had been consumed. A clean stop keeps the others in the snapshot. Changes in journals of older releases,
which have no times, are not served.

Requests need the secret path `BINDERY_REGISTRY_PATH`, because ministack accepts any credentials. ministack's own server
is not used: it has an administration API, and takes longer than its services.
"""

import asyncio
import fcntl
import hmac
import json
import os
import shutil
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import closing, suppress
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from ministack.core import persistence, responses, router
from ministack.services import dynamodb, secretsmanager

# Python's isolated mode leaves out the repository.
sys.path.append(str(Path(__file__).parents[2]))

from tools.local import changes, partitions

Headers = dict[str, str]
Answer = tuple[int, Headers, bytes]

SERVICES = {"DynamoDB_20120810": dynamodb, "secretsmanager": secretsmanager}
"""Services by prefix of `x-amz-target`."""
HOSTS = ("127.0.0.1", "localhost", "host.docker.internal")
"""Host names that this machine and its containers use."""
KEPT = ("authorization", "x-amz-target")
"""Headers that identify a request's region and operation."""
READS = ("BatchGet", "Describe", "Get", "List", "Query", "Scan", "TransactGet")


class Journal:
    """File of all changes since the snapshot."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+b", buffering=0)
        self._flushed: asyncio.Future[None] | None = None

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield the changes in order, and drop an incomplete last line, whose request got no response."""
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        self._file.truncate(whole)
        yield from map(json.loads, content[:whole].splitlines())

    def append(self, time: int, consumed: int, headers: Headers, body: bytes) -> asyncio.Future[None]:
        """Append a change, and return a future that completes when it is on disk.

        `time` is in milliseconds, and `consumed` is how far the feed was consumed before.
        """
        entry = {"headers": [(name, headers[name]) for name in KEPT if name in headers], "body": body.decode("latin-1")}
        line = json.dumps({"time": time, "consumed": consumed, **entry}).encode() + b"\n"
        try:
            if self._file.write(line) != len(line):
                raise OSError("the disk is full")
        except OSError as error:
            _give_up(error)
        if self._flushed is None:
            # All requests that have arrived by now share the flush.
            loop = asyncio.get_running_loop()
            self._flushed = loop.create_future()
            loop.call_soon(self._flush)
        return self._flushed

    def _flush(self) -> None:
        # In this thread: between two threads, Python's lock costs more time than the disk.
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            _give_up(error)
        assert self._flushed is not None
        self._flushed.set_result(None)
        self._flushed = None


class Registry:
    """HTTP server of ministack's services that writes changes to the journal."""

    def __init__(self, journal: Journal, feed: changes.Changes, path: str) -> None:
        self._journal = journal
        self._feed = feed
        self._path = path
        self._turn = asyncio.Lock()

    async def replay(self) -> None:
        """Replay the journal."""
        for entry in self._journal.entries():
            answer = await _answer(dict(entry["headers"]), entry["body"].encode("latin-1"))
            if answer[0] >= 400:
                raise RuntimeError(f"cannot replay a change of the journal: {answer}")
            if "time" in entry:
                self._feed.consume(entry["consumed"])
                self._feed.release(self._feed.keep(entry["time"]))
            else:
                self._feed.discard()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Respond to the requests of a connection."""
        # A stop cancels open connections, which asyncio would log.
        ended = (asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError, ConnectionError)
        with closing(writer), suppress(*ended):
            while True:
                start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                if not self._admits(start, headers):
                    writer.write(_response(403, {}, b""))
                    return
                body = await reader.readexactly(int(headers["content-length"]))
                writer.write(_response(*await self._respond(headers, body)))
                await writer.drain()

    def _admits(self, start: str, headers: Headers) -> bool:
        method, _, path = start.partition(" ")
        target = headers.get("x-amz-target", "")
        return (
            hmac.compare_digest(path.partition(" ")[0].rstrip("/").encode(), self._path.encode())
            and headers.get("host", "").rpartition(":")[0] in HOSTS
            and method == "POST"
            and (target == changes.READ or target.partition(".")[0] in SERVICES)
            and headers.get("content-length", "").isdecimal()
        )

    async def _respond(self, headers: Headers, body: bytes) -> Answer:
        if headers["x-amz-target"] == changes.READ:
            return await self._feed.answer(body)
        if headers["x-amz-target"].partition(".")[2].startswith(READS):
            return await _answer(headers, body)
        async with self._turn:
            answer = await _answer(headers, body)
            if answer[0] >= 400:
                self._feed.discard()
                return answer
            now = int(time.time() * 1000)
            flushed = self._journal.append(now, self._feed.consumed, headers, body)
            position = self._feed.keep(now)
        await flushed
        self._feed.release(position)
        return answer


async def _answer(headers: Headers, body: bytes) -> Answer:
    responses.set_request_region(router.extract_region(headers))
    try:
        service = SERVICES[headers["x-amz-target"].partition(".")[0]]
        answer: Answer = await service.handle_request("POST", "/", headers, body, {})
    except Exception:
        traceback.print_exc()
        return 500, {}, b"{}"
    return answer


def _response(status: int, headers: Headers, body: bytes) -> bytes:
    fields = headers | {"content-length": str(len(body)), "date": formatdate(usegmt=True)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}\r\n".encode() + body


def _give_up(error: OSError) -> NoReturn:
    """Exit without a response: memory is ahead of the journal."""
    sys.stderr.write(f"cannot write the journal: {error}\n")
    sys.stderr.flush()
    os._exit(1)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


async def run(state: Path, listening: list[str]) -> None:
    """Serve until standard input is closed."""
    number = _current(state)
    snapshot, journal = state / f"snapshot-{number}", state / f"journal-{number}"
    feed = changes.Changes()
    partitions.Partitions()
    states = {"dynamodb": dynamodb, "secretsmanager": secretsmanager, "changes": feed}
    registry = Registry(Journal(journal), feed, os.environ.pop("BINDERY_REGISTRY_PATH"))
    persistence.PERSIST_STATE = True
    persistence.STATE_DIR = str(snapshot)
    if snapshot.exists():
        _load(snapshot, states)
    await registry.replay()
    _sync(state)
    await _serve(registry, listening)
    following = state / f"snapshot-{number + 1}"
    making = following.with_suffix(".new")
    _save(making, states)
    making.rename(following)
    _sync(state)
    shutil.rmtree(snapshot, ignore_errors=True)
    journal.unlink()


def _save(folder: Path, states: dict[str, Any]) -> None:
    """Save the services as ministack does, but several times as fast: 100,000 devices take it minutes."""
    # Nothing else happens now, so the state needs no copy.
    dynamodb.copy = SimpleNamespace(deepcopy=lambda each: each)
    folder.mkdir()
    for name, service in states.items():
        saved = {"__ministack_format__": persistence._state_format_version(name), "payload": service.get_state()}
        path = folder / f"{name}.json"
        path.write_text(json.dumps(saved, default=persistence._json_default))
        _sync(path)
    _sync(folder)


def _load(snapshot: Path, states: dict[str, Any]) -> None:
    """Restore the services by name of their file. Snapshots of older releases have no changes."""
    for name, service in states.items():
        if name == "changes" and not (snapshot / "changes.json").exists():
            continue
        if (saved := persistence.load_state(name)) is None:
            raise RuntimeError(f"cannot read {snapshot / name}.json")
        service.load_persisted_state(saved)


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
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    for descriptor in listening:
        await asyncio.start_server(registry.serve, sock=socket.socket(fileno=int(descriptor)))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await ended.wait()


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
