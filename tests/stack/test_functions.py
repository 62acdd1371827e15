"""Each function has a source file, a sample event and routes, and there are no other such files."""

import json
import re
from pathlib import Path

import pytest

from bindery.http import fallback
from tools import template
from tools.template import ROOT, Function, Route

DEFAULT = Route("$default", "$default")


def files(folder: str) -> set[Path]:
    """Return all files in a folder of the project, except bytecode."""
    return {path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def matches(route: Route, method: str, path: str) -> bool:
    pattern = re.sub(r"\{[^/+]+\}", "[^/]+", route.path).replace("{proxy+}", ".+")
    return route == DEFAULT or (route.method in (method, "ANY") and re.fullmatch(pattern, path) is not None)


def test_each_source_file_belongs_to_one_function():
    sources = {function.source for function in template.functions()}
    assert files("functions") == sources | {ROOT / "functions/Makefile", ROOT / "functions/ruff.toml"}


def test_each_sample_event_belongs_to_one_function():
    assert files("events") == {function.event for function in template.http_functions()}


def test_functions_share_no_route_or_handler():
    taken = [route for function in template.functions() for route in function.routes]
    without = {function.name for function in template.functions() if not function.routes}
    others = {"feed.deliver", "feed.record", "relay.forward"}
    assert without == others | {function.name for function in template.link().values()}
    assert len(taken) == len(set(taken))
    assert len({function.name for function in template.functions()}) == len(template.functions())
    assert DEFAULT in taken


@pytest.mark.parametrize("function", template.functions(), ids=lambda function: function.name)
def test_function_description_names_its_api(function: Function):
    properties = template.document()["Resources"][function.logical_id]["Properties"]
    dialect = function.name.partition(".")[0]
    assert properties["Description"].startswith("$default: " if dialect == "default" else f"{dialect}: ")


@pytest.mark.parametrize("function", template.http_functions(), ids=lambda function: function.name)
def test_sample_event_is_complete(function: Function):
    event = json.loads(function.event.read_text())
    context = event["requestContext"]
    method, path = context["http"]["method"], context["http"]["path"]
    route = next(route for route in function.routes if matches(route, method, path))
    assert event["version"] == "2.0"
    assert event["rawPath"] == path
    assert (
        event["routeKey"] == context["routeKey"] == ("$default" if route == DEFAULT else f"{route.method} {route.path}")
    )
    assert list(event.get("pathParameters", {})) == re.findall(r"\{([^/+]+)\+?\}", route.path)
    assert all(name == name.lower() for name in event["headers"])


def test_only_admin_routes_require_iam():
    for function in template.functions():
        for route in function.routes:
            assert route.iam == route.path.startswith("/admin/v1/") == function.name.startswith("admin."), route


def test_each_route_matches_exactly_one_api_prefix():
    for function in template.functions():
        for route in (route for route in function.routes if route != DEFAULT and not route.iam):
            prefixes = [prefix for prefix in fallback.DIALECTS if route.path.startswith(prefix)]
            assert [fallback.DIALECTS[prefix] for prefix in prefixes] == [function.name.partition(".")[0]], route
    for prefix in fallback.DIALECTS:
        assert [other for other in fallback.DIALECTS if other.startswith(prefix)] == [prefix]
