"""Delivery of events to webhooks: in order per chain, signed, and repeated until they are accepted.

An event is sent again, with the same id, only if its acceptance was not recorded.
"""

import json
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import Any

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Put
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.feed import cursors, sending, signatures, subscriptions, webhooks
from bindery.feed.cursors import Held, LockLost
from bindery.feed.sending import Outcome
from bindery.http.operation import logger
from bindery.registry import items

RUN = 240_000
"""Milliseconds for which an invocation begins attempts: a minute less than the function's time limit."""

PAUSES = tuple(1000 * seconds for seconds in (5, 30, 120, 600, 1800, 3600, 7200, 14400, 21600))
"""Milliseconds before each further attempt. The last one is repeated."""

GIVE_UP = 3 * 86_400_000
"""Milliseconds after the first attempt until an event is given up."""

LONGEST_RETRY_AFTER = 86_400_000
"""Maximum milliseconds for which a receiver can postpone the next attempt."""

LOG_SECONDS = 30 * 86400
"""Seconds for which the delivery log is kept."""

_PAGE = 100
"""Events of a chain that are read at once."""
_ATTEMPT = 20_000
"""Milliseconds that an attempt takes at most, with all its calls."""
_SHARE = 30_000
"""Milliseconds of a sweep for each webhook, before any gets more."""
_UNANSWERED = 3
"""Chains for which a receiver may not respond in a sweep, before the others wait for the next sweep."""
_SKEW = 60_000
"""Milliseconds by which clocks of recorders may differ."""

TEST = "webhook.test"
"""Type of the event that `test` sends."""


class _End(Enum):
    """Reason for the end of the delivery of a chain's events."""

    DONE = auto()
    MORE = auto()
    """Events were added."""
    FAILED = auto()
    UNANSWERED = auto()


def deliver(event: Mapping[str, Any]) -> dict[str, Any]:
    """Deliver a chain's events to a webhook, or if none is given, all that is due. Returns the number of attempts."""
    run = _Run()
    if event:
        run.chain(event["webhook"], event["chain"])
    else:
        run.sweep()
    if run.attempts:
        logger.info("feed.deliver", extra={"attempts": dict(run.attempts)})
    return dict(run.attempts)


def test(webhook: str) -> Outcome:
    """Send a test event to a webhook, even if it is disabled. Raises `NOT_FOUND`."""
    found = webhooks.show(webhook)
    data = {"webhook": webhook}
    return _send(found, {"id": secrets.token_hex(16), "type": TEST, "at": clock.now(), "seq": 0, "data": data})


def is_accepted(outcome: Outcome) -> bool:
    """Return True if the receiver accepted an event."""
    return outcome.status is not None and 200 <= outcome.status < 300


def body(event: items.Event) -> bytes:
    """Return the body with which an event is delivered."""
    data = {**event["data"], "sequence": event["seq"]}
    members = {"type": event["type"], "timestamp": clock.iso(event["at"]), "data": data}
    return json.dumps(members, separators=(",", ":")).encode()


class _Run:
    """One invocation."""

    def __init__(self) -> None:
        self._until = clock.now() + RUN
        self.attempts: Counter[str] = Counter()

    def sweep(self) -> None:
        """Deliver all that is due. A webhook that is slow or does not respond does not hold up the others."""
        for webhook in subscriptions.every():
            if webhook["enabled"]:
                cursors.resume(webhook, self._until)
        spent: Counter[str] = Counter()
        unanswered: Counter[str] = Counter()
        if self._pass(_SHARE, spent, unanswered):
            self._pass(RUN, spent, unanswered)

    def _pass(self, share: int, spent: Counter[str], unanswered: Counter[str]) -> bool:
        """Deliver what is due. Returns True if a webhook needs more than its share of milliseconds."""
        more = False
        for cursor in cursors.due(clock.now()):
            started, receiver = clock.now(), cursor["webhook"]
            if started >= self._until:
                return False
            if unanswered[receiver] < _UNANSWERED and spent[receiver] < share:
                unanswered[receiver] += self._guarded(cursor) is _End.UNANSWERED
                spent[receiver] += clock.now() - started
            elif unanswered[receiver] < _UNANSWERED:
                more = True
        return more

    def _guarded(self, cursor: items.Cursor) -> _End:
        try:
            return self.chain(cursor["webhook"], cursor["chain"])
        except Exception:
            # The others must not wait for it. The lock ends, and the next sweep tries again.
            logger.exception("a chain could not be delivered", extra={"webhook": cursor["webhook"]})
            return _End.FAILED

    def chain(self, webhook: str, chain: str) -> _End:
        """Deliver a chain's events, unless another invocation does."""
        end = _End.MORE
        while end is _End.MORE and clock.now() < self._until and (cursor := cursors.take(webhook, chain)):
            try:
                end = self._walk(Held(cursor))
            except LockLost:
                return _End.DONE
        return end

    def _walk(self, held: Held) -> _End:
        for event, again in _pending(held):
            if clock.now() >= self._until:
                held.release()
                return _End.DONE
            # Read for each event, so that a change takes effect at once.
            webhook = subscriptions.find(held.cursor["webhook"])
            if webhook is None:
                held.delete()
                return _End.DONE
            if not webhook["enabled"]:
                held.park()
                return _End.DONE
            if not held.is_safe(_ATTEMPT):
                held.renew()
            if again and not subscriptions.wants_type(webhook, event["type"]):
                held.drop_again(event["seq"])
            elif again or subscriptions.is_wanted(webhook, event):
                outcome = self._attempt(held, webhook, event, again)
                if outcome is not None:
                    return _End.UNANSWERED if outcome.status is None else _End.FAILED
        if held.finish(held.cursor.get("wanted", 0) + 1):
            return _End.DONE
        held.release()
        return _End.MORE

    def _attempt(self, held: Held, webhook: items.Webhook, event: items.Event, again: bool) -> Outcome | None:
        """Send an event. Returns the outcome if the others of the chain must wait."""
        outcome = _send(webhook, event)
        log = _log(held, event, outcome)
        if is_accepted(outcome):
            self.attempts["delivered"] += 1
            held.delivered(event["seq"], again=again, log=log)
            return None
        self.attempts["failed"] += 1
        if outcome.status == 410 and _disabled(webhook):
            held.park(log)
            return outcome
        left = _began(held, webhook, event) + GIVE_UP - clock.now()
        if left <= 0:
            self.attempts["given_up"] += 1
            logger.warning("an event was given up", extra={"webhook": webhook["id"], "event": event["id"]})
            held.gave_up(event["seq"], again=again, log=log, letter=_letter(webhook, event, outcome))
            return None
        held.postpone(_pause(held, outcome, left), None if again else event["seq"], log)
        return outcome


def _pending(held: Held) -> Iterator[tuple[items.Event, bool]]:
    """Yield the events to deliver, each with True if it is to be delivered again."""
    cursor, chain = held.cursor, held.cursor["chain"]
    for number in sorted(cursor.get("again", ())):
        event = _unexpired(dynamodb.get(items.event(chain, int(number))))
        if event is None:
            held.drop_again(int(number))
        else:
            yield event, True
    if "wanted" not in cursor:
        return
    seq, wanted = cursor.get("next") or _first(held), cursor["wanted"]
    while seq <= wanted:
        page = dynamodb.page(items.events(chain, seq), min(_PAGE, wanted - seq + 1)).items
        for event in page:
            if event["seq"] <= wanted and _unexpired(event) is not None:
                yield event, False
        # Events that have expired are not there.
        seq = page[-1]["seq"] + 1 if page else wanted + 1


def _first(held: Held) -> int:
    """Return the number of the first event that a webhook may want, by binary search in the times of recording."""
    webhook = subscriptions.find(held.cursor["webhook"])
    low, high = 1, held.cursor["wanted"]
    since = min(webhook["types"].values(), default=0) - _SKEW if webhook is not None else 0
    while low < high:
        middle = (low + high) // 2
        event = dynamodb.get(items.event(held.cursor["chain"], middle))
        if event is not None and items.recorded_at(event) >= since:
            high = middle
        else:
            low = middle + 1
    return low


def _unexpired(event: items.Event | None) -> items.Event | None:
    return None if event is None or event["expires_at"] <= clock.seconds() else event


def _send(webhook: items.Webhook, event: items.Event) -> Outcome:
    sent = body(event)
    signed = signatures.headers(webhooks.signing_secrets(webhook), event["id"], clock.seconds(), sent)
    return sending.post(webhook["url"], signed, sent)


def _disabled(webhook: items.Webhook) -> bool:
    """Disable a webhook whose receiver is gone. Returns False if it was changed concurrently."""
    try:
        webhooks.disable_gone(webhook)
    except Refused as refused:
        if refused.reason is not Reason.NOT_FOUND:
            raise
        return False
    logger.warning("a webhook was disabled", extra={"webhook": webhook["id"]})
    return True


def _began(held: Held, webhook: items.Webhook, event: items.Event) -> int:
    """Return the time from which the time to give up counts: every event is tried for that long."""
    return max(held.cursor.get("failing_since", clock.now()), webhook["enabled_at"], items.recorded_at(event))


def _pause(held: Held, outcome: Outcome, left: int) -> int:
    if outcome.status in (429, 503) and outcome.retry_after is not None:
        return min(max(outcome.retry_after, 1) * 1000, LONGEST_RETRY_AFTER)
    return min(PAUSES[min(held.cursor.get("attempts", 0), len(PAUSES) - 1)], left)


def _log(held: Held, event: items.Event, outcome: Outcome) -> Put:
    now = clock.now()
    attempt: items.Delivery = {
        "event": event["id"],
        "type": event["type"],
        "chain": event["chain"],
        "at": now,
        "attempt": held.cursor.get("attempts", 0) + 1,
        "status": outcome.status,
        "milliseconds": outcome.milliseconds,
        "expires_at": now // 1000 + LOG_SECONDS,
    }
    if outcome.error is not None:
        attempt["error"] = outcome.error
    return items.delivery(held.cursor["webhook"], event["chain"], now, event["id"]).put(attempt)


def _letter(webhook: items.Webhook, event: items.Event, outcome: Outcome) -> Put:
    letter: items.DeadLetter = {
        "event": event["id"],
        "type": event["type"],
        "chain": event["chain"],
        "seq": event["seq"],
        "at": event["at"],
        "status": outcome.status,
        "expires_at": event["expires_at"],
    }
    if outcome.error is not None:
        letter["error"] = outcome.error
    return items.dead(webhook["id"], event["at"], event["id"]).put(letter)
