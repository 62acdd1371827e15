"""Exchanges: a request to a device's service and the response, as frames of one stream.

Messages can be lost, repeated and reordered in both directions. docs/agent.md has the protocol.
"""

import base64
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic, sleep
from typing import Any

from bindery.aws import links
from bindery.connectivity import frames, leases, streams
from bindery.connectivity.frames import Frame
from bindery.connectivity.leases import Admitted
from bindery.core.errors import Reason, Refused
from bindery.relay.refusals import OTHER_RESET, RESETS

FRAME = 92_160
"""Bytes of a frame."""

WINDOW = 8
"""Frames that may follow the last acknowledged one."""

SILENCE = 1.0
"""Seconds without news after which the device is asked for what is missing, and between checks of the lease."""

PROBES = 3
"""Questions to a silent device."""

GRACE = 2.0
"""Seconds for which API Gateway may not know a new connection."""

_ACKNOWLEDGED = 4
"""Frames of an acknowledgement."""

_POLLS = 0.01, 0.1
"""Seconds before the first read of the table and, doubled each time, between later ones at most."""

_RETRIES = 0.05, 1.0
"""Seconds before the first attempt to send again and, doubled each time, between later ones at most."""


class Exchange:
    """A request, and the response to it."""

    def __init__(self, admitted: Admitted, request: bytes, until: float) -> None:
        """`until` is the time at which the exchange fails."""
        self._admitted = admitted
        self._judged = monotonic()
        self._until = until
        self._stream = streams.from_relay(admitted.lease["pk"], admitted.lease["expires_at"])
        self._opened: str | None = None
        """Connection to which the first frame was sent."""
        self._reached: str | None = None

        self._outgoing = _split(request)
        self._sent = 0
        self._limit = WINDOW

        self._arrived: dict[int, Frame] = {}
        self._next = 0
        self._acknowledged = 0
        self._ended = False
        self._reset: str | None = None

        self._seen: dict[str, int] = {}
        self._asked = self._judged
        self._unanswered = 0
        self._delay = _POLLS[0]
        self._known = False
        self._forgotten = 0

    def read(self) -> bytes:
        """Return the next bytes of the response, or b"" at the end.

        Raises `STREAM_RESET`, `DEVICE_OFFLINE`, `DEVICE_LEFT`, `DEVICE_RESTARTED`, `DEVICE_SILENT`, `TIMED_OUT`, and
        the reasons of `leases.readmit`.
        """
        while not self._ended:
            frame = self._arrived.pop(self._next, None)
            if frame is not None:
                self._next += 1
                self._ended = frame.fin
                if self._next - self._acknowledged >= _ACKNOWLEDGED and not self._ended:
                    self._acknowledge()
                if frame.data:
                    return frame.data
            elif self._reset is not None:
                raise Refused(Reason.STREAM_RESET, why=RESETS.get(self._reset, OTHER_RESET))
            else:
                self._wait()
        return b""

    def finish(self) -> None:
        """End the stream after a whole response. Raises the reasons of `leases.readmit`."""
        if monotonic() - self._judged >= SILENCE:
            self._judge()
        if not self._ended or self._sent < len(self._outgoing):
            self.abort("closed")
        elif self._next - self._acknowledged > 1:
            # The device keeps frames until they are acknowledged. For a single one, the message is not worth it.
            self._try_to_send({"type": "ack", "n": self._next, "window": WINDOW})

    def abort(self, why: str) -> None:
        """End the stream, unless the device has."""
        if self._sent and self._reset is None:
            self._try_to_send({"type": "reset", "why": why})

    def _try_to_send(self, message: Mapping[str, Any]) -> None:
        # Without it, the device ends the stream later.
        if self._admitted.link is not None:
            with suppress(Refused):
                links.send(self._admitted.link, {**message, "s": self._stream.id})

    def _wait(self) -> None:
        """Send frames, wait, and read what has arrived."""
        while self._sent < min(self._limit, len(self._outgoing)):
            self._send_frame(self._sent)
            self._sent += 1
        self._pause(self._delay)
        if self._receive():
            self._delay, self._unanswered, self._asked = _POLLS[0], 0, monotonic()
            return
        self._delay = min(2 * self._delay, _POLLS[1])
        if monotonic() - self._asked >= SILENCE:
            if self._unanswered == PROBES:
                raise Refused(Reason.DEVICE_SILENT)
            self._unanswered += 1
            self._ask()

    def _ask(self) -> None:
        """Ask the device for what is missing."""
        self._send({"type": "need", "from": self._next, "not": sorted(self._arrived)})
        # The device does not miss the last frames: those that follow show it a gap.
        if self._sent < len(self._outgoing):
            self._limit = max(self._limit, self._sent + 1)
        elif self._sent > 1:
            self._send_frame(self._sent - 1)
        self._asked = monotonic()

    def _acknowledge(self) -> None:
        self._acknowledged = self._next
        try:
            self._send({"type": "ack", "n": self._next, "window": WINDOW})
        except Refused as refused:
            # The rest of the response may have arrived before the device left.
            if refused.reason is not Reason.DEVICE_LEFT:
                raise

    def _send_frame(self, number: int) -> None:
        start = {"type": "data"} if number else {"type": "open", "svc": "http"}
        data = self._outgoing[number]
        content = {"d": data} if data else {}
        fin = {"fin": True} if number + 1 == len(self._outgoing) else {}
        self._send({**start, "n": number, **content, **fin})

    def _send(self, message: Mapping[str, Any]) -> None:
        """Send a message to the device's present connection. Raises `DEVICE_OFFLINE` and `DEVICE_LEFT`."""
        began = monotonic()
        delay = _RETRIES[0]
        offline = Refused(Reason.DEVICE_LEFT if self._sent else Reason.DEVICE_OFFLINE)
        while True:
            link = self._admitted.link
            if link is None:
                raise offline
            try:
                if links.send(link, {**message, "s": self._stream.id}):
                    self._opened = self._opened or link
                    self._reached = link
                    return
            except links.Busy:
                self._pause(delay)
            else:
                self._judge()
                if self._admitted.link == link:
                    if self._reached == link or monotonic() - began >= GRACE:
                        raise offline
                    self._pause(delay)
            delay = min(2 * delay, _RETRIES[1])

    def _pause(self, seconds: float) -> None:
        """Wait. Raises `TIMED_OUT`, and the reasons of `leases.readmit`."""
        if monotonic() + seconds > self._until:
            raise Refused(Reason.TIMED_OUT)
        sleep(seconds)
        if monotonic() - self._judged >= SILENCE:
            self._judge()

    def _judge(self) -> None:
        """Check the lease again, and find the device's present connection."""
        self._admitted = leases.readmit(self._admitted.lease)
        self._judged = monotonic()

    def _receive(self) -> bool:
        """Read what has arrived. Return True if something is new."""
        found = frames.read(self._stream.name, self._next)
        new = {
            frame.number: frame
            for frame in found.frames
            if frame.number not in self._arrived and frame.number < self._next + WINDOW
        }
        self._arrived |= new
        if new:
            self._known, self._forgotten = True, 0
        signals = {kind: signal for kind, signal in found.signals.items() if signal["at"] != self._seen.get(kind)}
        for kind, signal in signals.items():
            self._seen[kind] = signal["at"]
            self._heed(kind, signal)
        return bool(new or signals)

    def _heed(self, kind: str, signal: Mapping[str, Any]) -> None:
        match kind:
            case "need":
                self._supply(signal["from"], signal.get("not", ()))
            case "reset":
                self._reset = signal.get("why", "")
            case _:
                self._known, self._forgotten = True, 0
                if kind == "ack":
                    self._limit = max(self._limit, signal["n"] + signal["window"])

    def _supply(self, start: int, present: list[int]) -> None:
        """Send frames again that the device lacks. Raises `DEVICE_RESTARTED`."""
        if start == 0 and self._may_have_restarted():
            # Once, it may be an old message that was delayed.
            if self._forgotten:
                raise Refused(Reason.DEVICE_RESTARTED)
            self._forgotten += 1
            self._ask()
            return
        if start:
            self._known, self._forgotten = True, 0
            self._limit = max(self._limit, start + WINDOW)
        for number in range(start, self._sent):
            if number not in present:
                self._send_frame(number)

    def _may_have_restarted(self) -> bool:
        """Return True if an agent that has forgotten the request may have processed it."""
        if not self._known:
            self._judge()
            # The device has connected again since, possibly with another agent.
            self._known = self._admitted.link != self._opened
        return self._known


def _split(request: bytes) -> list[str]:
    """Return the contents of a request's frames, in base64."""
    parts = [request[start : start + FRAME] for start in range(0, len(request), FRAME)]
    if len(parts) > 1:
        # The last one may be sent several times.
        parts.append(b"")
    return [base64.b64encode(part).decode() for part in parts]
