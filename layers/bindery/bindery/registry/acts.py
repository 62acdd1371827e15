"""Operators' acts, for the change feed. Each is written in the transaction that makes the change.

There are none without an operator (`dynamodb.acting`).
"""

import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Unpack

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Put
from bindery.core import clock
from bindery.registry import items

LIFETIME = 30 * 86400
"""Seconds for which acts are stored."""


def of(device: str, **facts: Unpack[items.Act]) -> list[Put]:
    """Record an act on a device."""
    return [items.act(device, identifier).put(act) for identifier, act in _signed(facts)]


def ending(
    device: str, ended: str, why: str | None, cause: items.Cause = "operator", shares: Sequence[str] = ()
) -> list[Put]:
    """Record who ended a binding or share, by its id, and why, and the shares that ended with it in multi mode."""
    facts: items.Act = {"did": "ended", "cause": cause}
    if why is not None:
        facts["reason"] = why
    if shares:
        facts["shares"] = list(shares)
    return [items.ending(device, ended).put(act) for _, act in _signed(facts)]


def offered(device: str, offer: str) -> list[Put]:
    """Record who made an offer, by its id."""
    return [items.ending(device, offer).put(act) for _, act in _signed({"did": "offered"})]


def offer_ended(device: str, offer: str, cause: items.Cause) -> list[Put]:
    """Record who ended an offer, by its id, and how."""
    facts: items.Act = {"did": "ended", "cause": cause}
    return [items.ending(device, offer_end(offer)).put(act) for _, act in _signed(facts)]


def offer_end(offer: str) -> str:
    """Return the id of the end of an offer."""
    return f"{offer}.end"


def deleted(key: Key[Any], kind: str, name: str) -> list[Put]:
    """Record the deletion of an item."""
    facts: items.Act = {"did": "deleted", "kind": kind, "id": name}
    return [items.deletion(key, identifier).put(act) for identifier, act in _signed(facts)]


def erased(person: str, kind: Literal["user", "customer"] = "user") -> list[Put]:
    """Record the erasure of a person, by their pseudonym."""
    facts: items.Act = {"did": "erased", "person": person}
    if kind != "user":
        facts["kind"] = kind
    return [items.erasure(identifier).put(act) for identifier, act in _signed(facts)]


def _signed(facts: items.Act) -> Iterator[tuple[str, items.Act]]:
    """Yield a new id, which sorts by time, and the act of the operator, if there is one."""
    operator = dynamodb.actor()
    if operator is not None:
        now = clock.now()
        signature: items.Act = {"by": operator, "at": now, "expires_at": now // 1000 + LIFETIME}
        yield f"{now:013}-{uuid.uuid4().hex[:16]}", facts | signature
