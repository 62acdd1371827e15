"""Documentation page: the OpenAPI document in Swagger UI.

`make docs` writes it read-only. The local server's, at /docs, has demo credentials.
"""

import json
import mimetypes
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tools.docs.samples import Samples, samples
from tools.generate import openapi
from tools.voices import VARIABLES

OWN = ("index.html", "page.js")
VIEWER = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png", "LICENSE")
"""Files of Swagger UI, with its license."""


def files(tried_with: Mapping[str, str] | None = None, filled_in: Samples | None = None) -> dict[str, bytes]:
    """Return the page's files by name. Without credentials, the page is read-only."""
    viewer = Path(str(distribution("flask-swagger-ui").locate_file("flask_swagger_ui/dist")))
    settings = {"try": tried_with is not None, "credentials": dict(tried_with or {}), "samples": filled_in or {}}
    return {
        **{name: Path(__file__).with_name(name).read_bytes() for name in OWN},
        **{name: (viewer / name).read_bytes() for name in VIEWER},
        "openapi.json": openapi.PATH.read_bytes(),
        "settings.json": json.dumps(settings).encode(),
    }


def credentials(demo: Mapping[str, str]) -> dict[str, str]:
    """Return the available demo credentials by security scheme."""
    return {scheme: demo[variable] for scheme, variable in VARIABLES.items() if variable in demo}


def routes(demo: Mapping[str, str]) -> list[Route]:
    """Return routes for the page and the document."""
    answers = {
        f"/docs/{name}": _answer(name, content) for name, content in files(credentials(demo), samples(demo)).items()
    }
    answers |= {
        "/docs": RedirectResponse("/docs/"),
        "/docs/": answers["/docs/index.html"],
        "/openapi.json": answers["/docs/openapi.json"],
    }
    return [Route(path, answer, methods=["GET"]) for path, answer in answers.items()]


class Start:
    """Redirect browsers from / to the page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Redirect or forward a request."""
        browser = scope["path"] == "/" and "text/html" in Headers(scope=scope).get("accept", "")
        # WebSockets have no method.
        app = RedirectResponse("/docs/") if browser and scope.get("method") == "GET" else self._app
        await app(scope, receive, send)


def _answer(name: str, content: bytes) -> Response:
    kind = mimetypes.guess_type(name)[0] or "text/plain"
    # The page's policy is in its HTML, but frame-ancestors only works in a header.
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(content, media_type=kind, headers=headers)
