"""The routes of template.yaml where they stand again: `make tables` writes them, the tests compare them.

In `bindery/http/fallback.py`, of which a function sees nothing but what is in the layer, and in the README, for people.
"""

import re

from tools import template
from tools.template import ROOT, Function, Route

MODULE = ROOT / "layers/bindery/bindery/http/fallback.py"
README = ROOT / "README.md"

ROW = re.compile(r"^\| `(?:(\w+) )?([^` ]+)` \| `([^`]+)` \| ([^|]+) \|\n", re.MULTILINE)
_TABLE = re.compile(r"(?<=^ROUTES = \{\n).*?(?=^\}$)", re.MULTILINE | re.DOTALL)


def routes() -> list[tuple[Route, Function]]:
    """Every route and its function, in the order of the gateway's definition."""
    order = list(template.api()["paths"])
    found = [(route, function) for function in template.functions() for route in function.routes]
    return sorted(found, key=lambda routed: order.index(routed[0].path))


def module() -> str:
    """`bindery/http/fallback.py` with the methods of every path that a dialect answers, in alphabetical order."""
    methods: dict[str, set[str]] = {}
    for route, _ in routes():
        # IAM answers for the operators' paths before anything of ours does.
        if route.path != "$default" and not route.iam:
            methods.setdefault(route.path, set()).add(route.method)
    lines = [f'    "{path}": ({_tuple(sorted(found))}),\n' for path, found in methods.items()]
    return _TABLE.sub(lambda _: "".join(lines), MODULE.read_text())


def _tuple(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names) + ("," if len(names) == 1 else "")


def readme() -> str:
    """The README with a row for every route; a new one says what the function's description in the template says."""
    text = README.read_text()
    said = {(method, path): words for method, path, _, words in ROW.findall(text)}
    rows = []
    for route, function in routes():
        description = template.document()["Resources"][function.logical_id]["Properties"]["Description"]
        method = "" if route.path == "$default" else route.method
        words = said.get((method, route.path), description.partition(": ")[2])
        request = f"{method} {route.path}".strip()
        rows.append(f"| `{request}` | `{function.name.replace('.', '/')}` | {words} |\n")
    first, *_, last = ROW.finditer(text)
    return text[: first.start()] + "".join(rows) + text[last.end() :]


if __name__ == "__main__":
    MODULE.write_text(module())
    README.write_text(readme())
