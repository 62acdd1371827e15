"""64 parallel callers and one device, in repeated rounds, for every operation that binds or unbinds a device.

Each race runs for ten rounds in `make proof`, one in `make test`, and otherwise `PROOF_ROUNDS`.

If the API allows one winner, there is exactly one, and every other caller gets the documented refusal. After each step
every invariant holds and the index by holder agrees with the table. A repeated request gets the same response as the
winner or the losers. Each round ends in the state in which it began.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from botocore.config import Config

from bindery.aws import connections, sdk
from bindery.aws.dynamodb import Table
from bindery.connectivity import leases
from bindery.operators import forced_unbind
from bindery.quectel import user_devices
from bindery.registry import identity
from bindery.registry.bindings import Mode
from bindery.rufus import company_devices
from tests.conftest import clear_caches, make_environment
from tests.engine.conftest import use_empty_registry
from tests.http_api import Response
from tests.openid import Bank
from tests.properties.crowd import CALLERS, CAMERA, IMEI, MAC, Crowd, camera, whole
from tests.properties.scale import rounds
from tests.tables import stored
from tools.local.engine import Engine

ROUNDS = int(os.environ.get("PROOF_ROUNDS") or rounds(short=1, full=10))


@pytest.fixture(scope="module")
def crowd(running_engine: Engine) -> Iterator[Crowd]:
    """One crowd for all races; each race restores its initial state."""
    with pytest.MonkeyPatch.context() as environment, Bank() as bank:
        make_environment(environment)
        # The run time on a busy machine does not matter here, and each caller has a separate connection.
        for limit in ("CONNECT_TIMEOUT", "RESPONSE_TIMEOUT"):
            environment.setattr(connections, limit, 60.0)
        patient = Config(connect_timeout=60, read_timeout=60, max_pool_connections=CALLERS)
        environment.setattr(sdk, "CONFIG", sdk.CONFIG.merge(patient))
        bank.trusted(environment)
        use_empty_registry(running_engine, environment)
        yield Crowd(bank)
        clear_caches()


def words(answer: Response) -> Any:
    """Return the outcome of a response: the code or the problem, otherwise the status."""
    given = answer.json() if answer.body else {}
    return given.get("problem") or (given["code"] if "extMsg" in given else answer.status)


def told(answers: list[Response]) -> Counter[Any]:
    return Counter(map(words, answers))


def winner(answers: list[Response], success: int = 200) -> int:
    """Return the number of the only caller that succeeded."""
    (number,) = (number for number, answer in enumerate(answers) if words(answer) == success)
    return number


def again(ask: Callable[[int], Response], winner: int, *, won: Any, lost: Any) -> None:
    """Repeat the requests of the winner and some losers twice. Each response must be identical to that of its kind."""
    for number, expected in [(winner, won), *(((winner + step) % CALLERS, lost) for step in (1, 17, 63))]:
        first, second = ask(number), ask(number)
        assert words(first) == expected, first
        assert (first.status, first.body) == (second.status, second.body)


def owner(bindings: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = (item for item in bindings if item["sk"] == "owner" and item["pk"] != camera())
    return found


def left(bindings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the items besides the camera, which is always bound."""
    return [item for item in bindings if item["pk"] != camera()]


Race = Callable[[Crowd], None]


def one_companys_retries(crowd: Crowd) -> None:
    answers = crowd.at_once(lambda _: crowd.bind(0))
    assert told(answers) == {201: CALLERS}
    assert len({answer.body for answer in answers}) == 1
    assert identity.holder_parts(owner(whole())["holder"]) == ("account", "company0")
    assert crowd.bind(0).body == answers[0].body
    deviceid = answers[0].json()["deviceid"]
    ended = crowd.at_once(lambda _: crowd.unbind(0, deviceid))
    assert told(ended) == {200: 1, 404: CALLERS - 1}
    again(lambda _: crowd.unbind(0, deviceid), winner(ended), won=404, lost=404)
    assert left(whole()) == []


def companies_with_devices_named_alike(crowd: Crowd) -> None:
    answers = crowd.at_once(crowd.bind)
    assert told(answers) == {201: CALLERS}
    ids = [answer.json()["deviceid"] for answer in answers]
    assert len(set(ids)) == CALLERS == len(left(whole()))
    again(crowd.bind, 0, won=201, lost=201)
    # Each company first asks for the next company's device, which it may not see.
    others = crowd.at_once(lambda number: crowd.unbind(number, ids[(number + 1) % CALLERS]))
    assert told(others) == {404: CALLERS}
    assert told(crowd.at_once(lambda number: crowd.unbind(number, ids[number]))) == {200: CALLERS}
    assert left(whole()) == []


def users_in_unique_mode(crowd: Crowd) -> None:
    bind, let_go = partial(crowd.bind_sn, mode=Mode.UNIQUE), partial(crowd.let_go, mode=Mode.UNIQUE)
    answers = crowd.at_once(bind)
    assert told(answers) == {200: 1, 5412: CALLERS - 1}
    won = winner(answers)
    assert owner(whole())["holder"] == f"user#user{won}"
    again(bind, won, won=5049, lost=5412)
    ended = crowd.at_once(let_go)
    assert told(ended) == {200: 1, 5052: CALLERS - 1}
    assert winner(ended) == won
    again(let_go, won, won=5052, lost=5052)
    assert left(whole()) == []


def users_in_rotating_mode(crowd: Crowd) -> None:
    bind, let_go = partial(crowd.bind_sn, mode=Mode.ROTATING), partial(crowd.let_go, mode=Mode.ROTATING)
    answers = crowd.at_once(bind)
    assert {200} <= told(answers).keys() <= {200, 5048}
    # A request that conflicts with another bind request may be retried.
    assert all("Retry-After" in answer.headers for answer in answers if words(answer) == 5048)
    last = int(owner(whole())["holder"].removeprefix("user#user"))
    assert words(answers[last]) == 200
    assert words(bind(last)) == 5049
    assert words(bind((last + 1) % CALLERS)) == 200
    ended = crowd.at_once(let_go)
    assert told(ended) == {200: 1, 5052: CALLERS - 1}
    assert winner(ended) == (last + 1) % CALLERS
    assert left(whole()) == []


def users_in_multi_mode(crowd: Crowd) -> None:
    bind, let_go = partial(crowd.bind_sn, mode=Mode.MULTI), partial(crowd.let_go, mode=Mode.MULTI)
    answers = crowd.at_once(bind)
    assert told(answers) == {200: CALLERS}
    assert len({answer.json()["data"]["authKey"] for answer in answers}) == CALLERS
    assert len(left(whole())) == 2 * CALLERS, "each user has a binding and a device entry"
    again(bind, 0, won=5049, lost=5049)
    assert told(crowd.at_once(let_go)) == {200: CALLERS}
    again(let_go, 0, won=5052, lost=5052)
    assert left(whole()) == []


def one_users_requests(crowd: Crowd, mode: Mode) -> None:
    answers = crowd.at_once(lambda _: crowd.bind_sn(0, mode))
    assert told(answers) == {200: 1, 5049: CALLERS - 1}
    assert len(left(whole())) == 2
    again(lambda _: crowd.bind_sn(0, mode), 0, won=5049, lost=5049)
    ended = crowd.at_once(lambda _: crowd.let_go(0, mode))
    assert told(ended) == {200: 1, 5052: CALLERS - 1}
    again(lambda _: crowd.let_go(0, mode), 0, won=5052, lost=5052)
    assert left(whole()) == []


def one_user_accepting_a_share(crowd: Crowd, mode: Mode) -> None:
    crowd.bind_sn(0, mode)
    code = crowd.offer(0, mode)
    answers = crowd.at_once(lambda _: crowd.accept(1, code))
    assert told(answers) == {200: 1, 6040: CALLERS - 1}
    again(lambda _: crowd.accept(1, code), 0, won=6040, lost=6040)
    assert {item["pk"] for item in whole() if item["sk"].startswith("device#")} == {"user#user0", "user#user1"}
    given_back = crowd.at_once(lambda _: crowd.let_go(1, mode))
    assert told(given_back) == {200: 1, 5052: CALLERS - 1}
    assert {item["pk"] for item in whole() if item["sk"].startswith("device#")} == {"user#user0"}
    assert words(crowd.let_go(0, mode)) == 200


def users_accepting_one_code(crowd: Crowd, mode: Mode) -> None:
    crowd.bind_sn(0, mode)
    code = crowd.offer(0, mode)
    answers = crowd.at_once(lambda number: crowd.accept(number, code))
    assert words(answers[0]) == 5049, "the sharer already has the device"
    accepted = {number for number, answer in enumerate(answers) if words(answer) == 200}
    assert told(answers) == {200: len(accepted), 5049: 1, 5138: CALLERS - 1 - len(accepted)}
    assert sharers(whole()) == accepted
    # A request that conflicts with another acceptance is retried. Beyond the share limit, acceptances are refused.
    for number in range(1, CALLERS):
        expected = 6040 if number in accepted else 200 if len(accepted) < user_devices.SHARE_LIMIT else 5138
        answer = crowd.accept(number, code)
        assert words(answer) == expected
        assert "Retry-After" not in answer.headers
        accepted |= {number} if expected == 200 else set()
    assert len(accepted) == user_devices.SHARE_LIMIT
    assert sharers(whole()) == accepted
    ended = crowd.at_once(lambda _: crowd.let_go(0, mode))
    assert told(ended) == {200: 1, 5052: CALLERS - 1}
    assert left(whole()) == [], "the shares end with the binding"


def sharers(bindings: list[dict[str, Any]]) -> set[int]:
    """Return the recipients of shares by their own entries, which the sharer's entry must match."""
    places = {int(item["pk"].removeprefix("user#user")): item for item in bindings if item["sk"].startswith("device#")}
    named = {int(uid.removeprefix("user")) for uid in places[0]["shares"]}
    assert {number for number, place in places.items() if place["kind"] == "share"} == named
    return named


def users_and_a_ban(crowd: Crowd, mode: Mode) -> None:
    banning = CALLERS // 2
    answers = crowd.at_once(
        lambda number: crowd.operator(mode, "ban") if number == banning else crowd.bind_sn(number, mode)
    )
    del answers[banning]
    outcomes = told(answers)
    assert outcomes.keys() <= {200, 5009, {Mode.UNIQUE: 5412, Mode.ROTATING: 5048, Mode.MULTI: 200}[mode]}
    places = [item["pk"] for item in left(whole()) if item["sk"].startswith("device#")]
    assert len(places) == (outcomes[200] if mode is Mode.MULTI else min(outcomes[200], 1))
    # Nobody can bind a banned device, including its owner.
    assert told(crowd.at_once(lambda number: crowd.bind_sn(number, mode))) == {5009: CALLERS}
    assert told(crowd.at_once(lambda number: crowd.let_go(number, mode)))[200] == len(places)
    assert left(whole()) == []
    assert crowd.operator(mode, "unban").status == 200


def customers_registering_one_device(crowd: Crowd) -> None:
    answers = crowd.at_once(crowd.register)
    assert told(answers) == {200: 1, "imei-not-unique": CALLERS - 1}
    won = winner(answers)
    assert owner(whole())["holder"] == f"customer#customer{won}"
    again(crowd.register, won, won="imei-not-unique", lost="imei-not-unique")
    ended = crowd.at_once(crowd.unregister)
    assert told(ended) == {202: 1, "device-not-exist": CALLERS - 1}
    assert winner(ended, 202) == won
    again(crowd.unregister, won, won="device-status-not-valid", lost="device-not-exist")
    assert [item["sk"] for item in left(whole())] == ["owner"], "the registration remains, and no nickname is reserved"


def one_customers_requests(crowd: Crowd) -> None:
    answers = crowd.at_once(lambda _: crowd.register(0))
    assert told(answers) == {200: 1, "imei-not-unique": CALLERS - 1}
    assert owner(whole())["identifier"] == IMEI
    ended = crowd.at_once(lambda _: crowd.unregister(0))
    assert told(ended) == {202: 1, "device-status-not-valid": CALLERS - 1}
    whole()


def one_users_connections(crowd: Crowd) -> None:
    answers = crowd.at_once(lambda _: crowd.connect(0))
    assert told(answers) == {200: CALLERS}
    (connection,) = named(whole())
    assert connection in {answer.json()["connectionid"] for answer in answers}
    ended = crowd.at_once(lambda number: crowd.stop(0, answers[number].json()["connectionid"]))
    assert told(ended) == {200: 1, 401: CALLERS - 1}
    assert answers[winner(ended)].json()["connectionid"] == connection, "only the last connection could be stopped"
    again(lambda _: crowd.stop(0, connection), 0, won=401, lost=401)
    assert named(whole()) == set()


def users_connecting(crowd: Crowd) -> None:
    answers = crowd.at_once(crowd.connect)
    assert told(answers).keys() <= {200, 503}
    assert all("Retry-After" in answer.headers for answer in answers if answer.status == 503)
    made = {answer.json()["connectionid"] for answer in answers if answer.status == 200}
    assert len(named(whole())) == leases.CALLER_LIMIT
    assert named(whole()) <= made
    # The record of connections ends with the binding, permanently.
    forced_unbind.end(camera(), "moved")
    company_devices.bind("acme", *CAMERA, alias=None, firmware=None, kind=None)
    assert named(whole()) == set()


def named(bindings: list[dict[str, Any]]) -> set[str]:
    """Return the connections named in the camera's binding."""
    (found,) = (item for item in bindings if item["pk"] == camera() and item["sk"] == "owner")
    return {name["id"] for name in found["leases"].values()}


def players_adding_themselves(crowd: Crowd) -> None:
    answers = crowd.at_once(crowd.add)
    assert told(answers) == {200: CALLERS}
    assert {answer.json()["data"]["mac_address"] for answer in answers} == {MAC}
    (device,) = (item for item in stored(Table.DEVICES) if item["dialect"] == "vodlix")
    assert len({device[name] for name in ("device_os", "device_version", "device_type", "app_version")}) == 1
    assert crowd.add(0).json()["data"] == answers[0].json()["data"]
    whole()


RACES: dict[str, Race] = {
    "rufus: one company's retries": one_companys_retries,
    "rufus: companies with devices named alike": companies_with_devices_named_alike,
    "quectel: users in unique mode": users_in_unique_mode,
    "quectel: users in rotating mode": users_in_rotating_mode,
    "quectel: users in multi mode": users_in_multi_mode,
    **{f"quectel: one user's requests, {mode.name}": partial(one_users_requests, mode=mode) for mode in Mode},
    **{f"quectel: one user accepts, {mode.name}": partial(one_user_accepting_a_share, mode=mode) for mode in Mode},
    **{f"quectel: users accept one code, {mode.name}": partial(users_accepting_one_code, mode=mode) for mode in Mode},
    **{f"quectel: users and a ban, {mode.name}": partial(users_and_a_ban, mode=mode) for mode in Mode},
    "asseco: customers": customers_registering_one_device,
    "asseco: one customer's requests": one_customers_requests,
    "remoteit: one user's connections": one_users_connections,
    "remoteit: users": users_connecting,
    "vodlix: players": players_adding_themselves,
}


@pytest.mark.parametrize("name", RACES)
def test_64_parallel_callers_leave_one_winner_and_valid_tables(name: str, crowd: Crowd) -> None:
    for _ in range(ROUNDS):
        # A user's failed guesses and new bindings are limited per day.
        crowd.delete_attempts()
        RACES[name](crowd)
