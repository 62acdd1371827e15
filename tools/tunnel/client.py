"""A lease's client: TCP connections to a local port, or standard input and output, carried to a service."""

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from agent.bindery_agent import Stream
from tools.cli import output
from tools.tunnel.session import Session

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, and what ssh sends to its ProxyCommand."""
CHUNK = 65536
STDIN, STDOUT = 0, 1

WHY = {
    "unknown-service": "the device does not offer this service at this address",
    "refused": "the service refused the connection",
    "unreachable": "the device cannot reach the service",
    "busy": "the device has too many open connections",
    "unknown": "the device's agent was restarted",
    "lost": "the device does not answer",
    "offline": "the device is offline",
    "ended": "the connection to the device has ended",
    "closed": "the connection was reset",
}
"""Reasons of a stream's end."""


class ResetError(Exception):
    """The stream was reset. The message says why."""


async def run(session: Session, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Carry until the work is done, or a signal arrives. Raises `Ended`, `Offline` and the work's exceptions."""
    task = asyncio.ensure_future(carry_during(session, work))
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()


async def carry_during(session: Session, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """`run`, without signals."""
    try:
        await session.connect()
        tasks = [asyncio.ensure_future(each) for each in (session.run(), work())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await session.close()


async def listen(session: Session, service: str, listening: socket.socket) -> None:
    """Carry each connection to a socket, until cancelled."""
    tasks: set[asyncio.Task[None]] = set()

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = await session.carry(service, reader, writer)
        if stream.why not in (None, "closed"):
            output.note(f"bindery: {describe(stream)}")

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # asyncio logs an error if a task of its own is cancelled.
        task = asyncio.ensure_future(attend(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async with await asyncio.start_server(accept, sock=listening) as server:
        await server.serve_forever()


async def stdio(session: Session, service: str) -> None:
    """Carry standard input and output until both have ended and the device has everything. Raises `ResetError`."""
    loop = asyncio.get_running_loop()
    written: asyncio.Future[None] = loop.create_future()

    def write() -> None:
        error = _to_stdout(theirs)
        # The loop is closed if the process ends.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, error)

    def settle(error: OSError | None) -> None:
        if written.done():
            return
        if error is None:
            written.set_result(None)
        else:
            written.set_exception(ResetError(f"cannot write to standard output: {error.strerror}"))

    ours, theirs = socket.socketpair()
    with theirs:
        # Threads, because asyncio cannot wait for files, and daemons, because reading the terminal never ends.
        threading.Thread(target=_from_stdin, args=(theirs,), daemon=True).start()
        threading.Thread(target=write, daemon=True).start()
        stream = await _carried(session.carry(service, *await asyncio.open_connection(sock=ours)), written)
        changed = asyncio.Event()
        stream.listeners.append(changed.set)
        while not stream.settled:
            changed.clear()
            await changed.wait()
    if stream.why is not None:
        raise ResetError(describe(stream))


async def _carried(work: Coroutine[Any, Any, Stream], written: asyncio.Future[None]) -> Stream:
    """Return the stream once it is carried and its data is written, or raise what prevents that."""
    carrying = asyncio.ensure_future(work)
    try:
        await asyncio.gather(carrying, written)
    finally:
        carrying.cancel()
    return carrying.result()


def describe(stream: Stream) -> str:
    """Return the reason of a stream's reset."""
    return WHY.get(stream.why or "", f"the device ended the connection ({stream.why})")


def _from_stdin(to: socket.socket) -> None:
    # The other end closes the socket if the stream ends first. Input that cannot be read has ended.
    with contextlib.suppress(OSError):
        # If standard input was closed at the start, its number belongs to another file.
        while sys.stdin is not None and (data := os.read(STDIN, CHUNK)):
            to.sendall(data)
    with contextlib.suppress(OSError):
        to.shutdown(socket.SHUT_WR)


def _to_stdout(of: socket.socket) -> OSError | None:
    """Write what arrives. Return the error if it cannot be written."""
    if sys.stdout is None:
        return OSError(errno.EBADF, os.strerror(errno.EBADF))
    while data := _received(of):
        try:
            while data:
                data = data[os.write(STDOUT, data) :]
        except OSError as error:
            return error
    # The program that reads the output sees its end at once.
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), STDOUT)
    return None


def _received(of: socket.socket) -> bytes:
    # A reset is reported by the stream.
    with contextlib.suppress(OSError):
        return of.recv(CHUNK)
    return b""
