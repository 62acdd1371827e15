"""`bindery doctor`."""

import re
from typing import Any

import httpx
import typer

from tools.cli.client import Client
from tools.cli.command import command


def register(app: typer.Typer) -> None:
    """Make it a command of `app`."""
    command(app, failed=lambda health: not health["healthy"])(doctor)


def doctor(api: Client) -> Any:
    """Say whether an installation works: its registry, and each of its routes. Exit code 1: something does not."""
    health = api.post("doctor")
    checks = [*health["checks"], *(_route(api, method, path) for method, path in _routes())]
    return {"healthy": all(check["healthy"] for check in checks), "checks": checks}


def _routes() -> list[tuple[str, str]]:
    from tools import template  # takes a while, which no other command needs

    return [
        (route.method, route.path) for function in template.functions() for route in function.routes if not route.iam
    ]


def _route(api: Client, method: str, path: str) -> dict[str, Any]:
    """Ask a route as nobody in particular, with nothing: that is refused, but by its function."""
    name = path if method == path else f"{method} {path}"
    address = "/" if path == "$default" else re.sub(r"\{[^}]+\}", "doctor", path)
    verb = "GET" if method in ("ANY", "$default") else method
    try:
        answer = api.http.request(verb, api.endpoint + address)
    except httpx.TransportError as error:
        return {"name": name, "healthy": False, "detail": str(error) or repr(error)}
    healthy = answer.status_code < 500 and "x-request-id" in answer.headers
    return {"name": name, "healthy": healthy, "detail": f"HTTP {answer.status_code}"}
