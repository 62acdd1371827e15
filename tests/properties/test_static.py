"""What the code itself never does with a secret, by its syntax: compare it by ==, or hand it to a log.

That nothing scans a table stands with the layering (`tests/stack/test_layering.py`).
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.template import ROOT

SOURCES = sorted([*(ROOT / "layers/bindery/bindery").rglob("*.py"), *(ROOT / "functions").rglob("*.py")])

SECRET = re.compile(
    r"(^|_)(api_?key|auth_?(hash|key)|credential|developer_?key|device_?id|digest|encrypted|fingerprint|hash(ed)?|hmac"
    r"|mac|password|proxy|pwd|secret|sealed|share_?code|signature|signed|token)s?($|_)",
    re.IGNORECASE,
)
"""Words of names that hold a secret, or what would do as one."""

COMPARED = {
    "layers/bindery/bindery/connectivity/leases.py": [
        # The label was looked up by its value, in an index: whoever asks has it, and it is a name in the DNS.
        "lease['proxy'] == label"
    ],
    "layers/bindery/bindery/directory/api_keys.py": [
        # A key's id, by which operators name it in paths; it is the hash of a random key.
        "hashed in found['live_keys'][kind]"
    ],
}
"""The comparisons by `==` or `in` of what is named like a secret, and why each may be."""

CONSTANT_TIME = {
    "layers/bindery/bindery/quectel/share_codes.py",
    "layers/bindery/bindery/quectel/login.py",
    "layers/bindery/bindery/security/passwords.py",
}
"""Where secrets are compared; API keys and deviceids are looked up by their hash, tokens are PyJWT's to compare."""

LOGGED = {"by", "error", "position", "request", "request_id", "status", "throttled"}
"""The members that a line of the log has beside its name, its level, its time and `metrics.members`."""

every_source = pytest.mark.parametrize("source", SOURCES, ids=lambda source: str(source.relative_to(ROOT)))


def place(source: Path) -> str:
    return str(source.relative_to(ROOT))


def named(node: ast.expr) -> Iterator[str]:
    """The names by which an expression says what it holds: of a call, those of what is called and given."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            yield name
        case ast.Call(func=function, args=given):
            for part in (function, *given):
                yield from named(part)
        case ast.Subscript(value=value, slice=ast.Constant(value=str(name))):
            yield name
            yield from named(value)
        case ast.Subscript(value=value):
            yield from named(value)
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            for part in parts:
                yield from named(part)
        case ast.BinOp(left=left, right=right):
            yield from named(left)
            yield from named(right)


def compared(source: Path) -> Iterator[str]:
    """The comparisons by value of what is named like a secret."""
    for node in ast.walk(ast.parse(source.read_text())):
        if not isinstance(node, ast.Compare):
            continue
        if all(isinstance(way, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for way in node.ops):
            names = [name for side in (node.left, *node.comparators) for name in named(side)]
            if any(SECRET.search(name) for name in names):
                yield ast.unparse(node)


def calls(source: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Call))


@every_source
def test_nothing_named_like_a_secret_is_compared_by_its_value(source: Path) -> None:
    assert list(compared(source)) == COMPARED.get(place(source), [])


def test_secrets_are_compared_in_constant_time() -> None:
    found = {
        place(source) for source in SOURCES for call in calls(source) if ast.unparse(call.func) == "hmac.compare_digest"
    }
    assert found == CONSTANT_TIME


@every_source
def test_a_log_is_given_a_fixed_text_and_what_tells_nothing_secret(source: Path) -> None:
    for call in calls(source):
        if ast.unparse(call.func).startswith("logger.") and ast.unparse(call.func) != "logger.remove_keys":
            text, *others = call.args
            assert not others
            assert isinstance(text, ast.Constant) or ast.unparse(text) in ("name", "self.name")
            assert {keyword.arg for keyword in call.keywords} <= {"extra"}
            for keyword in call.keywords:
                assert isinstance(keyword.value, ast.Dict)
                members = list(zip(keyword.value.keys, keyword.value.values, strict=True))
                assert {ast.literal_eval(key) for key, _ in members if key is not None} <= LOGGED
                more = [value for key, value in members if key is None]
                assert all(ast.unparse(value).startswith("emf.members(") for value in more)
                assert not any(SECRET.search(name) for value in keyword.value.values for name in named(value))


@every_source
def test_only_request_handling_and_the_issuer_log(source: Path) -> None:
    tree = ast.parse(source.read_text())
    logs = any(isinstance(node, ast.Name | ast.alias) and "logger" in ast.unparse(node) for node in ast.walk(tree))
    module = place(source).removeprefix("layers/bindery/bindery/")
    # The issuer's keys are fetched in a separate thread, and an unusable key fails no request that could log it.
    assert logs == (module in ("operators/resource.py", "http/operation.py", "security/oidc.py"))
    text = source.read_text().replace("import logging", "") if module == "security/oidc.py" else source.read_text()
    assert not re.search(r"\bimport (logging|warnings|sys|syslog)\b|\bprint\(", text)
