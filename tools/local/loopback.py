"""Protect the local server from other machines and websites."""

import socket
from collections.abc import Collection
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

ADDRESS = "127.0.0.1"
NAMES = (ADDRESS, "localhost")
CONTAINERS = "host.docker.internal"
"""Host name of this machine in its containers."""


def listen(address: str, port: int = 0) -> socket.socket:
    """Listen on a port, or on any free one. Raises `OSError`."""
    listening = socket.create_server((address, port), backlog=128)
    # asyncio sets this only for sockets that it creates. Without it, the second part of each response waits 40 ms for
    # the client's acknowledgement of the first.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


class Guard:
    """Route requests from this machine to `app` and from its containers to `for_containers`.

    Any other `Host` (DNS rebinding) or `Origin` (cross-site requests) is refused, unless it is one of `origins`.
    """

    def __init__(self, app: ASGIApp, for_containers: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._for_containers = for_containers
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route or refuse a request."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name = host.partition(":")[0]
        app: ASGIApp = JSONResponse({"message": "Forbidden"}, HTTPStatus.FORBIDDEN)
        origin = headers.get("origin", f"http://{host}")
        if origin == f"http://{host}" or not {origin, "*"}.isdisjoint(self._origins):
            if name in NAMES and scope["server"][0] == ADDRESS:
                app = self._app
            elif name == CONTAINERS:
                app = self._for_containers
        await app(scope, receive, send)
