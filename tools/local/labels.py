"""The HTTP API that serves devices at the labels of connections: `http://<label>.localhost:PORT`."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPMethod
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from tools import template
from tools.local import loopback
from tools.local.gateway import Gateway

_HOST = re.compile(r"proxy[a-z]{16}\.localhost(:[0-9]+)?", re.IGNORECASE)


def gateway() -> Gateway:
    """Return the API, which has only a default route and no CORS settings."""
    return Gateway([template.relay()])


class Labels:
    """Route requests to a label, from this machine, to `labelled` and others to `app`.

    A label is a secret, so that any website can refer to it, as on AWS: `Origin` is not checked.
    """

    def __init__(self, labelled: ASGIApp, app: ASGIApp) -> None:
        self._labelled = labelled
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route a request by its host."""
        host = Headers(scope=scope).get("host", "")
        if not _HOST.fullmatch(host) or scope["server"][0] != loopback.ADDRESS:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # An HTTP API has no WebSockets: the function responds to the upgrade request.
            await self._labelled({**scope, "type": "http", "method": HTTPMethod.GET}, _no_body, _refusing(send))
        else:
            await self._labelled(scope, receive, send)


async def _no_body() -> MutableMapping[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


def _refusing(send: Send) -> Callable[[MutableMapping[str, Any]], Awaitable[None]]:
    """Send a response that refuses a WebSocket."""

    async def refuse(message: MutableMapping[str, Any]) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return refuse
