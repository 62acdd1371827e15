"""`bindery find`: what it prints, and that it never sends a key."""

import json
import shlex
from collections.abc import Callable
from hashlib import sha256
from urllib.parse import parse_qs

import pytest
import typer
from typer.testing import CliRunner, Result

from bindery.connectivity import device_credentials
from bindery.core import clock
from bindery.directory import accounts, api_keys, users
from bindery.directory.api_keys import Grant, Kind
from bindery.registry import devices, identity
from bindery.security import secrets
from tests import moto_registry
from tests.command_line import LOCAL
from tests.operators.interrupted import Noted
from tests.records import company_device
from tools.cli import client, find
from tools.cli.main import app

pytestmark = pytest.mark.usefixtures("registry")

NOON = 1_795_176_000_000
DEPLOYED = "https://api.example.com"
KEY = "ror-" + "0" * 20
KEY_ID = api_keys.id_of(KEY)
CHOSEN = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="
LOCK = identity.opaque(identity.manufactured_device("p1", "S1"))
LONG_SERIAL = "SN-0000-0000-0000-0001"


@pytest.fixture
def api(registry: None, monkeypatch: pytest.MonkeyPatch) -> Noted:
    monkeypatch.setattr(clock, "now", lambda: NOON)
    moto_registry.prepare("find commands", installation)
    made = Noted()
    monkeypatch.setattr(client, "connect", made.connect)
    return made


Bindery = Callable[..., Result]


@pytest.fixture
def bindery(api: Noted) -> Bindery:
    """Run a command line."""
    return lambda line, **given: CliRunner().invoke(app, shlex.split(line), **given)


def installation() -> None:
    accounts.create("acme", name="Acme")
    users.create("ada", "acme", email="ada@example.com")
    devices.manufacture("p1", "S1", device_key="ABCD1234")
    devices.manufacture("p1", LONG_SERIAL)
    api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias="app", chosen=KEY)
    api_keys.issue("acme", Kind.REMOTEIT, Grant.READ_WRITE, alias="tool", chosen=CHOSEN)


def texts(api: Noted) -> list[str]:
    return [parse_qs(request.url.query.decode())["text"][0] for request in api.sent]


def hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def test_match_is_a_block_of_at_most_80_columns(bindery: Bindery) -> None:
    devices.ban(identity.manufactured_device("p1", "S1"), "reported stolen by its owner, who called twice")
    shown = bindery("find S1 --output table")
    assert shown.stdout.splitlines() == [
        "device, by its serial number",
        f"  {LOCK}",
        "  banned: reported stolen by its owner, who called twice, api quectel, product",
        "  key p1, serial S1",
        f"  bindery devices show {LOCK}",
        f"  bindery devices history {LOCK}",
    ]
    assert max(map(len, shown.stdout.splitlines())) <= 80


def test_json_has_the_commands_too(bindery: Bindery) -> None:
    assert json.loads(bindery("find ada").stdout) == {
        "matches": [
            {
                "kind": "user",
                "named": "user id",
                "id": "ada",
                "state": "enabled",
                "facts": {"account": "acme", "domain": None},
                "commands": ["bindery users show ada", "bindery users history ada"],
            }
        ],
        "more": False,
    }


def test_incomplete_list_of_devices_is_announced(bindery: Bindery) -> None:
    for number in range(21):
        devices.manufacture(f"q{number}", "S2")
    last = bindery("find S2 --output table").stdout.splitlines()[-1]
    assert last == "There are more: bindery devices find --all --serial …"


@pytest.mark.parametrize(("line", "stdin"), [(f"find {KEY}", None), ("find", f"{KEY}\n")])
def test_key_is_recognized_by_its_hash_and_never_sent_or_printed(
    api: Noted, bindery: Bindery, caplog: pytest.LogCaptureFixture, line: str, stdin: str | None
) -> None:
    shown = bindery(f"{line} --output table", input=stdin)
    assert shown.stdout.splitlines() == [
        "key: this is the API key itself",
        f"  {KEY_ID}",
        "  valid, api rufus, account acme, alias app, grant READ",
        "  If it has leaked, make it invalid:",
        f"    bindery keys revoke {KEY_ID}",
        f"  bindery keys show {KEY_ID}",
    ]
    (request,) = api.sent
    assert str(request.url) == f"{LOCAL}/admin/v1/find?text={KEY_ID}"
    everywhere = [shown.output, caplog.text, str(request.headers), request.content.decode()]
    assert not any(KEY in text for text in everywhere)


def test_key_that_released_apps_had_is_recognized_by_its_hash(api: Noted, bindery: Bindery) -> None:
    (match,) = json.loads(bindery(f"find {CHOSEN}").stdout)["matches"]
    assert (match["id"], match["named"]) == (hashed(CHOSEN), "the developer key itself")
    assert texts(api) == [hashed(CHOSEN)]


def test_credential_of_a_device_is_recognized_by_its_hash(api: Noted, bindery: Bindery) -> None:
    key = company_device()
    device = identity.opaque(key)
    issued = device_credentials.issue(key)
    (match,) = json.loads(bindery(f"find {issued}").stdout)["matches"]
    assert (match["id"], match["if_leaked"]) == (device, f"bindery devices revoke-key {device}")
    deviceid = secrets.device_id("acme", "M", "S")
    (match,) = json.loads(bindery(f"find {deviceid}").stdout)["matches"]
    assert (match["id"], match["named"], "if_leaked" in match) == (
        device,
        "the device's deviceid or authKey itself",
        False,
    )
    assert texts(api) == [hashed(issued), hashed(deviceid)]


@pytest.mark.parametrize(
    "text", [KEY + "1", KEY[:9], "0a" * 20, "0a" * 18, "bdk_" + "a" * 43, "0A" * 32, "AAAAAAAAAAAAAAAAAAAAAA=="]
)
def test_unknown_key_is_not_sent(api: Noted, bindery: Bindery, text: str) -> None:
    shown = bindery(f"find {text}")
    assert (shown.exit_code, shown.stdout) == (3, "")
    assert shown.stderr.startswith("bindery: this looks like a key, but no key or device credential of ")
    assert texts(api) == [hashed(text)]


@pytest.mark.parametrize("text", ["whsec_" + "a" * 32, "eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "'Bearer eyJhbGciOi.e30.c2ln'"])
def test_secret_that_cannot_be_looked_up_is_not_sent(api: Noted, bindery: Bindery, text: str) -> None:
    shown = bindery(f"find {text}")
    assert (shown.exit_code, shown.stdout, api.sent) == (3, "", [])
    assert shown.stderr.startswith("bindery: this looks like a webhook's secret or a token, which cannot be looked up.")


def test_identifier_in_the_form_of_a_key_is_sent_only_if_it_is_no_key(api: Noted, bindery: Bindery) -> None:
    found = json.loads(bindery(f"find {LONG_SERIAL}").stdout)
    assert [match["facts"]["serial"] for match in found["matches"]] == [LONG_SERIAL]
    assert texts(api) == [hashed(LONG_SERIAL), LONG_SERIAL]


@pytest.mark.parametrize(("serial", "code"), [("S1", "-ABCDE12345"), (LONG_SERIAL, " -abcde-12345")])
def test_label_names_its_device_and_the_claim_code_is_not_sent(
    api: Noted, bindery: Bindery, serial: str, code: str
) -> None:
    (found,) = json.loads(bindery(f"find '{serial}{code}'").stdout)["matches"]
    assert (found["named"], found["facts"]["serial"]) == ("label", serial)
    assert texts(api)[-1] == serial


def test_device_id_takes_one_request(api: Noted, bindery: Bindery) -> None:
    assert bindery(f"find {LOCK}").exit_code == 0
    assert texts(api) == [LOCK]


def test_failed_search_prints_what_was_tried(bindery: Bindery) -> None:
    shown = bindery("find LK0000002")
    assert (shown.exit_code, shown.stdout) == (3, "")
    assert shown.stderr.splitlines() == [
        "bindery: nothing found for 'LK0000002'",
        "  Tried: MAC address, external identifier, user id, account, product, user",
        "  domain, family, serial number, beginning of a serial number.",
        "  Ids must be whole and match exactly, including case.",
    ]


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("find ada@example.com", 0, ""),
        ("find ada@example.com --account acme", 0, ""),
        ("find '+44 7700 900123'", 3, "Phone numbers are unique within a user domain: add --domain"),
        ("find ' '", 2, "bindery: no text. Specify it, or enter it on standard input"),
        ("find 'a\u200bb'", 2, "contains the invisible character U+200B: remove it"),
    ],
)
def test_next_step_is_suggested(bindery: Bindery, line: str, code: int, said: str) -> None:
    shown = bindery(line)
    assert (shown.exit_code, said in " ".join(shown.stderr.split())) == (code, True), shown.stderr
    assert max(map(len, shown.stderr.splitlines()), default=0) <= 80


LOG = "not looked up; see the log that `make run LOG=json` prints"
QUERY = "not looked up; run the saved query `One request` in CloudWatch Logs Insights"
CONNECTIONS = "bindery connections list --caller USER"
SAME_FORM = ", or list a user's connections, whose ids have the same form"
UUID = "6e4b3c1a-0f1d-4f0e-9d5c-2b7a8c9d0e1f"


@pytest.mark.parametrize(
    ("endpoint", "text", "state", "commands"),
    [
        (LOCAL, "0a" * 16, LOG, []),
        (LOCAL, UUID, LOG + SAME_FORM, [CONNECTIONS]),
        (DEPLOYED, "JKJaXmPLvHcESHA=", QUERY, ['filter request_id = "JKJaXmPLvHcESHA="']),
        (DEPLOYED, UUID, QUERY + SAME_FORM, [f'filter request_id = "{UUID}"', CONNECTIONS]),
    ],
)
def test_request_id_leads_to_the_log(
    api: Noted, bindery: Bindery, endpoint: str, text: str, state: str, commands: list[str]
) -> None:
    api.endpoint = endpoint
    assert json.loads(bindery(f"find {text}").stdout)["matches"] == [
        {"kind": "request", "named": "request id", "id": text, "state": state, "facts": {}, "commands": commands}
    ]


def test_suggested_commands_exist() -> None:
    root = typer.main.get_command(app)
    suggested = [line for lines in find.COMMANDS.values() for line in lines]
    for line in [*suggested, *find.IF_LEAKED.values()]:
        _, group, name, *_ = line.split()
        assert name in root.commands[group].commands, line
