"""Frames that devices send to the relay, in a table from which it reads them."""

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

from bindery.aws import dynamodb
from bindery.core import clock
from bindery.registry import items

LIFETIME = 3600
"""Seconds after which frames are deleted."""


class Frame(NamedTuple):
    """A frame that has arrived."""

    number: int
    data: bytes
    fin: bool
    """True for the last one."""


class Received(NamedTuple):
    """A stream's frames, and its last signal of each kind, with the time at which it was stored, as `at`."""

    frames: list[Frame]
    signals: dict[str, dict[str, Any]]


def put(stream: str, number: int, data: str, fin: bool) -> None:
    """Store a frame, whose data is in base64."""
    frame: items.Frame = {"data": base64.b64decode(data), "fin": fin, "expires_at": clock.seconds() + LIFETIME}
    dynamodb.write(items.frame(stream, number).put(frame))


def put_signal(stream: str, kind: str, content: Mapping[str, Any]) -> None:
    """Store a signal, such as an acknowledgement. It replaces the last one of its kind."""
    now = clock.now()
    # Without a time, it would look like the one that it replaces.
    signal: items.Frame = {"signal": {**content, "at": now}, "expires_at": now // 1000 + LIFETIME}
    dynamodb.write(items.signal(stream, kind).put(signal))


def read(stream: str, number: int) -> Received:
    """Return a stream's frames from a number on, up to a megabyte, and its signals."""
    received = Received([], {})
    for item in dynamodb.query(items.frames(stream, number), consistent=True, round_trips=1):
        if "signal" in item:
            received.signals[item["sk"].removeprefix("~")] = item["signal"]
        else:
            received.frames.append(Frame(int(item["sk"]), item["data"], item["fin"]))
    return received
