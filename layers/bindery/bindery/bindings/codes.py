"""quectel: share codes. A code says by itself what it is a share of and until when, and nobody else can make one.

Nothing is stored of a code: it carries an HMAC over what it says and over its sharer's account and user domain, so it
is worth nothing to users of others. It says by which keys the device is known, none by which it is reached.
"""

import base64
import hmac
import json
from typing import NamedTuple

from bindery import keyring
from bindery.faults import Fault, Reason
from bindery.sessions import Session

_MAC = 32


class Offer(NamedTuple):
    """What a share code stands for. Times are seconds."""

    sharer: str
    product_key: str
    device_key: str
    binding: str
    series: str
    """The sharer's codes of one series are good together; a new series ends the last."""
    accepting_until: int
    sharing_until: int


def write(offer: Offer, account: str, domain: str | None) -> str:
    """The code of an offer, good for users of this account and domain: the same one each time."""
    said = json.dumps(offer, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(_mac(said, account, domain) + said.encode()).rstrip(b"=").decode()


def read(code: str, session: Session) -> Offer:
    """The offer that a code stands for. Raises `SHARE_UNKNOWN`: it is no code that was made for such a user."""
    try:
        sealed = base64.b64decode(code + "=" * (-len(code) % 4), altchars=b"-_", validate=True)
        said = sealed[_MAC:].decode()
    except ValueError:
        raise Fault(Reason.SHARE_UNKNOWN) from None
    if not hmac.compare_digest(sealed[:_MAC], _mac(said, session.account, session.domain)):
        raise Fault(Reason.SHARE_UNKNOWN)
    return Offer(*json.loads(said))


def _mac(said: str, account: str, domain: str | None) -> bytes:
    return keyring.derive("BINDING_KEY_SECRET", "share", said, account, domain or "")
