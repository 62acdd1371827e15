"""Search for a text as an identifier of a device, a person, a key, or another record."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Batch, Key, Read, Table
from bindery.core.errors import Refused
from bindery.directory import login_names
from bindery.http.fields import EMAIL_LIMIT, ID
from bindery.operators import matches
from bindery.operators.matches import Describe, Match
from bindery.registry import devices, identity, items

LIMIT = 20
"""Devices with a serial number, and users with an email address."""

IDENTIFIER_LIMIT = 128
"""Characters of all identifiers but a device's id and an email address."""

_HASH = "[0-9a-f]{64}"
_EVENT = "[0-9a-f]{32}"
_WEBHOOK = "wh_[0-9a-f]{16}"
_LABEL = "proxy[a-z]{16}"


class Found(NamedTuple):
    """Records that a text names, and as what it was looked up."""

    matches: Sequence[Match]
    tried: Sequence[str]
    more: bool
    """True if more devices have this serial number or one that begins so, or more users this email address."""


class _Candidate(NamedTuple):
    """An item that may exist, and how the text identifies it."""

    named: str
    key: Key[Any]
    describe: Describe | None = None
    """Absent if the item only refers to another."""


def find(text: str, *, account: str | None = None, domain: str | None = None) -> Found:
    """Look up a text in at most six round trips. A credential is looked up by its SHA-256.

    Serial numbers that begin with the text are found only if nothing else is. Email addresses are looked up in all
    accounts, or in an account or domain. Phone numbers need a domain.
    """
    direct = [*_devices(text, account), *_records(text), *_login_names(text, account, domain)]
    first = _read(direct)
    serials = devices.list_with_serial(text, LIMIT, None) if len(text) <= IDENTIFIER_LIMIT else None
    names = dynamodb.page(items.users_with_email(text), LIMIT) if _in_all_accounts(text, account, domain) else None
    indexed = [
        *(_device("serial number", each["pk"]) for each in (serials.items if serials else ())),
        *_credentials(text),
        *_labels(text),
        *_references(direct, first),
        *(_with_email(text, name["uid"]) for name in (names.items if names else ())),
    ]
    found = [*_matches(direct, first), *_matches(indexed, _read(indexed))]
    begun = dynamodb.page(items.serials_from(text), LIMIT) if not found and _begins_serials(text) else None
    if begun is not None:
        longer = [_device("beginning of a serial number", each["device"]) for each in begun.items]
        found += _matches(longer, _read(longer))
    searched = {
        "serial number": serials is not None,
        "email address": names is not None,
        "beginning of a serial number": begun is not None,
        "credential of a device": _is(_HASH, text),
        "label of a connection": _is(_LABEL, text),
    }
    tried = [each.named for each in direct] + [named for named, was in searched.items() if was]
    unique = {(match.kind, match.id): match for match in reversed(found)}
    return Found(
        list(reversed(unique.values())),
        list(dict.fromkeys(tried)),
        more=any(page is not None and page.cursor is not None for page in (serials, begun, names)),
    )


def _begins_serials(text: str) -> bool:
    is_other = "@" in text or any(_is(pattern, text) for pattern in (_HASH, _EVENT, _WEBHOOK, _LABEL))
    return not is_other and items.SERIAL_START <= len(identity.folded(text)) <= IDENTIFIER_LIMIT


def _is(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text) is not None


def _read(candidates: Sequence[_Candidate]) -> Batch:
    return dynamodb.get_many([Read(each.key) for each in candidates]) if candidates else Batch({})


def _matches(candidates: Iterable[_Candidate], read: Batch) -> Iterator[Match]:
    for named, key, describe in candidates:
        item = read[key]
        if item is not None and describe is not None and (match := describe(named, item)) is not None:
            yield match


def _device(named: str, device: str) -> _Candidate:
    return _Candidate(named, items.device(device), matches.device)


def _devices(text: str, account: str | None) -> Iterator[_Candidate]:
    """Yield devices with a key that follows from the text."""
    if (device := _decoded(text)) is not None:
        yield _device("device id", device)
    if len(text) <= IDENTIFIER_LIMIT:
        yield _device("MAC address", identity.video_device(text))
        yield _device("external identifier", identity.customer_device(text))
    if (address := identity.service_address(text)) is not None:
        yield _Candidate("service address", items.service_address(address))
    if account is not None and _is(_HASH, text):
        # Devices that are not bound are not in the index of credentials.
        yield _device("deviceid", identity.join("rufus", account, text))


def _decoded(text: str) -> str | None:
    try:
        return identity.device_from_opaque(text)
    except Refused:
        return None


def _records(text: str) -> Iterator[_Candidate]:
    """Yield the directory's records, and the event, whose id the text may be."""
    if _is(ID["pattern"], text) and len(text) <= IDENTIFIER_LIMIT:
        yield _Candidate("user id", items.user(text), matches.user)
        yield _Candidate("account", items.account(text), matches.account)
        yield _Candidate("product", items.product(text), matches.product)
        yield _Candidate("user domain", items.user_domain(text), matches.user_domain)
        yield _Candidate("family", items.family(text), matches.family)
    if _is(_HASH, text):
        yield _Candidate("key id", items.api_key(text), matches.key)
    if _is(_WEBHOOK, text):
        yield _Candidate("webhook", items.webhook(text), matches.webhook)
    if _is(_EVENT, text):
        yield _Candidate("event", items.recorded(text))


def _login_names(text: str, account: str | None, domain: str | None) -> Iterator[_Candidate]:
    is_email = _is_email(text)
    if is_email and account is not None:
        yield _Candidate("email address", items.email_in_account(account, text))
    if is_email and domain is not None:
        yield _Candidate("email address", items.email_in_domain(domain, text))
    if domain is not None and (phone := identity.phone(text)) is not None:
        yield _Candidate("phone number", items.phone_in_domain(domain, phone))


def _is_email(text: str) -> bool:
    return "@" in text and len(identity.folded(text).encode()) <= EMAIL_LIMIT


def _in_all_accounts(text: str, account: str | None, domain: str | None) -> bool:
    return account is None and domain is None and _is_email(text)


def _with_email(email: str, uid: str) -> _Candidate:
    """Return a user whom the index lists with an email address. It may lag."""

    def describe(named: str, item: items.User) -> Match | None:
        return matches.user(named, item) if login_names.has_email(item, email) else None

    return _Candidate("email address", items.user(uid), describe)


def _credentials(text: str) -> Iterator[_Candidate]:
    """Yield the devices that connect with the credential with this SHA-256."""
    if _is(_HASH, text):
        for item in dynamodb.page(items.with_credential(text), LIMIT).items:
            is_issued = item["sk"] == items.device_key(item["pk"]).sk
            yield _device("device key" if is_issued else "deviceid or authKey", item["pk"])


def _labels(text: str) -> Iterator[_Candidate]:
    """Yield the connections with this label."""
    if _is(_LABEL, text):
        for lease in dynamodb.page(items.connections_with_label(text), LIMIT).items:
            yield _Candidate("label", items.key_of(Table.BINDINGS, lease), matches.connection)


def _references(candidates: Iterable[_Candidate], read: Batch) -> Iterator[_Candidate]:
    """Yield what the items refer to."""
    for named, key, _ in candidates:
        item = read[key]
        if item is None:
            continue
        if named == "service address":
            yield _device(named, item["device"])
        elif named in ("email address", "phone number"):
            yield _Candidate(named, items.user(item["uid"]), matches.user)
        elif named == "event":
            yield _Candidate(named, items.event(item["chain"], item["seq"]), matches.event)
