"""Write docs/data-model.md from `bindery.registry.items`: `python -m tools.generate.data_model`.

Keys are shown with parameters in braces.
"""

import ast
import base64
import inspect
import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, NamedTuple, get_args, get_type_hints
from unittest.mock import patch

from bindery.aws.dynamodb import Index, Key, Partition, Table
from bindery.core import clock
from bindery.registry import identity, items
from bindery.security import secrets
from tools.generate import sample_items
from tools.template import ROOT

PAGE = ROOT / "docs/data-model.md"

HEAD = """# Data model

Every item in the five tables. This page is generated from
[`bindery/registry/items.py`](../layers/bindery/bindery/registry/items.py), the only module that builds keys and names
attributes: change that module and run `make generate`.

`{…}` is a value; `{hash}` is an HMAC or SHA-256 that does not reveal what it was made of. A part of a key that is not
the last has its `#` and `%` escaped. Times are milliseconds since the Unix epoch, except `expires_at`,
`accepting_until`, `offered_until` and the values in `shares` and `leases`, which are seconds, and `full_at`, which is
microseconds. Items of `bindings`, `frames` and `history` with an `expires_at` are removed by time to live; reads do not
rely on that. Every item can also have `changed_by` and `changed_at`: the operator who changed it last, and when;
and `changed_in`: the time and id of the last bulk job that changed it.

The examples were written by the operations' own code, with a fixed time and fixed random values. Sets are shown as
lists, and binary values in base64.

## Indexes

| Index | Partition key | Sort key | Use |
|---|---|---|---|
"""

_WRITES = {"put", "update", "delete"}


class Kind(NamedTuple):
    """A kind of item: name, description, attributes (name, type, description), keys by key function."""

    name: str
    doc: str
    attributes: list[tuple[str, str, str]]
    keys: dict[str, Key[Any]]


def kinds() -> Iterator[Kind]:
    """Yield the kinds of items in the order of the module."""
    tree = ast.parse(inspect.getsource(items))
    keys = _results(Key)
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        made = {name: key for name, (kind, key) in keys.items() if kind == node.name}
        if made:
            yield Kind(node.name, ast.get_docstring(node) or "", list(_attributes(tree, node)), made)


def _attributes(tree: ast.Module, node: ast.ClassDef) -> Iterator[tuple[str, str, str]]:
    for base in node.bases:
        for parent in tree.body:
            if isinstance(parent, ast.ClassDef) and isinstance(base, ast.Name) and parent.name == base.id != "Stored":
                yield from _attributes(tree, parent)
    for member, following in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
            text = ""
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                text = inspect.cleandoc(str(following.value.value))
            yield member.target.id, ast.unparse(member.annotation), text


class _Placeholder(str):
    """A parameter's name in braces, also where it is a number."""

    __slots__ = ()

    def __format__(self, specification: str) -> str:
        return str(self)

    def __rsub__(self, number: int) -> "_Placeholder":
        return _Placeholder(f"{{{number} - {self[1:-1]}}}")


def _results(wanted: type[Any]) -> dict[str, tuple[str, Any]]:
    """Call the functions of `items` that return `wanted` with placeholders; return results and kinds."""
    hints = get_type_hints(items)
    found = {
        name: (get_args(hints[name])[0].__name__, value)
        for name, value in vars(items).items()
        if isinstance(value, wanted)
    }
    hashed = SimpleNamespace(hex=lambda: "{hash}")
    with (
        patch.object(secrets, "derive", lambda *_: hashed),
        patch.object(secrets, "fingerprint", lambda _: "{hash}"),
        patch.object(identity, "network", str),
        patch.object(clock, "today", lambda: SimpleNamespace(isoformat=lambda: "{day}")),
        patch.object(items, "_NETWORK_DIGITS", None),
        patch.object(items, "shard", lambda *_: _Placeholder("{shard}")),
    ):
        for name, function in inspect.getmembers(items, inspect.isfunction):
            kind = get_type_hints(function).get("return")
            if name.startswith("_") or name == "key_of" or getattr(kind, "__origin__", None) is not wanted:
                continue
            values: dict[str, Any] = {
                parameter: _Placeholder(f"{{{parameter}}}") for parameter in inspect.signature(function).parameters
            }
            if "table" in values:
                values["table"] = Table.BINDINGS
            if "key" in values:
                values["key"] = Key(Table.DIRECTORY, "{pk}")
            found[name] = (get_args(kind)[0].__name__, function(**values))
    return found


def writers() -> dict[str, list[str]]:
    """Return the modules that write an item, by key function."""
    layer = ROOT / "layers/bindery/bindery"
    found: dict[str, set[str]] = {}
    for source in sorted(layer.rglob("*.py")):
        module = ".".join(source.relative_to(layer).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(source.read_text())
        named = {
            target.id: made
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and (made := _key_function(node.value))
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _WRITES:
                value = node.func.value
                made = named.get(value.id) if isinstance(value, ast.Name) else _key_function(value)
                if made:
                    found.setdefault(made, set()).add(module)
    return {name: sorted(modules) for name, modules in found.items()}


def _key_function(node: ast.expr) -> str | None:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="items"), attr=name)):
            return name
    return None


def text() -> str:
    """Return the page."""
    lines = [HEAD.rstrip("\n")]
    docs = _docs()
    for name, index in sorted(vars(items).items()):
        if isinstance(index, Index):
            lines.append(
                f"| `{index.name}` | `{index.partition}` | {f'`{index.sort}`' if index.sort else ''} | {docs[name]} |"
            )
    written, examples = writers(), sample_items.by_kind()
    for kind in kinds():
        lines += ["", f"## {_words(kind.name)}", "", kind.doc.replace("\n", " ").strip(), ""]
        lines += ["| Table | `pk` | `sk` | Function | Written in |", "|---|---|---|---|---|"]
        for name, key in kind.keys.items():
            table = key.table.name.lower()
            modules = ", ".join(f"`{module}`" for module in written.get(name, ())) or ""
            lines.append(f"| `{table}` | `{key.pk}` | {f'`{key.sk}`' if key.sk else ''} | `{name}` | {modules} |")
        lines += ["", "| Attribute | Type | |", "|---|---|---|"]
        for name, type_, doc in kind.attributes:
            lines.append(f"| `{name}` | `{type_.replace('|', chr(92) + '|')}` | {doc.replace(chr(10), ' ')} |")
        lines += ["", "```json", _example(kind, examples[kind.name]), "```"]
    lines += ["", "## Lists", "", "| List | Table or index | Partition key | Sort keys |", "|---|---|---|---|"]
    for name, (kind_name, partition) in _results(Partition).items():
        where = partition.by.name if partition.by else partition.table.name.lower()
        sort = f"`{partition.prefix}…`" if partition.prefix else f"from `{partition.start}`" if partition.start else ""
        lines.append(f"| `{name}`: {_words(kind_name)} | `{where}` | `{partition.value}` | {sort} |")
    return "\n".join(lines) + "\n"


def _example(kind: Kind, item: Mapping[str, Any]) -> str:
    """Return an item with its attributes in the kind's order. `ValueError`: it has another."""
    order = ["pk", "sk", *(name for name, _, _ in kind.attributes)]
    ordered = {name: item[name] for name in sorted(item, key=order.index)}
    return json.dumps(ordered, indent=2, ensure_ascii=False, default=_shown)


def _shown(value: set[str] | bytes) -> object:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else sorted(value)


def _docs() -> dict[str, str]:
    """Return the descriptions of the module's constants."""
    body = ast.parse(inspect.getsource(items)).body
    return {
        node.targets[0].id: str(following.value.value)
        for node, following in pairwise(body)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(following, ast.Expr)
        and isinstance(following.value, ast.Constant)
    }


def _words(name: str) -> str:
    spaced = "".join(f" {char}" if char.isupper() else char for char in name).strip()
    return spaced.capitalize()


if __name__ == "__main__":
    PAGE.write_text(text())
