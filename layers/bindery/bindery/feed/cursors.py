"""Cursors: how far a chain's events were delivered to a webhook, when to go on, and who does.

While something is to be delivered, a cursor is in a list ordered by the time of the next attempt: the queue. Taking a
cursor sets its time to the end of a lock, so that an interrupted delivery is resumed after that.
"""

import secrets
from collections.abc import Iterator, Sequence
from typing import cast

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Delete, Key, Put, Update
from bindery.aws.expressions import Condition, absent, at_most, equals
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import items

LOCK = 30_000
"""Milliseconds: longer than an attempt to deliver with all its calls. Each event renews the lock."""

_SAME = Reason.STATUS_NOT_VALID
"""A condition failed, so that there is nothing to do."""
_EXPIRED = Reason.NOT_FOUND
_WAITING = ("collection", "time", "lock", "attempts", "failing_since")
_STATE = (*_WAITING, "next", "wanted", "again", "expires_at")


class LockLost(Exception):
    """Another delivery has the cursor, or it was deleted."""


def want(webhook: items.Webhook, event: items.Event) -> bool:
    """Deliver the events of a chain up to this one. Returns True if they are due now, and were not before."""
    now, key = clock.now(), items.cursor(webhook["id"], event["chain"])
    facts: items.Cursor = {
        "webhook": webhook["id"],
        "chain": event["chain"],
        "wanted": event["seq"],
        "expires_at": event["expires_at"],
    }
    # A cursor that waits or is locked keeps its time.
    listed: items.Cursor = {"collection": _collection(webhook, event["chain"]), "time": _time(now)}
    new = (absent("wanted") | at_most("wanted", event["seq"] - 1)).raises(
        lambda existing: _EXPIRED if existing["expires_at"] <= now // 1000 else _SAME
    )
    try:
        found = dynamodb.update(key.update(set=facts, once=listed, when=new))
    except Refused as refused:
        if refused.reason is not _EXPIRED:
            return _unless_same(refused)
        # All events of the chain had expired, so their numbers began again.
        _clear_expired(key, now // 1000)
        return want(webhook, event)
    return webhook["enabled"] and found["time"] == _time(now) and "lock" not in found


def _clear_expired(key: Key[items.Cursor], now: int) -> None:
    try:
        dynamodb.write(key.update(remove=_STATE, when=at_most("expires_at", now).raises(_SAME)))
    except Refused as refused:
        # Another invocation or DynamoDB was faster.
        _unless_same(refused)


def want_again(
    webhook: items.Webhook, chain: str, numbers: Sequence[int], expires_at: int, *, letters: Sequence[Delete] = ()
) -> int:
    """Deliver events of a chain again, before the others. Returns how many of them were not still to be delivered.

    Deletes their dead letters in the same transaction.
    """
    key = items.cursor(webhook["id"], chain)
    found: items.Cursor = dynamodb.get(key) or {}
    first = found.get("next", 1 if "wanted" in found else 10**12)
    earlier = {_number(seq) for seq in numbers if seq < first}
    if not earlier:
        for letter in letters:
            dynamodb.write(letter)
        return 0
    facts: items.Cursor = {
        "webhook": webhook["id"],
        "chain": chain,
        "expires_at": max(expires_at, found.get("expires_at", 0)),
    }
    listed: items.Cursor = {"collection": _collection(webhook, chain), "time": _time(clock.now())}
    dynamodb.transact([key.update(set=facts, once=listed, add={"again": earlier}, remove=["failing_since"]), *letters])
    return len(earlier)


def due(now: int) -> Iterator[items.Cursor]:
    """Yield the cursors that are due, the longest due of each part first."""
    # Sweeps that run at the same time begin with different parts.
    begin = now // 60_000
    for number in range(items.SHARDS):
        for cursor in dynamodb.query(items.due((begin + number) % items.SHARDS)):
            if cursor["time"] > _time(now):
                break
            yield cursor


def take(webhook: str, chain: str) -> items.Cursor | None:
    """Lock and return a cursor that is due, or return None."""
    now, lock = clock.now(), secrets.token_hex(8)
    is_due = equals("collection", _due_collection(chain)) & at_most("time", _time(now))
    # A repeated request finds its own lock.
    when = (is_due | equals("lock", lock)).raises(_SAME)
    taken: items.Cursor = {"lock": lock, "time": _time(now + LOCK)}
    try:
        found = dynamodb.update(items.cursor(webhook, chain).update(set=taken, when=when))
    except Refused as refused:
        _unless_same(refused)
        return None
    return cast("items.Cursor", found)


class Held:
    """A cursor whose lock this delivery has."""

    def __init__(self, cursor: items.Cursor) -> None:
        self.cursor = cursor
        self._key: Key[items.Cursor] = items.cursor(cursor["webhook"], cursor["chain"])
        self._locked_until = int(cursor["time"])

    def is_safe(self, milliseconds: int) -> bool:
        """Return True if the lock lasts for this time."""
        return clock.now() + milliseconds < self._locked_until

    def renew(self) -> None:
        """Renew the lock. Raises `LockLost`."""
        self._locked_until = clock.now() + LOCK
        self._write([self._key.update(set={"time": _time(self._locked_until)}, when=self._mine())])

    def delivered(self, seq: int, *, again: bool, log: Put) -> None:
        """Record an accepted event, and renew the lock. Raises `LockLost`."""
        self._passed(seq, again, ["attempts", "failing_since"], log)

    def gave_up(self, seq: int, *, again: bool, log: Put, letter: Put) -> None:
        """Record an event that was not accepted in time, and renew the lock. Raises `LockLost`."""
        self._passed(seq, again, ["attempts"], log, letter)

    def _passed(self, seq: int, again: bool, remove: Sequence[str], *records: Put) -> None:
        self._locked_until = clock.now() + LOCK
        moved: items.Cursor = {"time": _time(self._locked_until)}
        if not again:
            moved["next"] = seq + 1
        number: items.Cursor = {"again": {_number(seq)}} if again else {}
        update = self._key.update(set=moved, delete=number, remove=remove, when=self._mine())
        self._write([update, *records])
        for name in remove:
            self.cursor.pop(name, None)  # type: ignore[misc]

    def drop_again(self, seq: int) -> None:
        """Do not deliver an event again. Raises `LockLost`."""
        self._write([self._key.update(delete={"again": {_number(seq)}}, when=self._mine())])

    def postpone(self, milliseconds: int, next_: int | None, log: Put) -> None:
        """Record a failed attempt, and release the cursor until the next. Raises `LockLost`."""
        now = clock.now()
        failed: items.Cursor = {"attempts": self.cursor.get("attempts", 0) + 1, "time": _time(now + milliseconds)}
        if next_ is not None:
            failed["next"] = next_
        since: items.Cursor = {"failing_since": now}
        update = self._key.update(set=failed, once=since, remove=["lock"], when=self._mine())
        self._write([update, log])

    def release(self) -> None:
        """Release the cursor; it stays due. Raises `LockLost`."""
        self._write([self._key.update(set={"time": _time(clock.now())}, remove=["lock"], when=self._mine())])

    def park(self, *log: Put) -> None:
        """Keep the cursor until its webhook is enabled. Raises `LockLost`."""
        parked: items.Cursor = {
            "collection": items.parked_collection(self.cursor["webhook"]),
            "time": _time(clock.now()),
        }
        self._write([self._key.update(set=parked, remove=["lock"], when=self._mine()), *log])

    def finish(self, next_: int) -> bool:
        """Remove the cursor from the list. Returns False if there is more to deliver. Raises `LockLost`."""
        wanted = self.cursor.get("wanted")
        same = absent("wanted") if wanted is None else equals("wanted", wanted)
        done = (self._mine() & same & absent("again")).raises(
            lambda item: Reason.CONFLICT if item.get("lock") == self.cursor["lock"] else _SAME
        )
        moved: items.Cursor = {} if wanted is None else {"next": next_}
        try:
            self._write([self._key.update(set=moved, remove=_WAITING, when=done)])
        except Refused as refused:
            if refused.reason is not Reason.CONFLICT:
                raise
            return False
        return True

    def delete(self) -> None:
        """Delete the cursor of a deleted webhook. Raises `LockLost`."""
        try:
            dynamodb.write(self._key.delete(when=self._mine()))
        except Refused as refused:
            raise _lost(refused) from None

    def _mine(self) -> Condition:
        return equals("lock", self.cursor["lock"]).raises(_SAME)

    def _write(self, writes: Sequence[Update | Put]) -> None:
        try:
            if len(writes) == 1:
                dynamodb.write(writes[0])
            else:
                dynamodb.transact(writes)
        except Refused as refused:
            raise _lost(refused) from None


def resume(webhook: items.Webhook, until: int) -> None:
    """Make the events due that a webhook missed while it was disabled."""
    for cursor in dynamodb.query(items.parked(webhook["id"])):
        if clock.now() >= until:
            return
        key = items.cursor(cursor["webhook"], cursor["chain"])
        listed: items.Cursor = {"collection": _due_collection(cursor["chain"]), "time": _time(clock.now())}
        parked = equals("collection", items.parked_collection(webhook["id"])).raises(_SAME)
        try:
            dynamodb.write(key.update(set=listed, remove=["attempts", "failing_since"], when=parked))
        except Refused as refused:
            _unless_same(refused)


def _unless_same(refused: Refused) -> bool:
    """Return False if there is nothing to do, else raise the refusal."""
    if refused.reason is not _SAME:
        raise refused
    return False


def _lost(refused: Refused) -> Exception:
    return LockLost() if refused.reason is _SAME else refused


def _collection(webhook: items.Webhook, chain: str) -> str:
    return _due_collection(chain) if webhook["enabled"] else items.parked_collection(webhook["id"])


def _due_collection(chain: str) -> str:
    return items.due_shard(items.shard(chain, items.SHARDS))


def _time(moment: int) -> str:
    return f"{moment:013}"


def _number(seq: int) -> str:
    return f"{seq:012}"
