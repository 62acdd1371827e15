"""WebSocket frames of the device link, with API Gateway's limits.

uvicorn sees messages only. API Gateway checks each frame: it closes the connection with 1003 for a binary frame, and
with 1009 for a frame or message that is too large.
"""

from dataclasses import replace
from typing import Any

from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, CloseConnection, Event, Message
from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

FRAME_LIMIT = 32 * 1024
"""Maximum bytes of a frame."""
MESSAGE_LIMIT = 128 * 1024
"""Maximum bytes of a message."""
LINGER_SECONDS = 1
"""Time in which a refused client can read the close frame."""
REASONS: dict[int, str] = {
    CloseReason.UNSUPPORTED_DATA: "Binary frames are not supported",
    CloseReason.INVALID_FRAME_PAYLOAD_DATA: "Invalid UTF-8",
    CloseReason.MESSAGE_TOO_BIG: "Message too big",
}


class Protocol(WSProtocol):
    """uvicorn's protocol with these limits, for its setting `ws`."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.conn = _Connection(ConnectionType.SERVER)
        self._refused = False

    def data_received(self, data: bytes) -> None:
        """Parse data, unless a frame was refused."""
        # Read on after a refusal. Closing a socket with unread data resets the connection, and the client could lose
        # the close frame.
        if not self._refused:
            super().data_received(data)

    def handle_close(self, event: CloseConnection) -> None:
        """Answer the client's close frame, or refuse a frame."""
        if self.conn.state is not ConnectionState.OPEN:
            super().handle_close(event)
            return
        # wsproto reports a frame that it cannot accept as if the client had closed the connection.
        self._refused = self.close_sent = True
        reason = REASONS.get(event.code, "Protocol error")
        self.queue.put_nowait({"type": "websocket.disconnect", "code": event.code, "reason": reason})
        self.transport.write(self.conn.send(CloseConnection(event.code, reason)))
        self.close_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)
        self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report an abnormal closure, unless there was a close frame."""
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})
        super().connection_lost(exc)


class _Connection(WSConnection):
    def send(self, event: Event) -> bytes:
        if isinstance(event, AcceptConnection):
            event = replace(event, extensions=[*event.extensions, _Limits()])
        if not isinstance(event, Message):
            return super().send(event)
        # A character has at most four bytes.
        step = FRAME_LIMIT // 4
        sent = b""
        for start in range(0, len(event.data) or 1, step):
            end = start + step
            sent += super().send(replace(event, data=event.data[start:end], message_finished=end >= len(event.data)))
        return sent


class _Limits(Extension):
    """Check of each frame's header. It needs no negotiation with the client."""

    name = "limits"

    def __init__(self) -> None:
        self._message = 0

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool:
        return False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        if opcode is Opcode.BINARY:
            return CloseReason.UNSUPPORTED_DATA
        if not opcode.iscontrol():
            self._message = payload_length + (self._message if opcode is Opcode.CONTINUATION else 0)
            if payload_length > FRAME_LIMIT or self._message > MESSAGE_LIMIT:
                return CloseReason.MESSAGE_TOO_BIG
        return RsvBits(rsv1=False, rsv2=False, rsv3=False)
