"""HTTP requests at the host name of a connection: `https://LABEL.ProxyDomain`."""

import re
from collections.abc import Mapping
from time import monotonic, perf_counter
from typing import Any

from bindery.connectivity import leases
from bindery.connectivity.leases import Admitted
from bindery.core.errors import HotKey, Reason, Refused
from bindery.directory import key_guesses
from bindery.http import emf
from bindery.http.operation import logger
from bindery.relay import http_messages, refusals
from bindery.relay.exchanges import Exchange

SECONDS = 27.0
"""Time for a request. API Gateway waits for 30 seconds."""

_LABEL = re.compile("proxy[a-z]{16}")


def forward(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the response of a device's service to a request, or the relay's own. Logs one line."""
    started, until = perf_counter(), monotonic() + SECONDS
    request_id = event["requestContext"]["requestId"]
    reason: Reason | None = None
    try:
        response = _answer(event, until)
    except Refused as refused:
        reason = refused.reason
        if isinstance(refused, HotKey):
            logger.warning("a key range is throttled", extra={"request_id": request_id, "throttled": refused.throttled})
        elif reason is Reason.UNAVAILABLE:
            logger.exception("a service could not be reached", extra={"request_id": request_id})
        response = refusals.response(refused)
    except Exception:
        logger.exception("internal error", extra={"request_id": request_id})
        reason = Reason.INTERNAL
        response = refusals.response(Refused(reason))
    logger.info(
        "relay.forward",
        extra={
            "request_id": request_id,
            "status": response["statusCode"],
            **emf.members("relay.forward", perf_counter() - started, reason),
        },
    )
    return response


def _answer(event: Mapping[str, Any], until: float) -> dict[str, Any]:
    admitted = _admit(event)
    try:
        kind = admitted.lease["kind"]
        if kind not in (None, "http"):
            # Also for https: the device's agent opens TCP connections without TLS.
            raise Refused(Reason.NOT_HTTP, service=kind)
        exchange = Exchange(admitted, http_messages.request(event), until)
        return _exchange(exchange, http_messages.method(event))
    except Refused as refused:
        refused.detail["address"] = admitted.lease["address"]
        raise


def _admit(event: Mapping[str, Any]) -> Admitted:
    label = http_messages.host(event).partition(".")[0].lower()
    if not _LABEL.fullmatch(label):
        raise Refused(Reason.KEY_UNKNOWN)
    source_ip = event["requestContext"]["http"]["sourceIp"]
    try:
        return leases.admit(label, source_ip)
    except Refused as refused:
        if refused.reason is Reason.NOT_FOUND:
            key_guesses.refuse("label", source_ip)
        raise


def _exchange(exchange: Exchange, method: str) -> dict[str, Any]:
    try:
        response = http_messages.response(exchange.read, method)
        exchange.finish()
    except Exception as error:
        ended = isinstance(error, Refused) and refusals.REFUSALS[error.reason].status == 403
        exchange.abort("ended" if ended else "closed")
        raise
    return response
