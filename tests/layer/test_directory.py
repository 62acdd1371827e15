"""Accounts, keys, users and sessions: the records that every request is checked against."""

import itertools
from collections.abc import Callable

import pytest

from bindery.aws import dynamodb
from bindery.core import clock
from bindery.core.errors import Reason
from bindery.directory import accounts, api_keys, sessions, users
from bindery.directory.api_keys import Grant, Kind
from bindery.registry import items
from tests.layer.refusals import refused

pytestmark = pytest.mark.usefixtures("registry")


@pytest.fixture(autouse=True)
def account(registry: None) -> None:
    accounts.create("acme", name="Acme")
    users.create("ada", "acme")


def test_key_without_expiry_stays_valid_during_a_slow_check(monkeypatch: pytest.MonkeyPatch) -> None:
    credential = api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias="a")
    ticks = itertools.count(clock.now(), 1000)
    monkeypatch.setattr(clock, "now", lambda: next(ticks))
    found = dynamodb.get(api_keys.presented(credential))
    assert api_keys.check(found, Kind.RUFUS).account == "acme"


def test_account_has_at_most_ten_live_keys_of_a_kind() -> None:
    issued = [api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias=str(n)) for n in range(9)]
    api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias="expires", expires_at=clock.now() - 1)
    issued.append(api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias="tenth"))
    assert refused(lambda: api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias="x")) is Reason.LIMIT_REACHED
    api_keys.issue("acme", Kind.REMOTEIT, Grant.READ_WRITE, alias="another kind")
    api_keys.revoke(api_keys.id_of(issued[0]))
    api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias="in its place")


def test_unknown_or_closed_account_gets_no_key() -> None:
    accounts.set_enabled("acme", False)
    for account in ("acme", "nobody"):
        assert refused(lambda: api_keys.issue(account, Kind.RUFUS, Grant.READ, alias="a")) is Reason.NOT_FOUND  # noqa: B023


@pytest.mark.parametrize(
    "end",
    [
        lambda: users.set_enabled("ada", False),
        lambda: users.revoke_sessions("ada"),
        lambda: accounts.set_enabled("acme", False),
        lambda: dynamodb.write(dynamodb.Delete(items.user("ada"))),
        lambda: dynamodb.write(dynamodb.Delete(items.account("acme"))),
    ],
)
def test_session_ends_with_its_user_generation_or_account(end: Callable[[], object]) -> None:
    token, _ = sessions.issue("ada", "quectel", 60)
    end()
    assert refused(sessions.verify(token, "quectel").look_up) is Reason.TOKEN_INVALID
