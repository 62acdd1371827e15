"""Guessing is slow and visible in the metrics, and affects only the guessing caller."""

import copy
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Batch, Key, Read, Table
from bindery.core import clock
from bindery.directory import api_keys, key_guesses, products, users
from bindery.directory.api_keys import Grant, Kind
from bindery.quectel import binding, claim_codes, families
from bindery.registry import devices, identity, items
from tests import aws_calls
from tests.concurrency import races
from tests.http_api import SOURCE_IP, Response, invoke
from tests.properties import world
from tests.properties.staging import Stage
from tests.properties.world import Caller, World
from tests.tables import counts_misses, everything, stored
from tools import template

BIND = "quectel.bind_device_sn"
UNKNOWN = '{"code":5090,"data":null,"extMsg":"","msg":"Requested device SN invalid"}'


class Clock:
    """A clock that moves only when told to. It starts at the beginning of a day, so that each test is one day."""

    def __init__(self) -> None:
        self.now = clock.now() // 86_400_000 * 86_400_000 + 1000


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved = Clock()
    monkeypatch.setattr(clock, "now", lambda: moved.now)
    return moved


@pytest.fixture
def here(stage: Callable[[str, str], Stage]) -> World:
    return stage(BIND, "quectel").here


def bind(here: World, sn: str, caller: Caller | None = None) -> Response:
    return invoke(BIND, world.query(here.request(BIND, caller), sn=sn))


def code(answer: Response) -> int:
    return int(answer.json()["code"])


def guess(here: World, count: int) -> None:
    for number in range(count):
        missed = bind(here, f"SN9{number:09}")
        assert (missed.body, "Retry-After" in missed.headers) == (UNKNOWN, False)


def counts() -> list[dict[str, Any]]:
    return [item for item in stored(Table.BINDINGS) if counts_misses(item)]


def failures() -> list[int]:
    return [count["failures"] for count in counts() if "failures" in count]


@dataclass(frozen=True)
class Guessed:
    """A value that a user can guess."""

    ask: Callable[[str], Response]
    right: str
    wrong: str
    """Format of wrong values of the same length."""
    refusal: str


def _bound(stage: Stage, right: str, wrong: str) -> Guessed:
    return Guessed(lambda sn: bind(stage.here, sn), right, wrong, "Requested device SN invalid")


def _claim_code(stage: Stage) -> Guessed:
    products.change(world.PK, claim_codes=True)
    return _bound(stage, f"{world.SN}-{claim_codes.of(world.PK, world.SN, 1)}", world.SN + "-{:010}")


def _share_code(name: str, refusal: str) -> Callable[[Stage], Guessed]:
    def guessed(stage: Stage) -> Guessed:
        event, good = stage.request(), stage.here.answers["quectel.share_info"].json()["data"]
        return Guessed(lambda code: invoke(name, world.query(event, shareCode=code)), good, "{:099}", refusal)

    return guessed


GUESSED: dict[str, tuple[str, Callable[[Stage], Guessed]]] = {
    "serial number": (BIND, lambda stage: _bound(stage, world.SN, "SN9{:09}")),
    "claim code": (BIND, _claim_code),
    "share code to accept": ("quectel.share_device", _share_code("quectel.share_device", "Invalid share code")),
    "share code to look": (
        "quectel.share_device",
        _share_code("quectel.device_info", "No permission to query this device"),
    ),
}
"""By value: the operation whose prerequisites are needed, and how to guess."""


@pytest.mark.parametrize("value", GUESSED)
def test_guesses_are_throttled_after_twenty_a_day(value: str, stage: Callable[[str, str], Stage], time: Clock) -> None:
    name, begin = GUESSED[value]
    guessed = begin(stage(name, "quectel"))
    for number in range(21):
        missed = guessed.ask(guessed.wrong.format(number))
        assert (missed.json()["msg"], "Retry-After" in missed.headers) == (guessed.refusal, False)
    stands = counts()
    assert failures() == [21], "all values share one count"
    for text in (guessed.wrong.format(99), guessed.right):
        slowed = guessed.ask(text)
        assert (slowed.body, slowed.headers["Retry-After"]) == (missed.body, "1"), "it does not reveal what is right"
    assert counts() == stands, "a throttled request is not counted"
    time.now += 1000
    assert code(guessed.ask(guessed.right)) == 200


@pytest.mark.parametrize(("misses", "seconds"), [(20, 0), (21, 1), (22, 2), (26, 32), (31, 900), (60, 900)])
def test_each_failed_guess_doubles_the_wait_up_to_15_minutes(
    misses: int, seconds: int, here: World, time: Clock
) -> None:
    for _ in range(misses):
        binding.Guesses(items.guesses("ada")).fail()
    slowed = bind(here, "SN9000000099")
    assert (slowed.body, slowed.headers.get("Retry-After")) == (UNKNOWN, str(seconds) if seconds else None)


def test_another_users_serial_number_counts_as_a_failed_guess(here: World, time: Clock) -> None:
    assert code(bind(here, world.SN, here.ben)) == 200
    assert code(bind(here, world.SN, here.ben)) == 5049
    assert failures() == []
    assert code(bind(here, world.SN)) == 5412
    assert failures() == [1]


def test_success_does_not_reset_failed_guesses(here: World, time: Clock) -> None:
    guess(here, 20)
    assert code(bind(here, world.SN)) == 200
    assert [(count["failures"], count["bound"]) for count in counts()] == [(20, 1)]


def test_guess_count_is_per_caller_anonymous_and_expires(here: World, time: Clock) -> None:
    guess(here, 1)
    (count,) = counts()
    # Nothing else is stored.
    assert {name: value for name, value in count.items() if name not in ("pk", "sk")} == {
        "failures": 1,
        "last_at": time.now,
        "expires_at": time.now // 1000 + 86_400,
    }
    assert re.fullmatch(r"attempts#[0-9a-f]{64}", count["pk"])
    assert count["sk"] == f"guesses#{clock.today().isoformat()}"
    assert items.guesses("ada") != items.guesses("ben")
    unkeyed = {hashlib.new(name, b"ada").hexdigest() for name in ("sha256", "sha512", "sha1", "md5")}
    assert items.guesses("ada").pk.removeprefix("attempts#") not in unkeyed


def parallel(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[[int], Response], *, requests: int
) -> list[tuple[Response, list[str], list[dict[str, Any]]]]:
    """Return the responses to parallel requests that all read the counts; then each writes in turn.

    Each response comes with the calls that its request made and the counts afterwards.
    """
    real, read = binding.dynamodb.get_many, copy.deepcopy({Key(Table.BINDINGS, c["pk"], c["sk"]): c for c in counts()})

    def stale(reads: Sequence[Read]) -> Batch:
        found = real(reads)
        seen = {key: read.get(key) if key.pk.startswith("attempts#") else found[key] for key, _ in reads}
        return Batch({key: item for key, item in seen.items() if item is not None})

    monkeypatch.setattr(binding.dynamodb, "get_many", stale)
    seen: list[tuple[Response, list[str], list[dict[str, Any]]]] = []
    for number in range(requests):
        made: list[str] = []
        with monkeypatch.context() as patch:
            patch.setattr(
                aws_calls, "before", [*aws_calls.before, lambda _, method, __, made=made: made.append(method)]
            )
            seen.append((ask(number), made, counts()))
    return seen


@pytest.mark.parametrize(
    ("value", "missed", "right"),
    [*product(GUESSED, [0], [0, 20, 21]), *product(["serial number"], [15, 24], [0, 21])],
)
def test_parallel_guesses_are_throttled(
    value: str,
    missed: int,
    right: int,
    stage: Callable[[str, str], Stage],
    time: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, begin = GUESSED[value]
    guessed = begin(stage(name, "quectel"))
    for _ in range(missed):
        binding.Guesses(items.guesses("ada")).fail()
    time.now += 900_000
    free = max(21 - missed, 1)
    before = everything()

    def ask(number: int) -> Response:
        return guessed.ask(guessed.right if number == right else guessed.wrong.format(number))

    seen = parallel(monkeypatch, ask, requests=25)
    for number, (answer, _, _) in enumerate(seen):
        if number == right < free:
            assert code(answer) == 200
        else:
            revealed = number < free + (right < min(free, number))
            told = answer.json()["msg"], answer.headers.get("Retry-After")
            assert told == (guessed.refusal, None if revealed else "1")
    if right >= free:
        assert everything() == before
        assert all(other == seen[right] for other in seen[free:]), "a wrong guess gets the same after the same calls"


def test_device_revealed_by_a_race_counts_as_a_failed_guess(
    here: World, time: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    races.before(monkeypatch, "TransactWriteItems", lambda: bind(here, world.SN, here.ben))
    assert code(bind(here, world.SN)) == 5412
    assert failures() == [1]
    for _ in range(20):
        binding.Guesses(items.guesses("ada")).fail()
    assert (bind(here, world.SN).body, bind(here, world.SN).headers["Retry-After"]) == (UNKNOWN, "1")


@pytest.mark.parametrize("refusal", ["banned", "no key", "full list"])
def test_refusals_that_reveal_a_device_are_counted(refusal: str, here: World, time: Clock) -> None:
    device = identity.manufactured_device(world.PK, world.SN)
    extra: dict[str, str] = {}
    if refusal == "banned":
        devices.ban(device, "stolen")
    elif refusal == "no key":
        dynamodb.write(items.device(device).update(set={"device_key": None}))
    else:
        users.set_home_mode("ada", True)
        families.create("full", "ada")
        filled = {f"quectel#{world.PK}#filler-{number}" for number in range(families.COMMON_LIMIT)}
        dynamodb.write(items.family("full").update(add={"common": filled}))
        extra = {"fid": "full"}
    answer = invoke(BIND, world.query(here.request(BIND), sn=world.SN, **extra))
    assert code(answer) == {"banned": 5009, "no key": 5067, "full list": 5893}[refusal]
    assert failures() == [1]


def few_bindings(patch: pytest.MonkeyPatch) -> None:
    """Allow two new bindings a day, and manufacture six devices."""
    limit = binding.Guesses.LIMITS[1]
    assert limit.free == 100, "more devices than a household has"
    patch.setattr(binding.Guesses, "LIMITS", (binding.Guesses.LIMITS[0], limit._replace(free=2)))
    for number in range(6):
        devices.manufacture(world.PK, f"SN8{number}", device_key=f"DEAD000{number}")


def test_new_bindings_are_throttled_after_a_hundred_a_day(
    here: World, time: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_bindings(monkeypatch)
    for number in range(3):
        assert code(bind(here, f"SN8{number}")) == 200
    stands = counts()
    for sn in ("SN83", "SN9000000099"):
        slowed = bind(here, sn)
        assert (slowed.body, slowed.headers["Retry-After"]) == (UNKNOWN, "1"), (
            "the response does not reveal whether the device exists"
        )
    assert counts() == stands
    assert code(bind(here, world.SN, here.ben)) == 200, "another user"
    time.now += 1000
    assert code(bind(here, "SN83")) == 200
    assert bind(here, "SN84").headers["Retry-After"] == "2"
    time.now += 86_400_000
    assert code(bind(here, "SN84")) == 200


def test_parallel_new_bindings_are_throttled(here: World, time: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    few_bindings(monkeypatch)
    seen = parallel(monkeypatch, lambda number: bind(here, f"SN8{number}"), requests=6)
    assert [code(answer) for answer, _, _ in seen] == [200] * 3 + [5090] * 3
    assert {answer.headers["Retry-After"] for answer, _, _ in seen[3:]} == {"1"}
    assert [count["bound"] for count in counts()] == [3]


HEADERS = {"rufus": "api_key", "remoteit": "developerkey"}
WITH_KEYS = [name for name in world.OPERATIONS if name.partition(".")[0] in HEADERS]
NO_KEY = "ror-" + "0" * 40


def _with(header: str, value: str) -> Callable[[Stage], dict[str, Any]]:
    def change(stage: Stage) -> dict[str, Any]:
        made = stage.request()
        return made | {"headers": made["headers"] | {header: value}}

    return change


def _from(address: str, made: dict[str, Any]) -> dict[str, Any]:
    context = made["requestContext"]
    return made | {"requestContext": context | {"http": context["http"] | {"sourceIp": address}}}


@pytest.mark.parametrize("name", WITH_KEYS)
def test_unknown_keys_are_throttled_after_twenty_a_day(
    name: str, stage: Callable[[str, str], Stage], time: Clock
) -> None:
    staged = stage(name, name.partition(".")[0])
    unknown = _with(HEADERS[staged.dialect], NO_KEY)(staged)
    before = everything()
    for _ in range(20):
        missed = invoke(name, unknown)
        assert "Retry-After" not in missed.headers
    for waited, seconds in ((0, 1), (1000, 2), (1999, 1), (1, 4)):
        time.now += waited
        slowed = invoke(name, unknown)
        assert (slowed.status, slowed.body, slowed.headers["Retry-After"]) == (missed.status, missed.body, str(seconds))
    assert failures() == [23], "a throttled request is not counted"
    assert "Retry-After" not in invoke(name, _from("203.0.113.10", unknown)).headers, "another network"
    assert everything() == before
    assert invoke(name, staged.request()).status in (200, 201), "a valid key is accepted even on a throttled network"


@pytest.mark.parametrize(
    ("this", "that", "same"),
    [
        ("203.0.113.9", "203.0.113.9", True),
        ("203.0.113.9", "203.0.113.10", False),
        ("203.0.113.9", "::ffff:203.0.113.9", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
    ],
)
def test_unknown_keys_are_counted_per_network(this: str, that: str, same: bool, time: Clock) -> None:
    assert (items.key_guesses(Kind.RUFUS, this) == items.key_guesses(Kind.RUFUS, that)) is same
    assert items.key_guesses(Kind.RUFUS, this) != items.key_guesses(Kind.REMOTEIT, this)
    today = items.key_guesses(Kind.RUFUS, this)
    time.now += 86_400_000
    assert items.key_guesses(Kind.RUFUS, this) != today


def test_unknown_key_count_is_anonymous_and_expires(stage: Callable[[str, str], Stage], time: Clock) -> None:
    staged = stage("rufus.list_devices", "rufus")
    invoke("rufus.list_devices", _with("api_key", NO_KEY)(staged))
    (count,) = counts()
    assert SOURCE_IP not in str(count)
    # Each hash has so few digits that it matches thousands of IPv4 addresses.
    assert re.fullmatch(r"attempts#rufus#[0-9a-f]{5}", count["pk"])
    assert count["expires_at"] == time.now // 1000 + 86_400


def test_unknown_key_count_is_shared_and_its_cache_is_bounded(
    stage: Callable[[str, str], Stage], time: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = stage("rufus.list_devices", "rufus")
    unknown = _with("api_key", NO_KEY)(staged)
    for _ in range(21):
        invoke("rufus.list_devices", unknown)
    key_guesses.clear_cache()
    assert invoke("rufus.list_devices", unknown).headers["Retry-After"] == "2", (
        "another environment continues the count"
    )
    monkeypatch.setattr(key_guesses, "REMEMBERED", 2)
    for address in ("203.0.113.10", "203.0.113.11", "203.0.113.12"):
        invoke("rufus.list_devices", _from(address, unknown))
    assert invoke("rufus.list_devices", unknown).headers["Retry-After"] == "4", "an evicted network is counted again"


def test_revoked_key_is_throttled_like_an_unknown_one(stage: Callable[[str, str], Stage], time: Clock) -> None:
    staged = stage("rufus.list_devices", "rufus")
    revoked = api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias="old")
    api_keys.revoke(api_keys.id_of(revoked))
    ask = [_with("api_key", credential)(staged) for credential in (revoked, NO_KEY)]
    for _ in range(10):
        assert (
            len({(answer.body, *answer.headers) for answer in (invoke("rufus.list_devices", each) for each in ask)})
            == 1
        )
    for seconds, each in ((1, ask[0]), (2, ask[1]), (4, ask[0])):
        assert invoke("rufus.list_devices", each).headers["Retry-After"] == str(seconds)
        time.now += seconds * 1000


COUNTED = {
    *("bound_by_another", "email_unknown", "identifier_taken", "key_unknown", "not_shared", "password_wrong"),
    *("phone_unknown", "serial_unknown", "share_unknown", "signature_invalid"),
}
"""Reasons for which wrong guesses are refused. Those for which a guess has to wait are counted too."""


def test_metric_counts_only_reasons_that_operations_return() -> None:
    found = dict(template.resources("AWS::Logs::MetricFilter"))["FailedGuessesMetricFilter"]
    (made,), pattern = found["MetricTransformations"], str(found["FilterPattern"])
    assert found["LogGroupName"] == {"Ref": "FunctionLogGroup"}
    assert (made["MetricName"], made["MetricValue"], made["DefaultValue"]) == ("FailedGuesses", "1", 0)
    # CloudWatch applies no default value to metrics with dimensions, and anomaly detection needs the zeros.
    assert "Dimensions" not in made
    assert len(pattern) <= 1024
    counted = re.findall(r'\(\$\.reason = "(\w+)"\)', pattern)
    assert pattern == "{ " + " || ".join(f'($.reason = "{reason}")' for reason in counted) + " }"
    refused_for = {reason for name in world.OPERATIONS for reason in template.function(name).load().refuses}
    assert set(counted) == COUNTED | {reason for reason in refused_for if reason.endswith("_throttled")}
