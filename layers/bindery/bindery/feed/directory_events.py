"""Events of records that operators change, derived from changes of the directory and from acts."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from bindery.feed.changes import Change, Derived, Person
from bindery.registry import identity
from bindery.security import secrets

_UNMENTIONED = frozenset({"pk", "sk", "changed_by", "changed_at", "changed_in", "collection"})
_REPEATED: Mapping[str, frozenset[str]] = MappingProxyType(
    {"account": frozenset({"live_keys"}), "api_key": frozenset({"account_enabled", "parts"})}
)
"""Attributes by kind of record that only repeat what another record's event says."""


class _Subject(NamedTuple):
    kind: str
    id: str | Person
    chain: str | Person
    user: Person | None = None

    def shown(self) -> dict[str, str] | Person:
        """Return what events name."""
        return self.id if isinstance(self.id, Person) else {"kind": self.kind, "id": self.id}


def _bar(pk: str, sk: str) -> _Subject:
    user = Person(identity.user_holder(pk.partition("#")[2]))
    return _Subject("bar", sk.partition("#")[2], user, user)


def _issued_device(pk: str, sk: str) -> _Subject:
    # The id of a card can identify its customer.
    hashed = secrets.derive("DIRECTORY_SECRET", "issued device", pk, sk).hex()[:32]
    return _Subject("issued_device", hashed, Person(pk), Person(pk))


def _named(kind: str) -> Callable[[str, str], _Subject]:
    return lambda pk, _: _Subject(kind, pk.partition("#")[2], pk)


_SUBJECTS: Mapping[tuple[str, str], Callable[[str, str], _Subject]] = MappingProxyType(
    {
        ("account", "account"): _named("account"),
        ("key", "key"): _named("api_key"),
        ("domain", "domain"): _named("user_domain"),
        ("product", "product"): _named("product"),
        ("product", "tsl"): _named("tsl"),
        ("family", "family"): _named("family"),
        ("setting", "setting"): _named("setting"),
        ("user", "user"): lambda pk, _: _Subject("user", Person(pk), Person(pk)),
        ("bars", "product"): _bar,
        ("customer", "issued"): _issued_device,
    }
)
"""By the first parts of partition and sort key. Other items are written with one of these, or not by operators."""


def of_record(change: Change) -> Iterator[Derived]:
    """Derive the event of an operator's change of a record. Of deletions there are acts."""
    old, new = change.old or {}, change.new
    if new is None or all(old.get(name) == new.get(name) for name in ("changed_at", "changed_by")):
        return
    subject = _subject(change.pk, change.sk)
    if subject is None:
        return
    members = _changed(old, new) - _UNMENTIONED - _REPEATED.get(subject.kind, frozenset())
    if members:
        kind = "operator.created" if change.old is None else "operator.changed"
        yield _event(kind, change, subject, new["changed_by"], members)


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    every = old.keys() | new.keys()
    return {name for name in every if name not in old or name not in new or old[name] != new[name]}


def of_act(change: Change) -> Iterator[Derived]:
    """Derive the event of an operator's act that deleted a record, or erased a person."""
    act = change.new
    if act is None or change.old is not None:
        return
    if act["did"] == "erased":
        chain = identity.join("person", act["person"]) if act["person"] else "erased"
        yield _event(
            "operator.erased", change, _Subject(act.get("kind", "user"), act["person"], chain), act["by"], set()
        )
    else:
        yield _event("operator.deleted", change, _deleted(change.pk, act["kind"], act["id"]), act["by"], set())


def _deleted(pk: str, kind: str, name: str) -> _Subject:
    # act#directory#, and the partition key of what was deleted.
    if kind == "bar":
        return _bar(pk.split("#", 2)[2], f"product#{name}")
    # A webhook's partition has all of them.
    chain = pk.split("#", 2)[2]
    return _Subject(kind, name, f"webhook#{name}" if kind == "webhook" else chain)


def _subject(pk: str, sk: str) -> _Subject | None:
    if pk == "webhooks":
        return _Subject("webhook", sk, f"webhook#{sk}")
    make = _SUBJECTS.get((pk.partition("#")[0], sk.partition("#")[0]))
    return None if make is None else make(pk, sk)


def _event(kind: str, change: Change, subject: _Subject, operator: str, members: set[str]) -> Derived:
    data: dict[str, Any] = {"subject": subject.shown(), "operator": operator, "members": sorted(members)}
    if subject.user is not None:
        data["user"] = subject.user
    return Derived(kind, (change.id,), change.at, subject.chain, data)
