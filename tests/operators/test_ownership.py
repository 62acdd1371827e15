"""Change of owner: offers between users, and devices that are lost, found, retired and returned to stock."""

from collections.abc import Callable
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.connectivity import device_credentials, service_addresses
from bindery.core import clock
from bindery.directory import accounts, products, users
from bindery.operators import privacy, stock
from bindery.quectel import auth_keys, families, user_domains
from bindery.registry import devices, identity, items
from bindery.registry.bindings import Mode
from bindery.registry.ownership import TRANSITIONS, Act, Obstacle, State
from bindery.security import secrets
from tests import device_link, quectel
from tests.http_api import OPERATOR, Response, admin
from tests.invariants import broken
from tests.operators.conftest import At
from tests.operators.remains import erase, player
from tests.quectel import DEVICE, DK, ME, OTHER, PK, THIRD, World, as_user, common, succeeded
from tests.records import ADDRESS, company_device, connection, registration
from tests.tables import acts_in, everything, item_at, without_acts

pytestmark = pytest.mark.usefixtures("registry")

DAY = 86_400_000
NEW = "dora"


def ask(action: str, device: str = DEVICE, **body: Any) -> Response:
    return admin("devices", "POST", f"devices/{identity.opaque(device)}/{action}", body or None)


def show(device: str = DEVICE) -> dict[str, Any]:
    return dict(admin("devices", "GET", f"devices/{identity.opaque(device)}").json())


def done(action: str, device: str = DEVICE, **body: Any) -> dict[str, Any]:
    answer = ask(action, device, **body)
    assert answer.status == 200, answer.body
    assert broken(everything()) == []
    return dict(answer.json())


def refused(answer: Response, status: int, text: str) -> None:
    assert answer.status == status, answer.body
    assert text in answer.json()["detail"]


def offered(uid: str = OTHER) -> None:
    succeeded(as_user(ME))
    done("offer", to=uid)


def another() -> None:
    users.create(NEW, "smart", domain="E.DM.1")


BODIES: dict[Act, dict[str, str]] = {
    Act.OFFER: {"to": NEW},
    Act.ACCEPT: {"uid": OTHER},
    Act.DECLINE: {"uid": OTHER},
    Act.WITHDRAW: {},
    Act.LOST: {"reason": "left in a taxi"},
    Act.FOUND: {},
    Act.RETIRE: {"reason": "broken"},
    Act.RETURN: {"reason": "refunded"},
}

GIVEN: dict[State, Callable[[], object]] = {
    State.STOCK: lambda: None,
    State.OWNED: lambda: succeeded(as_user(ME)),
    State.OFFERED: offered,
    State.LOST: lambda: (offered(), done("lost", reason="left in a taxi")),
    State.RETIRED: lambda: done("retire", reason="broken"),
    State.BANNED: lambda: (offered(), devices.ban(DEVICE, "stolen")),
}


@pytest.mark.parametrize("act", Act)
@pytest.mark.parametrize("state", State)
def test_act_leads_to_the_state_of_the_table_or_is_refused(state: State, act: Act) -> None:
    World()
    another()
    GIVEN[state]()
    assert show()["state"] == state
    before = everything()
    answer = ask(act, **BODIES[act])
    result = TRANSITIONS[state][act]
    if isinstance(result, Obstacle):
        refused(answer, 409, result.value)
        assert everything() == before
        return
    assert answer.status == 200, answer.body
    assert answer.json()["state"] in result
    assert broken(everything()) == []


def test_found_device_is_as_it_was_before() -> None:
    World()
    for given in (GIVEN[State.STOCK], GIVEN[State.OWNED], lambda: done("offer", to=OTHER)):
        given()
        before = show()["state"]
        done("lost", reason="left in a taxi")
        assert done("found")["state"] == before


@pytest.mark.parametrize("act", ["lost", "retire", "return"])
def test_repeated_act_changes_nothing_and_is_recorded_once(act: str) -> None:
    World()
    succeeded(as_user(ME))
    first = done(act, reason="a")
    before = everything()
    assert done(act, reason="b") == first
    assert everything() == before


def test_offer_is_shown_and_expires(now: int, at: At) -> None:
    World()
    another()
    succeeded(as_user(ME))
    until = (now // 1000 + 2 * 86400) * 1000
    made = done("offer", to=OTHER, days=2)
    assert (made["state"], made["offer"]) == ("offered", {"to": OTHER, "expires_at": until, "by": OPERATOR})
    at(now + 2 * DAY - 1000)
    assert show()["state"] == "offered"
    at(now + 2 * DAY)
    assert (show()["state"], show()["offer"]) == ("owned", None)
    refused(ask("accept", uid=OTHER), 409, "not offered")
    assert done("offer", to=NEW)["offer"]["to"] == NEW
    assert [note["pk"] for note in everything()["BINDINGS"] if note["sk"].startswith("offer#")] == [f"user#{NEW}"]


def test_repeated_offer_is_unchanged() -> None:
    World()
    offered()
    before = everything()
    assert done("offer", to=OTHER, days=1)["offer"] == show()["offer"]
    assert everything() == before


def bar() -> None:
    products.bar(PK, OTHER)


def other_domain() -> None:
    user_domains.create("E.DM.2")
    users.change(OTHER, domain="E.DM.2")
    products.change(PK, domains=["E.DM.1"])


RECEIVERS: dict[str, tuple[Callable[[], object], int, str]] = {
    "unknown": (lambda: privacy.erase(OTHER), 404, f"No enabled user has the uid {OTHER}"),
    "disabled": (lambda: users.set_enabled(OTHER, False), 404, f"No enabled user has the uid {OTHER}"),
    "barred": (bar, 409, "barred"),
    "of another domain": (other_domain, 409, "not for the user's domain"),
    "regular": (lambda: user_domains.change("E.DM.1", binders="administrators"), 409, "administrators"),
    "of a disabled domain": (lambda: user_domains.change("E.DM.1", enabled=False), 409, "user domain"),
    "of a disabled account": (lambda: accounts.set_enabled("smart", False), 409, "account is disabled"),
    "without the device enabled": (lambda: devices.set_enabled(DEVICE, False), 409, "disabled"),
}


@pytest.mark.parametrize("name", RECEIVERS)
@pytest.mark.parametrize("act", ["offer", "accept"])
def test_receiver_is_checked_as_for_a_bind_request(act: str, name: str) -> None:
    World()
    succeeded(as_user(ME))
    if act == "accept":
        done("offer", to=OTHER)
    change, status, text = RECEIVERS[name]
    change()
    if act == "accept" and name == "unknown":
        # The erasure deletes the offer.
        status, text = 409, "not offered"
    before = everything()
    refused(ask(act, **({"to": OTHER} if act == "offer" else {"uid": OTHER})), status, text)
    assert everything() == before


@pytest.mark.parametrize("act", ["accept", "decline"])
def test_only_the_receiver_answers_an_offer(act: str) -> None:
    World()
    offered()
    refused(ask(act, uid=NEW), 404, f"not offered to {NEW}")


def test_only_devices_with_one_quectel_holder_are_offered_to_others() -> None:
    World()
    succeeded(as_user(ME))
    refused(ask("offer", to=ME), 409, "already")
    refused(ask("offer", company_device(), to=OTHER), 422, "Only quectel devices")
    dynamodb.write(items.product(PK).update(set={"mode": Mode.MULTI}))
    refused(ask("offer", to=OTHER), 422, "Any number of users")


@pytest.mark.parametrize("mode", [Mode.UNIQUE, Mode.ROTATING])
def test_accepted_device_has_nothing_of_its_last_holder(mode: Mode) -> None:
    World(mode)
    service_addresses.assign(ADDRESS, DEVICE)
    key = device_credentials.issue(DEVICE)
    users.set_home_mode(ME, True)
    succeeded(as_user(ME, fid="F1", frid="R1", isCommonDevice="true", deviceName="Mine", capabilitiesBitmask=4))
    before = auth_keys.regenerate(quectel.session(ME), PK, DK)
    quectel.share(ME, OTHER, clock.seconds() + 60)
    quectel.share(ME, THIRD, clock.seconds() + 60)
    connection(ME)
    dynamodb.write(items.service_name(ME, ADDRESS).put({"kind": "name", "name": "Mine"}))
    dynamodb.write(items.properties(DEVICE).put({"binding": item_at(items.owner(DEVICE))["binding"], "values": {}}))
    done("offer", to=OTHER)
    shown = done("accept", uid=OTHER)
    assert (shown["state"], shown["binding"]["holder"]["id"], shown["binding"]["shares"]) == ("owned", OTHER, [])
    entry = item_at(items.user_device(OTHER, PK, DK))
    assert (entry["kind"], entry["name"], entry["fid"], entry["shares"]) == ("binding", "Smart lock", None, {})
    assert entry["capabilities"] == 4
    assert common("F1") == set()
    binding = item_at(items.owner(DEVICE))
    assert binding["leases"] == {}
    assert binding["credential"] != secrets.fingerprint(before)
    assert binding["credential"] == secrets.fingerprint(auth_keys.get(quectel.session(OTHER), PK, DK))
    left = [item for item in without_acts(everything()) if item["pk"] == f"user#{ME}" or item["pk"] == f"user#{THIRD}"]
    assert left == []
    assert {item["sk"] for item in without_acts(everything()) if item["pk"] == DEVICE} == {
        "owner",
        f"connection#user#{ME}",
    }
    assert secrets.fingerprint(key) not in str(everything())


def test_receiver_in_home_mode_chooses_a_family() -> None:
    World()
    offered()
    refused(ask("accept", uid=OTHER, fid="F2"), 409, "not in home mode")
    users.set_home_mode(OTHER, True)
    refused(ask("accept", uid=OTHER), 409, "specify one of the user's families")
    refused(ask("accept", uid=OTHER, fid="F2", frid="R9"), 409, "does not have this room")
    refused(ask("accept", uid=OTHER, fid="F9"), 409, "does not belong to this family")
    done("accept", uid=OTHER, fid="F2", frid="R2")
    entry = item_at(items.user_device(OTHER, PK, DK))
    assert (entry["fid"], entry["frid"]) == ("F2", "R2")


def test_receiver_in_the_last_holders_family_keeps_it_without_the_device_in_the_common_list() -> None:
    World()
    for uid in (ME, OTHER):
        users.set_home_mode(uid, True)
    succeeded(as_user(ME, fid="F1", isCommonDevice="true"))
    done("offer", to=OTHER)
    done("accept", uid=OTHER, fid="F1")
    assert common("F1") == set()
    assert families.show("F1")["members"] == [OTHER]


def test_another_device_with_the_same_device_key_prevents_acceptance() -> None:
    World()
    offered()
    devices.manufacture(PK, "SN2", device_key=DK)
    assert quectel.ask(OTHER, "bind_device_sn", pk=PK, sn="SN2").json()["code"] == 200
    refused(ask("accept", uid=OTHER), 409, "same device key")


@pytest.mark.parametrize("act", ["decline", "withdraw"])
def test_ended_offer_leaves_the_device_with_its_holder(act: str) -> None:
    World()
    succeeded(as_user(ME))
    before = item_at(items.owner(DEVICE))
    done("offer", to=OTHER)
    assert done(act, **({"uid": OTHER} if act == "decline" else {}))["state"] == "owned"
    after = item_at(items.owner(DEVICE))
    assert {name: after[name] for name in before} == before
    assert [item for item in everything()["BINDINGS"] if item["sk"].startswith("offer#")] == []


@pytest.mark.parametrize("end", ["unbind", "rotation"])
def test_offer_ends_with_the_binding(end: str) -> None:
    World(Mode.ROTATING)
    offered()
    if end == "unbind":
        quectel.ask(ME, "unbundling_device_dk", pk=PK, dk=DK)
    else:
        succeeded(as_user(THIRD))
    assert show()["offer"] is None
    assert ask("accept", uid=OTHER).status == 409


@pytest.mark.parametrize("days", [0, 8])
def test_erased_receiver_is_not_named_by_an_offer_even_if_expired(days: int, now: int, at: At) -> None:
    World()
    offered()
    at(now + days * DAY)
    assert item_at(items.owner(DEVICE))["offer"]["to"] == OTHER
    assert [each["device"] for each in privacy.export(OTHER)["offers"]] == [identity.opaque(DEVICE)]
    erase(OTHER)
    assert OTHER not in str([item for item in without_acts(everything()) if item["sk"] != "family"])
    assert (show()["state"], item_at(items.owner(DEVICE))["holder"]) == ("owned", f"user#{ME}")


def test_note_of_an_offer_that_ended_with_its_binding_is_erased() -> None:
    World()
    offered()
    quectel.ask(ME, "unbundling_device_dk", pk=PK, dk=DK)
    assert privacy.export(OTHER)["offers"] == [{"device": identity.opaque(DEVICE), "expires_at": None}]
    assert erase(OTHER)["offers"] == 1


def test_lost_device_keeps_its_holder_and_cannot_be_used() -> None:
    World()
    succeeded(as_user(ME))
    shown = done("lost", reason="left in a taxi")
    assert (shown["state"], shown["binding"]["holder"]["id"]) == ("lost", ME)
    assert (shown["ban"]["kind"], shown["ban"]["reason"], shown["ban"]["by"]) == ("lost", "left in a taxi", OPERATOR)
    assert as_user(OTHER).json()["code"] == 5009
    quectel.ask(ME, "unbundling_device_dk", pk=PK, dk=DK)
    assert as_user(OTHER).json()["code"] == 5009
    assert done("found")["unbanned"]["reason"] == "left in a taxi"
    succeeded(as_user(OTHER))


@pytest.mark.parametrize("state", [State.LOST, State.RETIRED])
def test_unban_names_the_act_for_a_lost_or_retired_device(state: State) -> None:
    World()
    GIVEN[state]()
    before = everything()
    refused(ask("unban"), 409, "bindery devices found" if state is State.LOST else "bindery devices return")
    assert everything() == before


@pytest.mark.parametrize("state", [State.LOST, State.RETIRED])
def test_banned_device_is_no_longer_lost_or_retired(state: State) -> None:
    World()
    GIVEN[state]()
    shown = done("ban", reason="stolen")["ban"]
    assert shown == {"at": shown["at"], "reason": "stolen", "by": OPERATOR, "kind": "banned"}
    assert ask("found").status == 409
    assert done("return", reason="refunded")["state"] == "banned"
    assert done("unban")["state"] == "stock"


def test_retired_device_has_no_holder_until_it_is_returned_and_bound() -> None:
    World()
    before = succeeded(as_user(ME))
    shown = done("retire", reason="broken")
    assert (shown["state"], shown["binding"], shown["ban"]["kind"]) == ("retired", None, "retired")
    assert shown["unbound"]["reason"] == "broken"
    assert as_user(OTHER).json()["code"] == 5009
    done("return", reason="repaired")
    assert succeeded(as_user(OTHER))["authKey"] != before["authKey"]


def test_return_revokes_the_device_key_of_a_device_in_stock() -> None:
    World()
    device_credentials.issue(DEVICE)
    done("return", reason="refunded")
    assert dynamodb.get(items.device_key(DEVICE)) is None
    assert sorted(act["did"] for act in acts_in(everything())) == ["key_revoked", "returned"]


@pytest.mark.parametrize("act", ["retire", "return"])
def test_all_users_of_a_device_lose_it(act: str) -> None:
    World(Mode.MULTI)
    for uid in (ME, OTHER):
        users.set_home_mode(uid, True)
        succeeded(as_user(uid, fid="F1", isCommonDevice="true"))
    quectel.share(ME, THIRD, clock.seconds() + 60)
    shown = done(act, reason="recalled")
    assert (shown["users"], shown["binding"], common("F1")) == ([], None, set())
    assert [item for item in without_acts(everything()) if item["sk"].startswith(("user#", "device#"))] == []


def test_device_with_many_users_is_retired_by_repetition_and_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    World(Mode.MULTI)
    for number in range(40):
        users.create(f"u{number}", "smart", domain="E.DM.1")
        succeeded(as_user(f"u{number}"))
    refused(ask("return", reason="recalled"), 409, "bindery devices retire")
    with monkeypatch.context() as patch:
        patch.setattr(stock, "_end_more", lambda device, why: False)
        assert ask("retire", reason="recalled").json()["state"] == "retired"
    assert show()["users"] != []
    shown = done("retire", reason="recalled")
    assert (shown["state"], shown["users"]) == ("retired", [])
    assert done("return", reason="recalled")["state"] == "stock"
    endings = [act for act in acts_in(everything()) if act["did"] == "ended"]
    assert (len(endings), {act["cause"] for act in endings}) == (40, {"retired"})


DEVICES: dict[str, Callable[[], str]] = {
    "rufus": company_device,
    "asseco": lambda: registration("MIGR00002"),
    "vodlix": player,
}


@pytest.mark.parametrize("api", DEVICES)
def test_devices_of_every_api_are_lost_retired_and_returned(api: str) -> None:
    device = DEVICES[api]()
    first = show(device)["state"]
    assert first == ("stock" if api == "vodlix" else "owned")
    assert done("lost", device, reason="a")["state"] == "lost"
    assert done("found", device)["state"] == first
    shown = done("retire", device, reason="b")
    assert (shown["state"], shown["ban"]["kind"]) == ("retired", "retired")
    assert done("return", device, reason="c")["state"] == "stock"
    DEVICES[api]()
    assert show(device)["state"] == first
    assert done("return", device, reason="d")["state"] == "stock"


def test_returned_phone_is_unregistered_for_its_customer() -> None:
    device = registration("MIGR00002")
    shown = done("return", device, reason="refunded")
    assert (shown["state"], shown["binding"]["status"]) == ("stock", "unregistered")
    assert done("retire", device, reason="broken")["binding"]["status"] == "unregistered"


@pytest.mark.parametrize("with_key", [False, True])
@pytest.mark.parametrize(
    ("action", "body", "why"),
    [
        ("accept", {"uid": OTHER}, "unbound"),
        ("return", {"reason": "resold"}, "unbound"),
        ("retire", {"reason": "broken"}, "banned"),
    ],
)
def test_connection_ends_at_a_change_of_owner(action: str, body: dict[str, str], why: str, with_key: bool) -> None:
    World()
    auth_key = succeeded(as_user(ME))["authKey"]
    if action == "accept":
        done("offer", to=OTHER)
    credential = device_credentials.issue(DEVICE) if with_key else auth_key
    connection = device_link.connected(credential)
    done(action, **body)
    assert (connection.is_open, connection.received) == (False, [{"type": "bye", "why": why, "after": 600}])
    assert show()["presence"]["state"] != "online"
    assert device_link.connect(credential) is None
