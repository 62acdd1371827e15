"""Keep other websites, and what else is not on this machine, away from the local server."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

ADDRESS = "127.0.0.1"
NAMES = (ADDRESS, "localhost")
CONTAINERS = "host.docker.internal"
"""The name by which containers on this machine call it."""


class Guard:
    """Pass on requests from this machine to `app`, and those that its containers send to `for_containers`.

    Any other `Host` is refused, because a website can make its own name lead here (DNS rebinding). So is the `Origin`
    of another site, because a browser sends requests of every page it shows.
    """

    def __init__(self, app: ASGIApp, for_containers: ASGIApp) -> None:
        self._app = app
        self._for_containers = for_containers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it as API Gateway refuses an unknown host."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name = host.partition(":")[0]
        app: ASGIApp = JSONResponse({"message": "Forbidden"}, HTTPStatus.FORBIDDEN)
        if headers.get("origin", f"http://{host}") == f"http://{host}":
            if name in NAMES and scope["server"][0] == ADDRESS:
                app = self._app
            elif name == CONTAINERS:
                app = self._for_containers
        await app(scope, receive, send)
