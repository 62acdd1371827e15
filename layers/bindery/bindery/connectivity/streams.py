"""Ids of streams: the TCP connections that a device link carries.

An id has an HMAC over the device, so a device can send only into streams that were opened to it, and finding where a
stream ends needs no look-up.
"""

import hmac
import secrets as random
from typing import NamedTuple

from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.security import secrets

_MAC = 32
"""Hexadecimal digits of the HMAC: 128 bits."""


class Stream(NamedTuple):
    """A stream to a device, from a client's tunnel or, without `session`, from the relay."""

    device: str
    session: str
    name: str
    """32 hexadecimal digits, chosen by the side that opened it. The relay's are ids in the frames table."""
    ends: int
    """End of its lease, in seconds."""

    @property
    def id(self) -> str:
        """The stream's id at the device."""
        return f"{self._text()}.{self._mac()}"

    def _text(self) -> str:
        return f"{self.session}.{self.name}.{self.ends}"

    def _mac(self) -> str:
        # The lease's end, not a time of the message: every message of a stream has the same id.
        return secrets.derive("DIRECTORY_SECRET", "stream", self.device, self._text()).hex()[:_MAC]


def from_relay(device: str, ends: int) -> Stream:
    """Return a new stream of an HTTP request."""
    return Stream(device, "", random.token_hex(16), ends)


def at_device(device: str, given: str) -> Stream:
    """Return the stream of an id that a device sent. Raises `NOT_FOUND` unless it was opened to it and lasts."""
    session, name, ends, mac = given.split(".") if given.count(".") == 3 else ("", "", "", "")
    if not (ends.isascii() and ends.isdigit() and len(ends) < 12):
        raise Refused(Reason.NOT_FOUND)
    stream = Stream(device, session, name, int(ends))
    if not hmac.compare_digest(mac.encode(), stream._mac().encode()) or stream.ends <= clock.seconds():
        raise Refused(Reason.NOT_FOUND)
    return stream
