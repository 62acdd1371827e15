"""Make recorded events due for delivery to webhooks."""

from collections.abc import Sequence

from bindery.aws import functions
from bindery.core.errors import Refused
from bindery.feed import cursors, subscriptions
from bindery.http.operation import logger
from bindery.registry import items

_DELIVER = "feed.deliver"


def wake(events: Sequence[items.Event]) -> None:
    """Deliver recorded events to the webhooks that want them. Repeatable."""
    if not events:
        return
    for webhook in subscriptions.every():
        last: dict[str, items.Event] = {}
        for event in events:
            if subscriptions.is_wanted(webhook, event) and event["seq"] >= last.get(event["chain"], event)["seq"]:
                last[event["chain"]] = event
        for chain, event in last.items():
            if cursors.want(webhook, event):
                _start({"webhook": webhook["id"], "chain": chain})


def wake_all() -> None:
    """Deliver what is due now, instead of with the next sweep."""
    _start({})


def _start(event: dict[str, str]) -> None:
    try:
        functions.start(_DELIVER, event)
    except Refused as refused:
        # The next sweep, within a minute, finds what is due.
        logger.warning("a delivery could not be started", extra={"error": refused.reason})
