"""`bindery doctor`."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import httpx
import typer

from tools.cli import output
from tools.cli.client import Client, Exit, Failure
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


BYTES = 65536
"""Sent through the device link."""


def doctor(context: Context) -> Any:
    """Check an installation: registry, device link and every route.

    The exit code is 1 if any check fails.
    """
    health = context.api.post("doctor")
    checks = [*health["checks"], _link(context.api), *(_ask(context.api, route) for route in _routes())]
    return {"healthy": all(check["healthy"] for check in checks), "checks": checks}


def _link(api: Client) -> dict[str, Any]:
    """Send bytes to a temporary device and back."""
    from tools.tunnel import round_trip  # slow to import, and only needed here

    try:
        test = api.post("doctor", "link")
        try:
            (seconds,) = round_trip.measure(test, [BYTES])
        finally:
            api.ask("DELETE", "doctor", "link", test["run"])
    except Failure as failure:
        if failure.code is Exit.FORBIDDEN:
            return _found("device link", "skipped: you do not have permission to test it")
        return _found("device link", failure.text, healthy=False)
    except round_trip.LinkError as error:
        return _found("device link", str(error), healthy=False)
    return _found("device link", f"{BYTES // 1024} KB round trip in {seconds:.2f} s")


def _found(name: str, detail: str, *, healthy: bool = True) -> dict[str, Any]:
    return {"name": name, "healthy": healthy, "detail": detail}


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
        return _found(name, str(error) or repr(error), healthy=False)
    answered = "x-request-id" in answer.headers
    if route.iam and answer.status_code == httpx.codes.FORBIDDEN and not answered:
        # The gateway denied access, so it has the route.
        return _found(name, "skipped: you do not have permission to call it")
    return _found(name, f"HTTP {answer.status_code}", healthy=answered and answer.status_code < 500)
