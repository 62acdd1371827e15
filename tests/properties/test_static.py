"""Static checks that the code does not compare a secret with == or log one.

`tests/stack/test_layering.py` checks that nothing scans a table.
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
"""Name parts that denote a secret or a credential."""

COMPARED = {
    "layers/bindery/bindery/connectivity/device_credentials.py": [
        # The credential was looked up by this hash in an index.
        "named.get('credential') != hashed"
    ],
    "layers/bindery/bindery/directory/api_keys.py": [
        # A key's id, by which operators name it in paths. It is the hash of a random key.
        "hashed in found['live_keys'][kind]"
    ],
    "layers/bindery/bindery/feed/chain.py": [
        # The hashes of events are public.
        "event['hash'] != digest(event)",
        "event['previous'] == before['hash']",
    ],
}
"""Comparisons by `==` or `in` of names that denote a secret, each with the reason why it is safe."""

CONSTANT_TIME = {
    "layers/bindery/bindery/connectivity/leases.py",
    "layers/bindery/bindery/connectivity/streams.py",
    "layers/bindery/bindery/operators/receipts.py",
    "layers/bindery/bindery/quectel/share_codes.py",
    "layers/bindery/bindery/quectel/login.py",
    "layers/bindery/bindery/remoteit/login.py",
    "layers/bindery/bindery/rufus/device_lists.py",
    "layers/bindery/bindery/security/passwords.py",
    "layers/bindery/bindery/quectel/claim_codes.py",
}
"""Modules that compare secrets. API keys and deviceids are looked up by their hash; PyJWT compares tokens."""

LOGGED = {"reason", "by", "command", "error", "ok", "position", "request", "request_id", "status", "throttled"}
LOGGED |= {"records", "events", "set_aside", "complete", "event_id", "event", "change", "webhook", "attempts"}
"""Fields of a log line besides its name, level, time and `metrics.members`."""

every_source = pytest.mark.parametrize("source", SOURCES, ids=lambda source: str(source.relative_to(ROOT)))


def place(source: Path) -> str:
    return str(source.relative_to(ROOT))


def named(node: ast.expr) -> Iterator[str]:
    """Yield the names in an expression that denote its content; for a call, those of the function and its arguments."""
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
    """Yield the comparisons by value of names that denote a secret."""
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
def test_secrets_are_not_compared_with_equals(source: Path) -> None:
    assert list(compared(source)) == COMPARED.get(place(source), [])


def test_secrets_are_compared_in_constant_time() -> None:
    found = {
        place(source) for source in SOURCES for call in calls(source) if ast.unparse(call.func) == "hmac.compare_digest"
    }
    assert found == CONSTANT_TIME


@every_source
def test_log_calls_have_a_constant_message_and_no_secrets(source: Path) -> None:
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
                assert all(ast.unparse(value).startswith(("emf.members(", "logged")) for value in more)
                assert not any(SECRET.search(name) for value in keyword.value.values for name in named(value))


@every_source
def test_only_the_logger_logs(source: Path) -> None:
    # ruff forbids print. The issuer's keys are fetched in a separate thread, which logs what PyJWT does.
    other = re.search(r"\bimport (logging|warnings|sys|syslog)\b", source.read_text())
    assert other is None or (source.name, other[1]) == ("oidc.py", "logging")
