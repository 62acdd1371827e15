"""Bindings and accepted shares of quectel users."""

from collections.abc import Iterator, Mapping

from bindery.aws import dynamodb
from bindery.core import clock
from bindery.core.errors import Reason
from bindery.registry import items


def of_user(uid: str, *, round_trips: int = 10, unavailable: Reason = Reason.UNAVAILABLE) -> Iterator[items.UserDevice]:
    """Yield a user's entries, including expired shares."""
    return dynamodb.query(items.user_devices(uid), consistent=True, round_trips=round_trips, unavailable=unavailable)


def lasts(held: items.UserDevice | items.Binding | None) -> bool:
    """Return True for a binding or unexpired share."""
    return held is not None and ("expires_at" not in held or held["expires_at"] > clock.seconds())


def lasting(shares: Mapping[str, int]) -> dict[str, int]:
    """Return the unexpired shares."""
    now = clock.seconds()
    return {uid: until for uid, until in shares.items() if until > now}
