"""Lists of the routes in template.yaml (`make generate`).

`bindery/http/fallback.py` needs them because a function sees only the layer.
"""

import re

from tools import template
from tools.template import ROOT, Function, Route

MODULE = ROOT / "layers/bindery/bindery/http/fallback.py"
PAGE = ROOT / "docs/operations.md"

_METHODS = re.compile(r"(?<=^ROUTES = \{\n).*?(?=^\}$)", re.MULTILINE | re.DOTALL)
_ROUTES = re.compile(r"(?<=^<!-- routes -->\n).*?(?=^<!-- end -->$)", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| `[^`]+` \|$", re.MULTILINE)


def routes() -> list[tuple[Route, Function]]:
    """Every route and its function, in the gateway's order."""
    order = list(template.api()["paths"])
    found = [(route, function) for function in template.functions() for route in function.routes]
    return sorted(found, key=lambda routed: order.index(routed[0].path))


def module() -> str:
    """`bindery/http/fallback.py` with the operation of every public path and method."""
    operations: dict[str, dict[str, str]] = {}
    for route, function in routes():
        # Requests to the operators' paths without a valid signature never reach a function.
        if route.path != "$default" and not route.iam:
            operations.setdefault(route.path, {})[route.method] = function.name
    lines = [f'    "{path}": {{{_members(found)}}},\n' for path, found in operations.items()]
    return _METHODS.sub(lambda _: "".join(lines), MODULE.read_text())


def _members(found: dict[str, str]) -> str:
    return ", ".join(f'"{method}": "{name}"' for method, name in sorted(found.items()))


def page() -> str:
    """docs/operations.md with a table of routes for each API. New routes are described as in the template."""
    text = PAGE.read_text()
    written: dict[str, str] = dict(_ROW.findall(text))
    tables: dict[str, list[str]] = {}
    for route, function in routes():
        request = route.path if route.path == "$default" else f"{route.method} {route.path}"
        properties = template.document()["Resources"][function.logical_id]["Properties"]
        description = written.get(request, properties["Description"].partition(": ")[2])
        row = f"| `{request}` | {description} | `{function.name.replace('.', '/')}` |\n"
        tables.setdefault(function.name.partition(".")[0], []).append(row)
    head = "| route | description | function |\n|---|---|---|\n"
    content = "".join(f"\n### {api}\n\n{head}{''.join(rows)}" for api, rows in tables.items())
    return _ROUTES.sub(lambda _: f"{content}\n", text)


if __name__ == "__main__":
    MODULE.write_text(module())
    PAGE.write_text(page())
