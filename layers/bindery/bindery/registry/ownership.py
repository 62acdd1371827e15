"""Ownership of a device: its states, and the acts that lead from one to another.

A device that is lost, retired or banned is in that state with or without a holder.
"""

from collections.abc import Mapping
from enum import Enum, StrEnum
from types import MappingProxyType

from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import items


class State(StrEnum):
    """State of a device."""

    STOCK = "stock"
    """It has no holder."""
    OWNED = "owned"
    """It has a holder."""
    OFFERED = "offered"
    """Its holder offers it to another user."""
    LOST = "lost"
    """It cannot be used until it is found. Its holder keeps it."""
    RETIRED = "retired"
    """It has no holder, and cannot be used until it is returned to stock."""
    BANNED = "banned"
    """It cannot be used until the ban is lifted."""


class Act(StrEnum):
    """An operator's act."""

    OFFER = "offer"
    ACCEPT = "accept"
    DECLINE = "decline"
    WITHDRAW = "withdraw"
    LOST = "lost"
    FOUND = "found"
    RETIRE = "retire"
    RETURN = "return"


class Obstacle(Enum):
    """A reason to refuse an act, and the next step."""

    NO_HOLDER = "The device has no holder who could offer it."
    NO_OFFER = "The device is not offered to anybody."
    OFFERED = "The device is offered to another user. To end that offer: bindery devices withdraw"
    LOST = "The device is lost. Once it is found: bindery devices found. To take it out of use: bindery devices retire"
    RETIRED = "The device is retired. To put it back to stock: bindery devices return"
    BANNED = "The device is banned, which already keeps it out of use. To lift the ban: bindery devices unban"


_FREE, _ANY = (State.STOCK,), (State.STOCK, State.OWNED, State.OFFERED)


def _all(result: tuple[State, ...] | Obstacle) -> dict[Act, tuple[State, ...] | Obstacle]:
    return dict.fromkeys(Act, result)


BANS: Mapping[State, Obstacle] = MappingProxyType(
    {State.LOST: Obstacle.LOST, State.RETIRED: Obstacle.RETIRED, State.BANNED: Obstacle.BANNED}
)
"""States of devices that cannot be used."""

TRANSITIONS: Mapping[State, Mapping[Act, tuple[State, ...] | Obstacle]] = MappingProxyType(
    {
        State.STOCK: _all(Obstacle.NO_OFFER)
        | {
            Act.OFFER: Obstacle.NO_HOLDER,
            Act.LOST: (State.LOST,),
            Act.FOUND: _FREE,
            Act.RETIRE: (State.RETIRED,),
            Act.RETURN: _FREE,
        },
        State.OWNED: _all(Obstacle.NO_OFFER)
        | {
            Act.OFFER: (State.OFFERED,),
            Act.LOST: (State.LOST,),
            Act.FOUND: (State.OWNED,),
            Act.RETIRE: (State.RETIRED,),
            Act.RETURN: _FREE,
        },
        State.OFFERED: {
            Act.OFFER: Obstacle.OFFERED,
            Act.ACCEPT: (State.OWNED,),
            Act.DECLINE: (State.OWNED,),
            Act.WITHDRAW: (State.OWNED,),
            Act.LOST: (State.LOST,),
            Act.FOUND: (State.OFFERED,),
            Act.RETIRE: (State.RETIRED,),
            Act.RETURN: _FREE,
        },
        State.LOST: _all(Obstacle.LOST)
        | {
            Act.LOST: (State.LOST,),
            # As it was before.
            Act.FOUND: _ANY,
            Act.RETIRE: (State.RETIRED,),
            Act.RETURN: _FREE,
        },
        State.RETIRED: _all(Obstacle.RETIRED) | {Act.RETIRE: (State.RETIRED,), Act.RETURN: _FREE},
        # Its holder's binding ends, and the ban stays.
        State.BANNED: _all(Obstacle.BANNED) | {Act.RETURN: (State.BANNED,)},
    }
)
"""By state and act: the states to which it can lead, or why it is refused."""


def offer_of(binding: items.Binding | None) -> items.Offer | None:
    """Return a binding's offer, unless it has expired."""
    offer = (binding or {}).get("offer")
    return offer if offer is not None and offer["until"] > clock.seconds() else None


def state_of(device: items.Device, *, held: bool, offer: items.Offer | None) -> State:
    """Return the state of a device, given whether it has a holder."""
    if "banned_at" in device:
        return State(device["ban_kind"]) if "ban_kind" in device else State.BANNED
    if not held:
        return State.STOCK
    return State.OWNED if offer is None else State.OFFERED


def check(state: State, act: Act) -> None:
    """Raise `DEVICE_BANNED` (in any way) or `STATUS_NOT_VALID` if an act is refused in a state."""
    result = TRANSITIONS[state][act]
    if isinstance(result, Obstacle):
        raise Refused(Reason.DEVICE_BANNED if state in BANS else Reason.STATUS_NOT_VALID, detail=result.value)
