"""The documentation page: the OpenAPI document in Swagger UI, in files that need nothing from elsewhere.

`make docs` writes them for hosting: there they are read. The local server serves the same files under /docs, and there
operations are tried too: it alone fills in credentials, those of its own demo data.
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

from tools import openapi
from tools.docs.samples import Samples, samples
from tools.voices import VARIABLES

OWN = ("index.html", "page.js")
VIEWER = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png", "LICENSE")
"""The viewer's files that the page needs, and its licence."""


def files(tried_with: Mapping[str, str] | None = None, filled_in: Samples | None = None) -> dict[str, bytes]:
    """The page's files by name. With credentials, by security scheme, operations can be tried."""
    viewer = Path(str(distribution("flask-swagger-ui").locate_file("flask_swagger_ui/dist")))
    settings = {"try": tried_with is not None, "credentials": dict(tried_with or {}), "samples": filled_in or {}}
    return {
        **{name: Path(__file__).with_name(name).read_bytes() for name in OWN},
        **{name: (viewer / name).read_bytes() for name in VIEWER},
        "openapi.json": openapi.PATH.read_bytes(),
        "settings.json": json.dumps(settings).encode(),
    }


def credentials(demo: Mapping[str, str]) -> dict[str, str]:
    """By security scheme, the credentials among the variables of demo.env; those of a user who is gone are missing."""
    return {scheme: demo[variable] for scheme, variable in VARIABLES.items() if variable in demo}


def routes(demo: Mapping[str, str]) -> list[Route]:
    """The page under /docs, and the document at /openapi.json, for a server whose demo.env has these variables.

    `tools.loopback` keeps pages of other sites from reading the credentials.
    """
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
    """Lead browsers from / to the page, and pass all other requests on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Redirect, or pass on: clients get from / what API Gateway answers."""
        browser = scope["path"] == "/" and "text/html" in Headers(scope=scope).get("accept", "")
        app = RedirectResponse("/docs/") if browser and scope["method"] == "GET" else self._app
        await app(scope, receive, send)


def _answer(name: str, content: bytes) -> Response:
    kind = mimetypes.guess_type(name)[0] or "text/plain"
    # The page's own policy is in its HTML, where this directive is ignored.
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(content, media_type=kind, headers=headers)
