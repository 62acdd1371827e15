"""`bindery doctor`."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import httpx
import typer

from tools.cli import output
from tools.cli.client import Client
from tools.cli.command import Context, command

if TYPE_CHECKING:
    from tools.template import Route


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, failed=lambda health: not health["healthy"], done=_summary)(doctor)


def _summary(health: Mapping[str, Any]) -> str:
    checks = health["checks"]
    failed = [output.escape(check["name"]) for check in checks if not check["healthy"]]
    total = f"{len(checks)} checks: "
    summary = total + (f"{len(failed)} failed ({', '.join(failed)})" if failed else "all passed")
    lines = [f"{'ok' if check['healthy'] else 'FAILED':6}  {check['name']}: {check['detail']}" for check in checks]
    return "\n".join([*map(output.escape, lines), "", summary])


def doctor(context: Context) -> Any:
    """Check an installation's registry and every route. The exit code is 1 if any check fails."""
    health = context.api.post("doctor")
    checks = [*health["checks"], *(_ask(context.api, route) for route in _routes())]
    return {"healthy": all(check["healthy"] for check in checks), "checks": checks}


def _routes() -> "list[Route]":
    from tools import template  # slow to import, and only needed here

    return [route for function in template.functions() for route in function.routes]


def _ask(api: Client, route: "Route") -> dict[str, Any]:
    """Send a request that the route's function refuses: for admin routes, HEAD."""
    name = route.path if route.path == "$default" else f"{route.method} {route.path}"
    address = "/" if route.path == "$default" else re.sub(r"\{[^}]+\}", "doctor", route.path)
    method = "HEAD" if route.iam else "GET" if route.method in ("ANY", "$default") else route.method
    try:
        answer = api.probe(method, address, signed=route.iam)
    except httpx.TransportError as error:
        return {"name": name, "healthy": False, "detail": str(error) or repr(error)}
    answered = "x-request-id" in answer.headers
    if route.iam and answer.status_code == httpx.codes.FORBIDDEN and not answered:
        # The gateway denied access, so it has the route.
        return {"name": name, "healthy": True, "detail": "skipped: you do not have permission to call it"}
    return {"name": name, "healthy": answered and answer.status_code < 500, "detail": f"HTTP {answer.status_code}"}
