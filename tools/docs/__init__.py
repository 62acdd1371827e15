"""The documentation page: the OpenAPI document in Swagger UI, in files that need nothing from elsewhere.

`make docs` writes them for hosting: there they are read. The local server serves the same files under /docs, and there
operations are tried too: it alone fills in credentials, those of its own demo data.
"""

import json
import mimetypes
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path

from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tools import openapi
from tools.voices import VARIABLES

OWN = ("index.html", "page.js")
VIEWER = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png", "LICENSE")
"""The viewer's files that the page needs, and its licence."""


def files(tried_with: Mapping[str, str] | None = None) -> dict[str, bytes]:
    """The page's files by name. With credentials, by security scheme, operations can be tried."""
    viewer = Path(str(distribution("flask-swagger-ui").locate_file("flask_swagger_ui/dist")))
    settings = {"try": tried_with is not None, "credentials": dict(tried_with or {})}
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

    They are there for this machine's own names alone: a page from elsewhere whose name was made to lead here
    (DNS rebinding) must not read the credentials.
    """
    answers = {f"/docs/{name}": _answer(name, content) for name, content in files(credentials(demo)).items()}
    answers |= {
        "/docs": RedirectResponse("/docs/"),
        "/docs/": answers["/docs/index.html"],
        "/openapi.json": answers["/docs/openapi.json"],
    }
    here = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    return [Route(path, answer, methods=["GET"], middleware=[here]) for path, answer in answers.items()]


def _answer(name: str, content: bytes) -> Response:
    kind = mimetypes.guess_type(name)[0] or "text/plain"
    return Response(
        content, media_type=kind, headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    )
