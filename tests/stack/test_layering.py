"""Import rules: packages import only those below them, and only listed modules import infrastructure."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from bindery.http import fallback
from tools.template import ROOT

LAYER = ROOT / "layers/bindery/bindery"

PACKAGES = (
    {"operators"},
    {*fallback.DIALECTS.values(), "link", "relay"},
    {"feed"},
    {"connectivity"},
    {"directory"},
    {"http"},
    {"registry"},
    {"security"},
    {"aws"},
    {"core"},
)
"""The layer's packages, from the top down. Each imports only packages below it, so no API imports another."""

OWNERS = {
    "boto3": set(),
    "botocore": {"aws.sdk"},
    "cryptography": {"security.encryption"},
    "os": {"core.env"},
    "time": {
        *("aws.connections", "aws.direct", "aws.dynamodb", "aws.responses", "aws.signing"),
        *("core.clock", "http.messages", "link.events", "link.stream_messages"),
        *("feed.sending", "relay.exchanges", "relay.forwarding", "security.oidc"),
    },
    "aws_lambda_powertools": {"http.operation", "operators.resource"},
    "http": {"relay.http_messages", "security.oidc"},
    "socket": {"aws.connections", "aws.responses", "feed.sending", "security.oidc"},
    "ssl": {"aws.connections", "feed.sending", "security.oidc"},
}
"""Modules of the layer that may import each package."""

BELOW = {"aws", "core.clock", "core.env", "security.encryption", "security.secrets"}
"""Packages and modules of the layer that functions must not import."""


def name(source: Path) -> str:
    """Return a module's dotted name within the layer; a package has its folder's name."""
    return ".".join(source.relative_to(LAYER).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name(source): source for source in sorted(LAYER.rglob("*.py")) if source.parent != LAYER}
FUNCTIONS = {
    ".".join(source.relative_to(ROOT / "functions").with_suffix("").parts): source
    for source in sorted((ROOT / "functions").rglob("*.py"))
}


@cache
def imports(source: Path) -> set[str]:
    """Return all that a file imports, including names: `from a import b` gives `a` and `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source} imports relatively"
            found.add(str(node.module))
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def of_the_layer(source: Path) -> set[str]:
    return {found.removeprefix("bindery.") for found in imports(source)} & set(MODULES)


def level(module: str) -> int:
    return next(number for number, names in enumerate(PACKAGES) if module.partition(".")[0] in names)


def test_module_imports_only_packages_below_its_own():
    assert [
        (module, imported)
        for module, source in MODULES.items()
        for imported in of_the_layer(source)
        if imported.partition(".")[0] != module.partition(".")[0] and level(module) >= level(imported)
    ] == []


@pytest.mark.parametrize("package", OWNERS)
def test_only_listed_modules_import_a_package(package: str):
    users = {
        module
        for module, source in MODULES.items()
        if any(found == package or found.startswith(package + ".") for found in imports(source))
    }
    assert users == OWNERS[package]


def test_function_imports_no_infrastructure_module():
    others = {name.partition(".")[0] for name in FUNCTIONS}
    forbidden = {"aws_lambda_powertools", "boto3", "botocore", "functions", "json", "os", *others}
    for function, source in FUNCTIONS.items():
        assert not {whole.partition(".")[0] for whole in imports(source)} & forbidden, function
        below = {found for whole in of_the_layer(source) for found in (whole, whole.partition(".")[0])}
        assert not below & BELOW, function


def test_function_catches_no_exception_and_names_no_status():
    for function, source in FUNCTIONS.items():
        for node in ast.walk(ast.parse(source.read_text())):
            assert not isinstance(node, ast.Try | ast.TryStar), function
            assert not (isinstance(node, ast.Constant) and type(node.value) is int and 200 <= node.value < 600), (
                function
            )


def test_function_imports_no_other_api():
    for function, source in FUNCTIONS.items():
        apis = {found.partition(".")[0] for found in of_the_layer(source)} & PACKAGES[1]
        api = function.partition(".")[0]
        assert api not in PACKAGES[1] or apis == {api}, function


def test_only_an_operators_task_scans():
    scans = re.compile(r"""[.'"](scan|execute_statement|batch_execute_statement)\b""", re.IGNORECASE)
    found = {name for name, source in {**MODULES, **FUNCTIONS}.items() if scans.search(source.read_text())}
    assert found == {"aws.dynamodb", "operators.credential_backfill", "operators.deletion"}


UNAVAILABLE = {
    *("aws.clients", "aws.dynamodb", "aws.functions", "aws.links", "core.errors", "http.operation"),
    *("feed.bus", "feed.recording"),
    *("link.events", "link.stream_messages", "operators.doctor", "operators.resource"),
    *("relay.forwarding", "relay.refusals"),
    *("security.oidc", "security.secrets"),
}
"""Modules that detect or report an unreachable service."""


def test_conflict_is_not_reported_as_unavailable():
    # Any caller can cause a conflict, but three UNAVAILABLE responses roll back a deployment.
    naming = {
        module
        for module, source in MODULES.items()
        if "Reason.UNAVAILABLE" in source.read_text().replace("unavailable: Reason = Reason.UNAVAILABLE", "")
    }
    assert {module for module in naming if not module.endswith(".dialect")} <= UNAVAILABLE


PATTERNS = {"compile", "findall", "finditer", "fullmatch", "match", "search", "split", "sub"}


def patterns(source: Path) -> Iterator[tuple[str, bool]]:
    """Yield the literal patterns that a file passes to `re`, each with True if it is multi-line."""
    for call in ast.walk(ast.parse(source.read_text())):
        match call:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=used), args=[pattern, *others]) if (
                used in PATTERNS
            ):
                text = "".join(str(node.value) for node in ast.walk(pattern) if isinstance(node, ast.Constant))
                yield text, "MULTILINE" in "".join(map(ast.dump, others))


def test_patterns_do_not_end_in_a_dollar_sign() -> None:
    r"""Python's `$` also matches before a line feed at the end; `fullmatch` and `\Z` do not."""
    assert [
        f"{source.relative_to(ROOT)}: {text}"
        for folder in ("agent", "layers", "functions", "tools")
        for source in sorted((ROOT / folder).rglob("*.py"))
        for text, lines in patterns(source)
        if text.endswith("$") and not text.endswith(r"\$") and not lines
    ] == []
