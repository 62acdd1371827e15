"""The caches of an execution environment are bounded."""

from collections.abc import Callable, Sized

import pytest

from bindery.directory import rates
from bindery.feed import people
from bindery.registry import identity, items

pytestmark = pytest.mark.usefixtures("registry")


def spend(number: int) -> Sized:
    key = items.account(f"account{number}")
    rates.spend({"pk": key.pk, "sk": key.sk, "per_second": 10, "burst": 10})
    return rates._spent


def pseudonym(number: int) -> Sized:
    people.pseudonym(identity.user_holder(f"user{number}"), 1_795_176_000_000)
    return people._cache


@pytest.mark.parametrize(
    ("module", "limit", "add"),
    [(rates, "REMEMBERED", spend), (people, "_CACHE_LIMIT", pseudonym)],
    ids=["rates", "people"],
)
def test_full_cache_is_emptied(
    module: object, limit: str, add: Callable[[int], Sized], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, limit, 2)
    assert [len(add(number)) for number in range(5)] == [1, 2, 1, 2, 1]
