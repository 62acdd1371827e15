"""A WebSocket server that a test scripts, and the agent in the test's process or in one of its own."""

import asyncio
import base64
import functools
import hashlib
import json
import logging
import os
import re
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, Self

from agent.bindery_agent import Agent, log, mask
from tools.template import ROOT

AGENT = ROOT / "agent" / "bindery_agent.py"
PYTHON = os.environ.get("AGENT_PYTHON", sys.executable)
"""Python of the agent's process. AGENT_PYTHON runs the tests with an older one."""
CREDENTIAL = "65A1B7E0C6BC3D32C268C1506E3F6F39E225DC6ED79573E177E7243E8E38115B"
CONNECTED = 1795176000
"""Unix time of the server's Date header."""
DATE = "Fri, 20 Nov 2026 12:00:00 GMT"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FRAME = 32 * 1024
"""Size of the frames in which API Gateway sends messages."""
TIME_LIMIT = 60


P = ParamSpec("P")


def in_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def limited() -> None:
            async with asyncio.timeout(TIME_LIMIT):
                await test(*args, **kwargs)

        asyncio.run(limited())

    return run


def welcome(*, seconds: float = 7200, heartbeat: float = 540) -> dict[str, Any]:
    """Return a `welcome` for a connection that lasts some seconds."""
    return {"type": "welcome", "until": int((CONNECTED + seconds) * 1000), "heartbeat": heartbeat}


class Received(NamedTuple):
    opcode: int
    payload: bytes
    fin: bool
    size: int

    @property
    def code(self) -> int:
        return int(struct.unpack("!H", self.payload[:2])[0])


class Connection:
    """The server's end of an established connection."""

    def __init__(self, request: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.request = request
        self.pings = 0
        self.answers_pings = True
        self._reader = reader
        self._writer = writer

    @property
    def request_headers(self) -> dict[str, str]:
        return dict(line.split(": ", 1) for line in self.request.split("\r\n")[1:])

    async def frame(self) -> Received:
        """Return the next frame, except pings, which are answered."""
        while True:
            first, second = await self._reader.readexactly(2)
            assert second & 0x80, "the agent must mask"
            size, head = second & 0x7F, 6
            if size >= 126:
                form = "!H" if size == 126 else "!Q"
                head += struct.calcsize(form)
                (size,) = struct.unpack(form, await self._reader.readexactly(struct.calcsize(form)))
            key = await self._reader.readexactly(4)
            payload = mask(await self._reader.readexactly(size), key)
            received = Received(first & 0x0F, payload, bool(first & 0x80), head + size)
            if received.opcode != PING:
                return received
            self.pings += 1
            if self.answers_pings:
                self.send_raw(bytes([0x80 | PONG, len(payload)]) + payload)

    async def message(self) -> Any:
        frame = await self.frame()
        assert frame.opcode == TEXT, frame
        payload = frame.payload
        while not frame.fin:
            frame = await self.frame()
            assert frame.opcode == CONTINUATION, frame
            payload += frame.payload
        return json.loads(payload)

    def send_raw(self, data: bytes) -> None:
        self._writer.write(data)

    def send_text(self, text: str) -> None:
        payload = text.encode()
        parts = [payload[start : start + FRAME] for start in range(0, len(payload) or 1, FRAME)]
        for index, part in enumerate(parts):
            first = (CONTINUATION if index else TEXT) | (0x80 if index == len(parts) - 1 else 0)
            size = bytes([len(part)]) if len(part) < 126 else b"\x7e" + struct.pack("!H", len(part))
            self.send_raw(bytes([first]) + size + part)

    def send(self, message: dict[str, Any]) -> None:
        self.send_text(json.dumps(message))

    async def welcome(self, **given: float) -> None:
        """Read `hello`, and send `welcome`."""
        assert (await self.message())["type"] == "hello"
        self.send(welcome(**given))

    def drop(self) -> None:
        """End the connection without a close frame."""
        self._writer.transport.abort()

    async def closed(self) -> int:
        """Return the code of the agent's close frame, and answer it."""
        frame = await self.frame()
        assert frame.opcode == CLOSE, frame
        self.send_raw(bytes([0x80 | CLOSE, len(frame.payload)]) + frame.payload)
        self._writer.close()
        return frame.code


class LinkServer:
    """Server on loopback. `responses` are sent to the next connections instead of an upgrade."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.responses: list[bytes] = []
        self.requests: list[str] = []
        self._tls = tls
        self._accepted: asyncio.Queue[Connection] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'wss' if self._tls else 'ws'}://127.0.0.1:{port}/link"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    async def accept(self) -> Connection:
        return await self._accepted.get()

    async def welcomed(self, **given: float) -> Connection:
        """Return the next established connection, after its `hello` and a `welcome`."""
        link = await self.accept()
        await link.welcome(**given)
        return link

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        request = (await reader.readuntil(b"\r\n\r\n")).decode()[:-4]
        self.requests.append(request)
        if self.responses:
            writer.write(self.responses.pop(0))
            writer.close()
            return
        connection = Connection(request, reader, writer)
        key = connection.request_headers["Sec-WebSocket-Key"]
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        accept = base64.b64encode(digest).decode()
        writer.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
            f"Date: {DATE}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        self._accepted.put_nowait(connection)


class CredentialFile:
    def __init__(self, folder: Path, credential: str = CREDENTIAL) -> None:
        self.path = folder / "credential"
        self.rotate(credential)

    def rotate(self, credential: str) -> None:
        self.path.touch(mode=0o600)
        self.path.write_text(credential + "\n")


class Online:
    """An agent in the test's process. What it logs must not have the credential, or an unexpected error."""

    def __init__(self, url: str, folder: Path, **given: Any) -> None:
        self.credential = CredentialFile(folder)
        self.agent = Agent(url, str(self.credential.path), **given)
        self.records: list[logging.LogRecord] = []
        self._logged: asyncio.Queue[str] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._handler = logging.Handler()
        self._handler.emit = self._log  # type: ignore[method-assign]
        log.addHandler(self._handler)
        log.setLevel(logging.DEBUG)
        self._task = asyncio.create_task(self.agent.run())
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, _: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
        log.removeHandler(self._handler)
        lines = [record.getMessage() for record in self.records]
        if error:
            error.add_note("\n".join(lines))
            return
        assert self._task.cancelled(), self._task.exception()
        assert [line for line in lines if CREDENTIAL in line] == []

    def _log(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self._logged.put_nowait(record.getMessage())

    async def line(self, pattern: str) -> str:
        while True:
            line = await self._logged.get()
            if re.search(pattern, line):
                return line


@asynccontextmanager
async def connected(folder: Path, **given: Any) -> AsyncIterator[tuple[LinkServer, Online, Connection]]:
    """An agent in the test's process, connected to a server."""
    async with LinkServer() as server, Online(server.url, folder, **given) as agent:
        link = await server.welcomed()
        await agent.line("online")
        yield server, agent, link


class AgentProcess:
    """The agent as a process. Its output must not have the credential or a traceback."""

    def __init__(self, url: str, folder: Path, *arguments: str, **environment: str) -> None:
        self._arguments = ["--url", url, "--credential-file", str(CredentialFile(folder).path), *arguments]
        self._environment = os.environ | environment
        self.output: list[str] = []

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(PYTHON, "-W", "error", str(AGENT), *self._arguments),
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
        )
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if self._process.returncode is None:
            self._process.terminate()
            await self.end()
        text = "\n".join(self.output)
        if error:
            error.add_note(text)
            return
        assert CREDENTIAL not in text
        assert "Traceback" not in text, text

    async def line(self, pattern: str) -> str:
        """Wait for a line that matches, and return it without its time."""
        assert self._process.stderr
        while line := (await self._process.stderr.readline()).decode().rstrip("\n"):
            self.output.append(line)
            time, _, text = line.partition(" ")
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time), line
            if re.search(pattern, text):
                return text
        raise AssertionError(f"the agent ended without {pattern!r}")

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def end(self) -> int:
        assert self._process.stderr
        self.output += (await self._process.stderr.read()).decode().splitlines()
        return await self._process.wait()


def next_attempt(line: str) -> float:
    """Return the seconds in an agent's line that announces the next attempt."""
    return float(line.rpartition("next attempt in ")[2].removesuffix(" s"))
