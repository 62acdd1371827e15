"""The relay's own responses, in plain text."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from bindery.core.errors import Reason, Refused
from bindery.http.messages import NO_HEADERS, RETRY_AFTER, RETRY_LATER

_TUNNEL = "bindery tunnel {address} --service {service} --listen 8080"
_ENDED = "This connection has ended, or you no longer have access to the device. Open a new one."
_LATER = "The server is busy. Try again."


class Row(NamedTuple):
    """Response for a reason. The refusal's detail fills `{placeholders}`."""

    status: int
    text: str
    headers: Mapping[str, str] = NO_HEADERS


REFUSALS: Mapping[Reason, Row] = MappingProxyType(
    {
        Reason.INTERNAL: Row(500, "Internal error."),
        Reason.UNAVAILABLE: Row(503, _LATER, RETRY_AFTER),
        Reason.CONFLICT: Row(503, _LATER, RETRY_AFTER),
        Reason.INVALID: Row(400, "The request has invalid headers."),
        Reason.KEY_UNKNOWN: Row(404, "There is no connection at this host name. It may have ended. Open a new one."),
        Reason.KEY_THROTTLED: Row(
            429, "Too many requests from your network for connections that do not exist. Try again later.", RETRY_LATER
        ),
        Reason.ACCESS_DENIED: Row(403, "This connection is for another IP address."),
        Reason.NOT_FOUND: Row(403, _ENDED),
        Reason.NOT_SHARED: Row(403, _ENDED),
        Reason.DEVICE_BANNED: Row(403, "The device is banned."),
        Reason.DEVICE_INACTIVE: Row(403, "Connections to this device are disabled."),
        Reason.NOT_HTTP: Row(501, f"Only HTTP services can be reached here. Use a tunnel:\n\n    {_TUNNEL}"),
        Reason.UPGRADE_REQUESTED: Row(
            501, f"WebSockets and other upgraded connections need a tunnel:\n\n    {_TUNNEL}\n\nThen use port 8080."
        ),
        Reason.HEADERS_TOO_LONG: Row(431, "The request's headers are longer than 10 KB."),
        Reason.BODY_TOO_LONG: Row(413, f"The request's body is longer than 4.5 MB. Use a tunnel:\n\n    {_TUNNEL}"),
        Reason.DEVICE_OFFLINE: Row(503, "The device is offline.", {"Retry-After": "60"}),
        Reason.DEVICE_LEFT: Row(502, "The device went offline."),
        Reason.DEVICE_RESTARTED: Row(502, "The device restarted while it processed the request."),
        Reason.DEVICE_SILENT: Row(504, "The device does not respond."),
        Reason.STREAM_RESET: Row(502, "{why}"),
        Reason.RESPONSE_MALFORMED: Row(502, "The device's service sent an invalid or incomplete HTTP response."),
        Reason.RESPONSE_TOO_LONG: Row(502, f"The response is longer than 4.5 MB. Use a tunnel:\n\n    {_TUNNEL}"),
        Reason.TIMED_OUT: Row(504, f"The response took longer than 27 seconds. Use a tunnel:\n\n    {_TUNNEL}"),
    }
)

RESETS: Mapping[str, str] = MappingProxyType(
    {
        "unknown-service": "The device's agent offers no service with the name http.",
        "refused": "The device's service refused the connection.",
        "unreachable": "The device's agent cannot reach its service.",
        "busy": "The device has too many open connections. Try again.",
        "unknown": "The device restarted while it processed the request.",
        "closed": "The device's service closed the connection before the end of its response.",
        "ended": _ENDED,
    }
)
"""Texts for the reasons with which a device ends a stream."""

OTHER_RESET = "The device ended the connection."


def response(refused: Refused) -> dict[str, Any]:
    """Return API Gateway's response to a refused request."""
    row = REFUSALS[refused.reason]
    detail = {"address": "", "service": "http"} | refused.detail
    own = {name: value.format_map(detail) for name, value in row.headers.items()}
    return {
        "statusCode": row.status,
        "headers": {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store", **own},
        "body": row.text.format_map(detail) + "\n",
    }
