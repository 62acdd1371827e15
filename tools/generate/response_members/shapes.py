"""Members of responses by path, such as `data.list[].sn`, from JSON Schema and from a notation for vendors' facts.

The notation is like TypeScript: `string | null`, `Device[]` for an array, `Device{}` for an object with any keys, and
`name?` for a member that is not always present.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Schema = Mapping[str, Any]

NAME = "x-name"
"""Keyword for the name of a vendor's type."""

_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_OF_CONSTANTS = {str: "string", int: "integer"}


class Kind(NamedTuple):
    """Types of a member, and whether it can be absent."""

    types: frozenset[str]
    optional: bool

    def __str__(self) -> str:
        # Null comes last.
        types = " or ".join(sorted(self.types, key=lambda name: (name == "null", name)))
        return f"{types}, or absent" if self.optional else types

    def accepts(self, other: "Kind") -> bool:
        """Return True if every value of another kind is also one of this kind."""
        return (self.optional or not other.optional) and all(map(self._has, other.types))

    def _has(self, name: str) -> bool:
        if name == "array" or "array" in self.types:
            # An array without items, or whose items are not described.
            return name.endswith("[]") or name in self.types or any(own.endswith("[]") for own in self.types)
        return name in self.types or (name == "integer" and "number" in self.types)


@dataclass
class Shape:
    """Members of a response."""

    members: dict[str, Kind] = field(default_factory=dict)
    objects: set[str] = field(default_factory=set)
    """Paths of the objects whose members are described."""
    names: dict[str, str] = field(default_factory=dict)
    """Names of the vendor's types by the path of their objects."""

    def owner(self, path: str) -> tuple[str, str]:
        """Return the innermost named type that a member is in, or "", and the path in it."""
        within = [at for at in self.names if at == "" or path.startswith(f"{at}.")]
        at = max(within, key=len, default="")
        return self.names.get(at, ""), path.removeprefix(at).removeprefix(".")


def holder(path: str) -> str:
    """Return the path of the object that has a member."""
    return path.rpartition(".")[0]


def shape(schema: Schema, named: Mapping[str, Schema]) -> Shape:
    """Return the members of values with a schema."""
    made = Shape()
    _add(made, "", [schema], named)
    return made


def schema_of(notation: Any) -> Schema:
    """Return the schema for a notation: a text, or a table of an object's members."""
    if isinstance(notation, Mapping):
        return {
            "type": "object",
            "properties": {name.removesuffix("?"): schema_of(member) for name, member in notation.items()},
            "required": [name for name in notation if not name.endswith("?")],
        }
    return {"anyOf": [_option(part.strip()) for part in notation.split("|")]}


def _option(name: str) -> Schema:
    if name.endswith("[]"):
        return {"type": "array", "items": _option(name.removesuffix("[]"))}
    if name.endswith("{}"):
        return {"type": "object", "additionalProperties": _option(name.removesuffix("{}"))}
    return {"type": name} if name in _TYPES else {"$ref": name}


def _add(made: Shape, path: str, schemas: Iterable[Schema], named: Mapping[str, Schema]) -> frozenset[str]:
    """Add the members of a value with one of these schemas, and return the value's types."""
    options = [option for schema in schemas for option in _options(schema, named)]
    objects = [option for option in options if "properties" in option]
    if objects:
        made.objects.add(path)
    for option in objects:
        if NAME in option:
            made.names[path] = option[NAME]
    for name in dict.fromkeys(name for option in objects for name in option["properties"]):
        member = f"{path}.{name}" if path else name
        # Reserve its place before that of its members.
        made.members[member] = Kind(frozenset(), optional=False)
        having = [option for option in objects if name in option["properties"]]
        always = len(having) == len(objects) and all(name in option.get("required", ()) for option in having)
        types = _add(made, member, [option["properties"][name] for option in having], named)
        made.members[member] = Kind(types, not always)
    found = {_type(option) for option in options if not _contents(option)}
    for suffix in ("[]", "{}"):
        contents = [_contents(option)[suffix] for option in options if suffix in _contents(option)]
        if contents:
            found |= {f"{name}{suffix}" for name in _add(made, f"{path}{suffix}", contents, named)}
    return frozenset(found)


def _contents(option: Schema) -> dict[str, Schema]:
    """Return the schema of an array's items, or of the values of an object with any keys, by suffix."""
    words = {"[]": "items", "{}": "additionalProperties"}
    return {suffix: option[word] for suffix, word in words.items() if isinstance(option.get(word), Mapping)}


def _type(option: Schema) -> str:
    if "type" in option:
        return str(option["type"])
    return _OF_CONSTANTS[type(option["const"])]


def _options(schema: Schema, named: Mapping[str, Schema]) -> Iterator[Schema]:
    """Yield a schema's alternatives, resolved."""
    if "$ref" in schema:
        yield from _options(named[schema["$ref"].rpartition("/")[2]], named)
    elif "anyOf" in schema:
        for option in schema["anyOf"]:
            yield from _options(option, named)
    elif "allOf" in schema:
        parts = [part for each in schema["allOf"] for part in _options(each, named)]
        yield {
            "type": "object",
            "properties": {name: member for part in parts for name, member in part["properties"].items()},
            "required": [name for part in parts for name in part["required"]],
        }
    else:
        yield schema
