"""Credentials of bindings that were made by versions without the device link (rufus and quectel)."""

from typing import Any, NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Table
from bindery.aws.expressions import Condition, absent, begins_with, equals, every
from bindery.core.errors import Reason, Refused
from bindery.registry import identity, items
from bindery.security import secrets

PAGE = 500
"""Entries of the index that a call examines, and so the most bindings that it changes, in a few seconds."""

_OF_DEVICES_THAT_CONNECT = begins_with("holder_sort", "rufus#") | begins_with("holder_sort", "quectel#")
_BINDING = absent("kind") | equals("kind", "binding")
"""Not a share."""


class Progress(NamedTuple):
    """Result of a call. `cursor` continues after it, and is None at the end."""

    examined: int
    changed: int
    cursor: str | None


def run(cursor: str | None) -> Progress:
    """Give the bindings in a part of the index their credentials. Raises `INVALID`."""
    missing = every([_OF_DEVICES_THAT_CONNECT, _BINDING, absent("credential")])
    found = dynamodb.scan(Table.BINDINGS, items.BY_HOLDER, missing, PAGE, cursor)
    return Progress(found.examined, sum(map(_complete, found.items)), found.cursor)


def _complete(binding: dict[str, Any]) -> bool:
    """Return True if the binding had no credential. It may have ended, or got one, since it was read."""
    unchanged = every([equals("binding", binding["binding"]), _same_key(binding), absent("credential")])
    credential: items.Binding = {"credential": _credential(binding)}
    key: Key[items.Binding] = Key(Table.BINDINGS, binding["pk"], binding["sk"])
    try:
        dynamodb.write(key.update(set=credential, when=unchanged.raises(Reason.NOT_FOUND)))
    except Refused as refused:
        if refused.reason is not Reason.NOT_FOUND:
            raise
        return False
    return True


def _same_key(binding: dict[str, Any]) -> Condition:
    return equals("key_id", binding["key_id"]) if "key_id" in binding else absent("key_id")


def _credential(binding: dict[str, Any]) -> str:
    of_company = identity.parts(binding["pk"]).get("deviceid_hash")
    return of_company or secrets.fingerprint(secrets.auth_key(binding.get("key_id", binding["binding"])))
