"""Receipts of erasures: signed, so that they prove who was erased, when, by whom and what was removed.

An erasure takes several calls. Each returns its progress, which is signed too, so that the receipt covers all of them.
A receipt does not have the pseudonyms that the erasure deleted: they would tell whose events the history contains.
"""

import base64
import hmac
import json
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from bindery.aws import dynamodb
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.security import secrets

_NOT_PROGRESS = "not the progress of an erasure of this person. To start again, leave it out."


class Progress(NamedTuple):
    """Number of records that an erasure has removed so far, by kind."""

    id: str
    uid: str | None
    customer: str | None
    began_at: int
    removed: Mapping[str, int]

    def with_removed(self, removed: Mapping[str, int]) -> "Progress":
        """Add what a call has removed."""
        total = Counter(self.removed)
        total.update(removed)
        return self._replace(removed=dict(sorted(total.items())))


def begin(*, uid: str | None = None, customer: str | None = None) -> Progress:
    """Return the progress of an erasure that has removed nothing."""
    return Progress(uuid.uuid4().hex, uid, customer, clock.now(), {})


def encoded(progress: Progress) -> str:
    """Return a progress as signed text."""
    facts = progress._asdict()
    signed = _canonical({**facts, "signature": _signature("erasure progress", facts)})
    return base64.urlsafe_b64encode(signed.encode()).decode()


def resume(text: str, *, uid: str | None = None, customer: str | None = None) -> Progress:
    """Return the progress of an erasure of a user or customer. Raises `INVALID`."""
    try:
        facts = json.loads(base64.urlsafe_b64decode(text))
        signature = str(facts.pop("signature"))
        genuine = hmac.compare_digest(signature.encode(), _signature("erasure progress", facts).encode())
    except (ValueError, KeyError, TypeError, AttributeError):
        genuine, facts = False, {}
    if not genuine or facts["uid"] != uid or (uid is None and facts["customer"] != customer):
        raise Refused(Reason.INVALID, at="progress", detail=_NOT_PROGRESS)
    return Progress(**facts)


def receipt(progress: Progress) -> dict[str, Any]:
    """Return the signed receipt of an erasure that is complete."""
    facts = {**progress._asdict(), "erased_at": clock.now(), "operator": dynamodb.actor()}
    return {**facts, "signature": _signature("erasure receipt", facts)}


def is_genuine(facts: Mapping[str, Any], signature: str) -> bool:
    """Return True if a receipt was signed with this installation's secret and has not been changed."""
    return hmac.compare_digest(signature.encode(), _signature("erasure receipt", facts).encode())


def _signature(label: str, facts: Mapping[str, Any]) -> str:
    return secrets.derive("DIRECTORY_SECRET", label, _canonical(facts)).hex()


def _canonical(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"))
