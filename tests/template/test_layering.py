"""Imports run one way, and what one room alone may know stays in it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.template import ROOT

LAYER = ROOT / "layers/bindery/bindery"

RULES = "rules"
ROOMS = (
    "clock faults settings",
    "attributes aws wire",
    "dynamo keyring",
    "identity sealing",
    "fields",
    RULES,
    "dialects edge",
    "admin routes",
)
"""The modules (or packages) of each room; one imports only from rooms before its own. What is not named is a rule, and
rules may import each other."""

OWNERS = {
    "boto3": set(),
    "botocore": {"aws", "dynamo"},
    "cryptography": {"sealing"},
    "os": {"settings"},
    "time": {"clock", "dynamo", "issuer", "wire"},
    "aws_lambda_powertools": {"admin", "edge"},
    "http": {"issuer"},
    "socket": {"issuer"},
    "ssl": {"issuer"},
}
"""What is imported by these modules of the layer alone."""

BELOW = {"aws", "clock", "dynamo", "keyring", "sealing", "settings"}
"""What no function imports: it asks a rule."""


def name(source: Path) -> str:
    """`bindings.company`; a package has its folder's name."""
    return ".".join(source.relative_to(LAYER).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name(source): source for source in sorted(LAYER.rglob("*.py"))}
FUNCTIONS = {
    ".".join(source.relative_to(ROOT / "functions").with_suffix("").parts): source
    for source in sorted((ROOT / "functions").rglob("*.py"))
}

every_module = pytest.mark.parametrize("module", MODULES)
every_function = pytest.mark.parametrize("function", FUNCTIONS)


def imports(source: Path) -> set[str]:
    """Everything that a file imports, names included: `from a import b` gives `a` and `a.b`."""
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
    """The layer's modules that a file imports."""
    return {found.removeprefix("bindery.") for found in imports(source)} & set(MODULES) - {"__init__"}


def room(module: str) -> int:
    rooms = [rank for rank, names in enumerate(ROOMS) if module.partition(".")[0] in names.split()]
    return rooms[0] if rooms else ROOMS.index(RULES)


@every_module
def test_a_module_imports_only_from_the_rooms_before_its_own(module: str):
    for imported in of_the_layer(MODULES[module]) - {module.partition(".")[0]}:
        within_the_rules = room(module) == room(imported) == ROOMS.index(RULES)
        assert room(imported) < room(module) or within_the_rules, imported


@pytest.mark.parametrize("package", OWNERS)
def test_what_one_room_knows_no_other_imports(package: str):
    users = {
        module
        for module, source in MODULES.items()
        if any(found == package or found.startswith(package + ".") for found in imports(source))
    }
    assert users == OWNERS[package]


@every_function
def test_a_function_knows_the_layer_and_no_machinery(function: str):
    found = imports(FUNCTIONS[function])
    assert not {whole.partition(".")[0] for whole in found} & {
        "aws_lambda_powertools",
        "boto3",
        "botocore",
        "functions",
        "json",
        "os",
        *(other.partition(".")[0] for other in FUNCTIONS),
    }
    assert not of_the_layer(FUNCTIONS[function]) & BELOW


@every_function
def test_a_function_catches_nothing_and_knows_no_status(function: str):
    for node in ast.walk(ast.parse(FUNCTIONS[function].read_text())):
        assert not isinstance(node, ast.Try | ast.TryStar)
        assert not (isinstance(node, ast.Constant) and type(node.value) is int and 200 <= node.value < 600)


@every_function
def test_a_function_speaks_its_own_dialect(function: str):
    dialects = {found for found in of_the_layer(FUNCTIONS[function]) if found.startswith("dialects.")}
    dialect = function.partition(".")[0]
    assert dialects == (set() if dialect in ("admin", "default") else {f"dialects.{dialect}"})


@pytest.mark.parametrize("source", [*MODULES.values(), *FUNCTIONS.values()], ids=lambda source: source.stem)
def test_nothing_scans_a_table(source: Path):
    assert not re.search(
        r"""[.'"](scan|execute_statement|batch_execute_statement)\b""", source.read_text(), re.IGNORECASE
    )


OUT_OF_REACH = {"admin", "aws", "dynamo", "edge", "faults", "issuer", "keyring"}
"""Who learns, or says, that a service could not be reached."""


@pytest.mark.parametrize("module", [module for module in MODULES if not module.startswith("dialects.")])
def test_a_rule_that_another_change_came_in_the_way_of_does_not_say_that_a_table_is_out_of_reach(module: str):
    # Anyone can ask for two changes at once, and UNAVAILABLE is an error of ours, of which three undo a deployment.
    told = MODULES[module].read_text().replace("unavailable: Reason = Reason.UNAVAILABLE", "")
    assert module in OUT_OF_REACH or "Reason.UNAVAILABLE" not in told


PATTERNS = {"compile", "findall", "finditer", "fullmatch", "match", "search", "split", "sub"}


def patterns(source: Path) -> Iterator[tuple[str, bool]]:
    """The literal patterns that a file passes to `re`, each with True if it is multi-line."""
    for call in ast.walk(ast.parse(source.read_text())):
        match call:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=used), args=[pattern, *others]) if (
                used in PATTERNS
            ):
                text = "".join(str(node.value) for node in ast.walk(pattern) if isinstance(node, ast.Constant))
                yield text, "MULTILINE" in "".join(map(ast.dump, others))


@pytest.mark.parametrize("folder", ["layers", "functions", "tools"])
def test_no_pattern_of_re_ends_in_a_dollar(folder: str) -> None:
    r"""Python's `$` also matches before a line feed at the end; `fullmatch` and `\Z` do not."""
    found = [
        f"{source.relative_to(ROOT)}: {text}"
        for source in sorted((ROOT / folder).rglob("*.py"))
        for text, lines in patterns(source)
        if text.endswith("$") and not text.endswith(r"\$") and not lines
    ]
    assert found == []
