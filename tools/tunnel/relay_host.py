"""The relay host: TCP ports at which clients reach devices' services.

It asks the admin API which client may reach which device, carries the bytes as the client of a tunnel, and keeps no
state.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from agent.bindery_agent import Offline
from tools.cli.client import Client, Exit, Failure
from tools.tunnel.session import Ended, Session

MAX_CONNECTIONS = 2000
MAX_LOOKUPS = 8
"""Concurrent requests to the admin API."""
REFUSALS = 10
REFUSED_SECONDS = 10.0
"""A client that is refused so often in this time is refused without a request, because scanners try every port."""
IDLE_SECONDS = 60.0
"""Time for which the session of a lease stays open without connections."""
KEEPALIVE_SECONDS = 60
"""Time without data after which the system asks whether a client is still there."""

log = logging.getLogger("bindery.relay_host")


class SharedSession:
    """The session of a lease, for all its connections. It ends when it has had none for a while."""

    def __init__(self, session: Session, ended: Callable[["SharedSession"], object]) -> None:
        """`ended` is called with it when it takes no more connections."""
        self._session = session
        self._ended = ended
        self._connections = 0
        self._connected = asyncio.Event()
        self._idle: asyncio.TimerHandle | None = None
        self.task = asyncio.ensure_future(self._run())

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str | None:
        """Carry a connection until it ends. Return the reason if it was reset."""
        if self._idle is not None:
            self._idle.cancel()
        self._connections += 1
        try:
            connected = asyncio.ensure_future(self._connected.wait())
            await asyncio.wait({connected, self.task}, return_when=asyncio.FIRST_COMPLETED)
            connected.cancel()
            if not self._connected.is_set():
                writer.transport.abort()
                return "offline"
            return (await self._session.carry("", reader, writer)).why
        finally:
            self._connections -= 1
            if not self._connections:
                self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._end)

    def _end(self) -> None:
        self._ended(self)
        self.task.cancel()

    async def _run(self) -> None:
        try:
            await self._session.connect()
            self._connected.set()
            await self._session.run()
        except (Ended, Offline) as reason:
            log.info("a session ended: %s", reason)
        finally:
            self._connected.clear()
            self._ended(self)
            await self._session.close()


class RelayHost:
    """Carries the connections at its ports."""

    def __init__(self, api: Client, url: str) -> None:
        """`url` is the device link's."""
        self._api = api
        self._url = url
        self._sessions: dict[str, SharedSession] = {}
        """Sessions by credential."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusals: dict[str, tuple[float, int]] = {}
        """Time of the first refusal, and number of refusals, by client."""
        self._lookups = asyncio.Semaphore(MAX_LOOKUPS)

    async def run(self, listening: Sequence[socket.socket]) -> None:
        """Serve listening sockets until cancelled."""
        servers = [await asyncio.start_server(self._accept, sock=each) for each in listening]
        try:
            await asyncio.Event().wait()
        finally:
            for server in servers:
                server.close()
            # The sessions first: they reset the connections.
            for tasks in ([each.task for each in self._sessions.values()], list(self._tasks)):
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = writer.get_extra_info("peername")[0]
        if len(self._tasks) >= MAX_CONNECTIONS or self._recent(client)[1] >= REFUSALS:
            writer.transport.abort()
            return
        task = asyncio.ensure_future(self._attend(client, reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attend(self, client: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry a connection if its client has access."""
        port = writer.get_extra_info("sockname")[1]
        _keep_alive(writer.get_extra_info("socket"))
        try:
            access = await self._admit(port, client)
        except Failure as failure:
            if failure.code is Exit.NOT_FOUND:
                self._refuse(client)
            log.info("%s at port %d was refused: %s", client, port, failure.text)
            writer.transport.abort()
            return
        log.info("%s at port %d reaches device %s as %s", client, port, access["device"], access["caller"])
        why = await self._session(access).carry(reader, writer)
        log.info("%s at port %d has left%s", client, port, "" if why is None else f" ({why})")

    async def _admit(self, port: int, client: str) -> Mapping[str, Any]:
        """Return a client's access at a port. Raises `Failure`."""
        async with self._lookups:
            query = {"port": port, "client": client}
            access: Mapping[str, Any] = await asyncio.to_thread(
                self._api.ask, "GET", "connections", "relay", query=query
            )
            return access

    def _recent(self, client: str) -> tuple[float, int]:
        """Return the time of the first and the number of a client's recent refusals."""
        now = time.monotonic()
        since, count = self._refusals.get(client, (now, 0))
        return (since, count) if now - since < REFUSED_SECONDS else (now, 0)

    def _refuse(self, client: str) -> None:
        self._refusals = {each: self._recent(each) for each in self._refusals if self._recent(each)[1]}
        since, count = self._recent(client)
        self._refusals[client] = (since, count + 1)

    def _session(self, access: Mapping[str, Any]) -> SharedSession:
        """Return the session of a lease, which is opened if there is none."""
        credential: str = access["credential"]
        if credential not in self._sessions:
            session = Session(self._url, credential, access["expires_at"] / 1000, partial(log.info, "a session: %s"))
            self._sessions[credential] = SharedSession(session, partial(self._forget, credential))
        return self._sessions[credential]

    def _forget(self, credential: str, ended: SharedSession) -> None:
        # Another session of the lease may have taken its place.
        if self._sessions.get(credential) is ended:
            del self._sessions[credential]


def _keep_alive(connection: socket.socket) -> None:
    """Find clients that have vanished."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # Not every system can change its two hours.
    if (idle := getattr(socket, "TCP_KEEPIDLE", None)) is not None:
        connection.setsockopt(socket.IPPROTO_TCP, idle, KEEPALIVE_SECONDS)
