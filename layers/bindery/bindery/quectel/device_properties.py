"""quectel: what a device last reported about its properties. Also raises `TOKEN_INVALID` and `LOOKUP_FAILED`."""

from typing import Any, NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Read
from bindery.core.errors import Reason, Refused
from bindery.directory import tsl
from bindery.directory.sessions import Session
from bindery.quectel import user_devices
from bindery.registry import items

PROPERTIES = "2"
"""Query type of properties. 1 is the module, and 3 the location: devices report neither."""


class Attribute(NamedTuple):
    """A property and its last value."""

    described: dict[str, Any]
    """From the TSL."""
    value: str
    reported_at: int
    """In milliseconds."""


def find(session: Session, product_key: str, device_key: str, types: str | None, codes: str | None) -> list[Attribute]:
    """Return the properties of the TSL that the device has reported, or those with one of the comma-separated codes.

    Raises `QUERY_TYPE_MISSING` and `DEVICE_NOT_BOUND`.
    """
    if codes is not None and PROPERTIES not in (types or ""):
        session.look_up(Reason.LOOKUP_FAILED)
        raise Refused(Reason.QUERY_TYPE_MISSING)
    _, held, _ = user_devices.get_own(session, product_key, device_key)
    if types is not None and PROPERTIES not in types:
        return []
    reported, model = items.properties(held["device"]), items.tsl(product_key)
    found = dynamodb.get_many([Read(key, Reason.LOOKUP_FAILED) for key in (reported, model)])
    values = _visible(found[reported], held)
    wanted = values.keys() if codes is None else {code.strip() for code in codes.split(",")}
    return [
        Attribute(each, values[each["code"]]["value"], values[each["code"]]["at"])
        for each in tsl.properties(found[model])
        if each["code"] in values and each["code"] in wanted
    ]


def _visible(reported: items.Properties | None, held: items.UserDevice) -> dict[str, items.Reported]:
    """Return what the device reported under the user's binding, or since: not what it did for previous owners."""
    if reported is None:
        return {}
    own = reported["binding"] == held["binding"]
    return {code: last for code, last in reported["values"].items() if own or last["at"] >= held["bound_at"]}
