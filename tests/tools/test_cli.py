"""`bindery` against the local server: what it prints, how it fails, whom it asks."""

import fcntl
import inspect
import json
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from starlette.responses import Response

from tests.records import TSL
from tests.server.programs import COMMAND
from tests.server.servers import serving
from tests.tools.conftest import Bindery
from tools import template
from tools.cli import client
from tools.cli.client import Exit, Failure
from tools.cli.main import GROUPS, app
from tools.tunnel import round_trip

DEVICE = "cXVlY3RlbCNwMTExN2UjU04wMDAwMDAwMDAx"  # quectel, p1117e, SN0000000001
NEVER = {"state": "never connected", "connected_at": None, "last_seen_at": None, "ip": None, "agent": None}
NOBODY = {"BINDERY_ENDPOINT": None, "BINDERY_ACCESS_KEY_ID": None, "BINDERY_SECRET_ACCESS_KEY": None}


def test_each_resource_has_its_commands() -> None:
    resources = {route.path.split("/")[3] for found in template.functions() for route in found.routes if route.iam}
    singles = {command.callback.__name__ for command in app.registered_commands if command.callback}
    of_no_resource = {"bulk", "events", "export", "relay_host", "restore", "stats", "switch", "tunnel"}
    assert resources | of_no_resource == {"issued-devices" if name == "issued" else name for name in GROUPS} | singles


def test_tables_have_aligned_columns_and_readable_times(bindery: Bindery) -> None:
    table = bindery("accounts show demo --output table").stdout
    assert re.search(r"^enabled +yes$", table, re.MULTILINE)
    assert re.search(r"^created_at +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", table, re.MULTILINE)
    header, *rows = bindery("accounts list --output table").stdout.splitlines()
    assert header.split() == ["ACCOUNT", "NAME", "ENABLED", "CREATED"]
    assert [row[header.index("NAME") :].split()[0] for row in rows if row.startswith("demo-other ")] == ["demo-other"]


@pytest.fixture
def terminal(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Run a command line whose standard output is a terminal of 80 columns, and return what it shows."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def run(line: str) -> str:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        with open(slave, "w", encoding="utf-8") as screen, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", screen)
            COMMAND(shlex.split(line), standalone_mode=False)
        shown = b""
        # After the last byte, reading is an error.
        with suppress(OSError):
            while part := os.read(master, 65536):
                shown += part
        os.close(master)
        return shown.decode().replace("\r\n", "\n")

    return run


def test_secret_is_printed_on_one_line_at_80_columns(terminal: Callable[[str], str]) -> None:
    shown = terminal("domains create on-screen")
    assert shown.startswith("Created user domain on-screen.\n\n")
    assert re.search(r"\n\nSecret \(store it now; it will not be shown again\):\n[0-9a-f]{64}\n$", shown)
    assert re.fullmatch(r"[0-9a-f]{64}\n", terminal("domains secret on-screen --yes --quiet"))
    token = terminal("users token ada --dialect quectel")
    assert re.search(r"\nToken \(store it now; it will not be shown again\):\n[\w.-]{81,}\n$", token)
    assert re.search(r"\n[\w.-]{81,}\n$", token)
    made = terminal("keys create demo --kind rufus --alias on-screen")
    assert re.search(r"\nror-[0-9a-f]{40}\n$", made)
    issued = terminal(f"devices key {DEVICE}")
    assert issued.startswith(f"Issued a key to device {DEVICE}. An earlier key no longer works.\n\n")
    assert re.search(r"\n\nKey \(store it now; it will not be shown again\):\nbdk_[\w-]{43}\n$", issued)
    assert terminal(f"devices revoke-key {DEVICE}").startswith(f"Revoked the key of device {DEVICE}.\n")
    listed = terminal("keys list demo --all")
    (identifier,) = re.findall(r"^Created rufus key ([0-9a-f]{64}) for account demo\.", made)
    assert re.search(rf"^{identifier}\n  rufus +READ_WRITE  on-screen +valid +-$", listed, re.MULTILINE)
    assert max(map(len, listed.splitlines())) <= 80


@pytest.fixture
def receiver() -> Iterator[str]:
    with serving(Response(status_code=204)) as url:
        yield f"{url}/"


def test_webhook_is_created_tested_and_deleted(bindery: Bindery, terminal: Callable[[str], str], receiver: str) -> None:
    made = terminal(f"webhooks create {receiver} --type device.share_ended")
    found = re.fullmatch(
        r"Created webhook (wh_[0-9a-f]{16})\.\nTo test it: bindery webhooks test \1\n\n"
        r"Secret \(store it now; it will not be shown again\):\nwhsec_[\w+/]{32}\n",
        made,
    )
    assert found is not None
    webhook = found[1]
    assert re.fullmatch(r"The receiver accepted the test event, after \d+ ms\.\n", terminal(f"webhooks test {webhook}"))
    assert re.search(r"\nwhsec_[\w+/]{32}\n$", terminal(f"webhooks rotate {webhook}"))
    changed = bindery(f"webhooks types {webhook} --type device.share_ended").stdout
    assert json.loads(changed)["types"] == ["device.share_ended"]
    assert terminal(f"webhooks disable {webhook} --reason maintenance").startswith(f"Disabled webhook {webhook}. ")
    listed = terminal("webhooks list")
    assert re.search(rf"^{webhook}\s+{receiver} +device\.share_ended +disabled: maintenance$", listed, re.MULTILINE)
    assert terminal(f"webhooks enable {webhook}") == f"Enabled webhook {webhook}.\n"
    assert json.loads(bindery(f"webhooks deliveries {webhook}").stdout) == []
    assert json.loads(bindery(f"webhooks dead {webhook}").stdout) == []
    assert terminal(f"webhooks replay {webhook} --dead") == "No events to deliver again.\n"
    assert json.loads(bindery(f"webhooks replay {webhook} --since 2026-12-01T12:00:00Z").stdout) == {"events": 0}
    assert bindery(f"webhooks delete {webhook}").exit_code == 2
    assert terminal(f"webhooks delete {webhook} --yes") == f"Deleted webhook {webhook}.\n"
    assert bindery(f"webhooks show {webhook}").stderr == f"bindery: webhook '{webhook}' not found\n"


def test_webhook_without_a_receiver_fails_the_test(bindery: Bindery) -> None:
    made = json.loads(bindery("webhooks create http://127.0.0.1:9/").stdout)
    assert re.search(r"^types +all$", bindery(f"webhooks show {made['id']} --output table").stdout, re.MULTILINE)
    tested = bindery(f"webhooks test {made['id']} --output table")
    assert tested.exit_code == 1
    assert re.fullmatch(r"Not delivered: no TCP connection was accepted, after \d+ ms\.\n", tested.stdout)
    bindery(f"webhooks delete {made['id']} --yes")


def test_invisible_characters_are_escaped_on_a_terminal(terminal: Callable[[str], str]) -> None:
    terminal("accounts create escaped --name 'a\u202eb\u200bc'")
    for line in ("accounts show escaped", "accounts list --all", "accounts show escaped --output json"):
        assert "a\\u202eb\\u200bc" in terminal(line)


@pytest.mark.parametrize("charset", ["latin-1", "ascii"])
def test_secret_is_printed_despite_output_encoding_errors(environment: dict[str, str], charset: str) -> None:
    runner = CliRunner(charset=charset)
    made = runner.invoke(
        COMMAND, ["keys", "create", "demo", "--kind", "rufus", "--alias", "\U0001f512"], env=environment
    )
    assert (made.exit_code, made.exception) == (0, None)
    key = json.loads(made.stdout)
    assert (key["alias"], key["key"][:4]) == ("\U0001f512", "ror-")
    shown = runner.invoke(COMMAND, ["keys", "show", key["id"], "--output", "table"], env=environment)
    assert (shown.exit_code, "\\U0001f512" in shown.stdout) == (0, True)


def test_secret_is_printed_to_stderr_if_stdout_is_full(environment: dict[str, str]) -> None:
    with open("/dev/full", "w") as full:
        made = subprocess.run(
            [sys.executable, "-c", "from tools.cli.main import app; app()", "domains", "create", "no-space"],
            env={**os.environ, **environment},
            cwd=template.ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert made.returncode == 0
    assert re.search(r'"secret": "[0-9a-f]{64}"', made.stderr)
    assert "Traceback" not in made.stderr


def test_version_is_printed(bindery: Bindery) -> None:
    project = tomllib.loads((template.ROOT / "pyproject.toml").read_text())["project"]
    assert bindery("--version").stdout == f"bindery {project['version']}\n"


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("accounts create demo --name x", 4, "bindery: account 'demo' already exists"),
        ("accounts show nobody", 3, "bindery: account 'nobody' not found"),
        (
            "accounts create 'a b' --name ''",
            2,
            "bindery: The request is not valid:\n"
            "  account 'a b': must be letters, digits and . _ : @ + - (1 to 128)\n"
            "  name '': ",
        ),
        ("users change ada", 2, "bindery: nothing to change. Specify at least one option (see --help)"),
        ("devices find", 2, "bindery: specify one of --serial, --mac, --imei or --address"),
        (f"devices address {DEVICE}", 2, "bindery: specify either an address or --remove"),
        (
            "devices ban LK0000002 --reason stolen",
            2,
            "'LK0000002' is not a device id. To look up a serial number: bindery devices find --serial LK0000002",
        ),
        ("devices ban --reason x", 2, "bindery: no device. Specify its id or --serial, --mac, --imei or --address"),
        ("devices show x --serial y", 2, "specify the device id or --serial, --mac, --imei or --address, not both"),
        ("devices show --mac x --product y", 2, "--product can only be used with --serial"),
        (
            "devices ban --serial SN9999 --reason stolen",
            3,
            "bindery: no device has serial number SN9999\n  Serial numbers must match exactly, including case.\n",
        ),
        ("devices show --mac 02:00:00:00:00:99", 3, "bindery: no device has MAC address 02:00:00:00:00:99\n"),
        ("connections stop --serial SN0000000001", 2, "Missing argument 'UID'"),
        (
            "webhooks create https://8.8.8.8/ --type device.bond",
            2,
            "bindery: types 'device.bond': is not a type of events. Types: device.registered, device.bound, ",
        ),
        ("webhooks replay wh_1", 2, "bindery: specify either --since or --dead"),
        ("keys limit KEY --none --burst 5", 2, "bindery: specify either --per-second (and --burst) or --none"),
        ("users create eve --account demo --domain nope", 3, "bindery: domain 'nope': the user domain does not exist"),
        ("domains secret demo", 2, "bindery: this cannot be undone. Confirm with --yes"),
        ("users change ada --role root", 2, "--role"),
        (f"devices unbind {DEVICE} --reason x", 3, "bindery: The device does not exist, or is not bound"),
        ("connections list", 2, "specify a device (--device, --serial, --mac, --imei or --address) or --caller"),
        ("privacy erase ada", 2, "bindery: this cannot be undone. Confirm with --yes"),
        ("privacy export ada --customer c", 2, "bindery: specify either a user or --customer\n"),
        ("privacy export --customer NOBODY", 3, ""),
        ("products create p --name n --module-type m --mode 7", 2, "--mode"),
        ("accounts list --endpoint http://127.0.0.1:9", 6, "bindery: cannot reach http://127.0.0.1:9: "),
        ("accounts list --endpoint http://api.example.com", 2, "http://api.example.com does not use https"),
        ("accounts list --endpoint ftp://x", 2, "'ftp://x' is not an endpoint"),
        ("accounts list --region eu-west-1", 5, "bindery: Forbidden: the endpoint rejected the signature"),
    ],
)
def test_failure_prints_an_error_and_sets_the_exit_code(bindery: Bindery, line: str, code: int, said: str) -> None:
    result = bindery(line)
    assert (result.exit_code, result.stdout) == (code, ""), result.stderr
    assert said in result.stderr


def test_exit_codes_are_documented(bindery: Bindery) -> None:
    told = bindery("--help").stdout
    for code in (0, *client.Exit):
        assert re.search(rf"\b{int(code)}\s+\w", told)


def test_list_command_follows_pagination(bindery: Bindery, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        assert bindery(f"domains create paged-{number}").exit_code == 0
    monkeypatch.setattr(client, "PAGE", 2)
    few = bindery("domains list --limit 3")
    assert len(json.loads(few.stdout)) == 3
    assert few.stderr == "There are more entries. Use --limit or --all.\n"
    every = bindery("domains list --all")
    assert [f"paged-{number}" for number in range(5)] == [
        found["domain"] for found in json.loads(every.stdout) if found["domain"].startswith("paged-")
    ]
    assert every.stderr == ""
    assert json.loads(bindery("families list cleo").stdout) == []


def test_missing_endpoint_is_explained(bindery: Bindery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(client, "__file__", str(tmp_path / "tools" / "cli" / "client.py"))
    lost = bindery("accounts list", env=NOBODY)
    assert (lost.exit_code, lost.stderr.startswith("bindery: no endpoint. Use --endpoint")) == (2, True)
    unsigned = bindery("accounts list --endpoint http://localhost:9", env=NOBODY)
    assert (unsigned.exit_code, "no key pair for http://localhost:9" in unsigned.stderr) == (2, True)


AWS = {
    "AWS_ACCESS_KEY_ID": "AKIDPERSON",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "session",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_PROFILE": None,
    "AWS_DEFAULT_REGION": None,
}


Answering = Callable[..., list[httpx.Request]]


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Answering:
    """Return a function that replaces the endpoint by one with these responses, and returns the requests."""

    def answer(*responses: httpx.Response) -> list[httpx.Request]:
        asked: list[httpx.Request] = []
        left = iter(responses)

        def respond(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            return next(left)

        answer_with(monkeypatch, respond)
        return asked

    return answer


def answer_with(monkeypatch: pytest.MonkeyPatch, respond: Callable[[httpx.Request], httpx.Response]) -> None:
    transport, made = httpx.MockTransport(respond), httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **_: made(transport=transport))


@pytest.mark.parametrize(
    ("endpoint", "options", "region"),
    [
        ("https://abc.execute-api.eu-west-1.amazonaws.com", "", "eu-west-1"),
        ("https://abc.execute-api.eu-west-1.amazonaws.com/", "--region us-east-1", "us-east-1"),
        ("https://api.example.com", "--region eu-north-1", "eu-north-1"),
    ],
)
def test_deployed_endpoint_is_called_with_the_users_credentials(
    bindery: Bindery, answering: Answering, endpoint: str, options: str, region: str
) -> None:
    asked = answering(httpx.Response(200, json={"items": [], "next": None}))
    assert bindery(f"accounts list --endpoint {endpoint} {options}", env=AWS).stdout == "[]\n"
    (request,) = asked
    assert str(request.url) == f"{endpoint.rstrip('/')}/admin/v1/accounts?limit=50"
    credential = re.escape("Credential=AKIDPERSON/") + r"\d{8}" + f"/{region}/execute-api/aws4_request,"
    assert re.search(credential, request.headers["authorization"])
    assert request.headers["x-amz-security-token"] == "session"


@pytest.mark.parametrize(
    ("options", "env", "code", "said"),
    [
        ("", {"AWS_ACCESS_KEY_ID": None, "AWS_EC2_METADATA_DISABLED": "true"}, 5, "no AWS credentials"),
        ("", {}, 2, "cannot tell the AWS region"),
        ("--profile nobody", {}, 2, "nobody"),
    ],
)
def test_missing_aws_settings_are_reported(
    bindery: Bindery, options: str, env: dict[str, Any], code: int, said: str
) -> None:
    result = bindery(f"accounts list --endpoint https://api.example.com {options}", env={**AWS, **env})
    assert (result.exit_code, said in result.stderr) == (code, True)


@pytest.mark.parametrize(
    ("status", "code", "body"),
    [
        (503, 6, {"title": "The registry could not be reached", "reason": "unavailable"}),
        (500, 1, {"message": "Internal Server Error"}),
        (404, 3, {"message": "Not Found"}),
        (200, 6, None),
        (502, 6, None),
    ],
)
def test_unexpected_responses_are_reported(
    bindery: Bindery, answering: Answering, status: int, code: int, body: dict[str, str] | None
) -> None:
    content = b"<html>" if body is None else json.dumps(body).encode()
    answering(httpx.Response(status, content=content))
    result = bindery("accounts show demo")
    assert (result.exit_code, result.stderr.startswith("bindery: ")) == (code, True)


def test_secret_is_shown_only_once(bindery: Bindery) -> None:
    made = bindery("keys create demo --kind rufus --grant READ --alias 'of the test' --expires 2099-01-01")
    assert made.stderr == "Store the key now; it will not be shown again.\n"
    key = json.loads(made.stdout)
    assert (key["alias"], key["expires_at"]) == ("of the test", 4070908800000)
    assert json.loads(bindery(f"keys limit {key['id']} --per-second 5").stdout)["burst"] == 5
    successor = json.loads(bindery(f"keys rotate {key['id']} --overlap 60").stdout)
    assert successor["per_second"] == 5
    for line in (f"keys show {key['id']}", "keys list demo --all", f"keys revoke {key['id']}"):
        shown = bindery(line)
        assert shown.exit_code == 0
        assert key["key"] not in shown.stdout
        assert successor["key"] not in shown.stdout
    assert json.loads(bindery(f"keys revoke {successor['id']}").stdout)["revoked_at"]


@pytest.mark.parametrize(
    ("line", "secret", "member"),
    [
        ("keys create demo --kind remoteit --alias released --given", "RELEASED-APP-KEY-00000001", "key"),
        ("domains secret secretive --given --yes", "q7Zr/fZ+9bc=", "secret"),
    ],
)
def test_given_secret_is_read_from_standard_input(bindery: Bindery, line: str, secret: str, member: str) -> None:
    bindery("domains create secretive")
    assert json.loads(bindery(line, stdin=f"{secret}\n").stdout)[member] == secret
    assert bindery(line, stdin="").exit_code == 2


def test_tsl_is_read_from_a_file(bindery: Bindery, tmp_path: Path) -> None:
    for text, code in ((json.dumps(TSL), 0), ("[1", 2)):
        (tmp_path / "tsl.json").write_text(text)
        assert bindery(f"products tsl p1117e {tmp_path}/tsl.json").exit_code == code
    assert bindery("products tsl p1117e nosuch.json").exit_code == 2


def test_password_is_read_and_never_printed(bindery: Bindery) -> None:
    given = bindery("users password ben", stdin="correct horse battery\n")
    assert given.exit_code == 0
    assert "correct horse" not in given.output
    assert bindery("users password ben", stdin="").exit_code == 2


LINES = [
    ("accounts create acme --name 'Acme [red] Ltd'", {"account": "acme", "name": "Acme [red] Ltd", "enabled": True}),
    ("accounts list --all", [{"account": "acme", "name": "Acme [red] Ltd"}]),
    ("accounts disable acme", {"enabled": False}),
    ("accounts enable acme", {"enabled": True}),
    ("accounts spread acme 4", {"account": "acme", "parts": 4}),
    ("accounts show acme", {"name": "Acme [red] Ltd", "enabled": True, "parts": 4}),
    ("users create dora --account demo-other --domain demo --home-mode --email dora@example.com", {"home_mode": True}),
    ("users change dora --customer C1 --no-home-mode", {"customer": "C1", "home_mode": False}),
    ("users change dora --customer '' --email dora@example.org", {"customer": None, "email": "dora@example.org"}),
    ("users show dora", {"email": "dora@example.org"}),
    ("accounts limit demo-other --per-second 5 --burst 9", {"per_second": 5, "burst": 9}),
    ("accounts limit demo-other --none", {"per_second": None, "burst": None}),
    ("users change dora --phone '+44 7700 900124'", {"phone": "+447700900124"}),
    ("users disable dora", {"enabled": False}),
    ("users enable dora", {"enabled": True}),
    ("users token dora --dialect remoteit --lifetime 60", {}),
    ("users revoke-tokens dora", {}),
    ("users list demo-other --all", [{"uid": "dora"}]),
    ("users list --email ADA@example.com", [{"uid": "ada", "account": "demo"}]),
    ("domains create other --disabled --binders administrators", {"enabled": False, "binders": "administrators"}),
    ("domains change other --enabled", {"enabled": True}),
    ("domains show other", {"domain": "other"}),
    ("products create p2 --name P2 --module-type FC41D --mode rotating --domain other", {"mode": 3}),
    ("products change p2 --all-domains --data-center eu", {"domains": None, "data_center": "eu"}),
    ("products change p2 --data-center '' --capabilities 5", {"data_center": None, "capabilities": 5}),
    ("products bar p2 dora", {"barred": True}),
    ("products show p2", {"barred": ["dora"]}),
    ("products admit p2 dora", {"barred": False}),
    ("products list", [{"product_key": "p2"}]),
    ("products show p2", {"barred": []}),
    ("families create f1 --owner dora --member ben --room r1", {"members": ["ben"], "rooms": ["r1"]}),
    ("families change f1 --no-members --room r2 --room r3", {"members": [], "rooms": ["r2", "r3"]}),
    ("families show f1", {"fid": "f1"}),
    ("families list dora", [{"fid": "f1"}]),
    ("settings show device_management", {"value": 1}),
    ("settings set device_management 0", {"value": 0}),
    ("settings set device_management 1", {"value": 1}),
    ("settings list", [{"name": "device_management"}]),
    ("issued list MIGR00002", [{"device_id": "CARD-0001"}]),
    ("issued status MIGR00002 TOKEN-0001 --status blocked", {"status": "blocked"}),
    ("issued status MIGR00002 CARD-0001 --card-status reported-as-lost", {"card_status": "reported-as-lost"}),
    ("find SN0000000001", {"more": False}),
    (f"devices show {DEVICE}", {"device": DEVICE, "binding": None}),
    (f"devices ban {DEVICE} --reason stolen", {}),
    (f"devices unban {DEVICE}", {"ban": None}),
    ("devices ban --serial SN0000000001 --product p1117e --reason lost", {"device": DEVICE}),
    ("devices unban --serial SN0000000001", {"device": DEVICE, "ban": None}),
    (f"devices key {DEVICE}", {"device": DEVICE}),
    (f"devices revoke-key {DEVICE}", {"device": DEVICE, "presence": NEVER}),
    (f"devices disable {DEVICE}", {"enabled": False}),
    (f"devices enable {DEVICE}", {"enabled": True}),
    (f"devices deactivate {DEVICE}", {"active": False}),
    (f"devices activate {DEVICE}", {"active": True}),
    (
        f"devices address {DEVICE} 80:00:00:00:00:00:00:aa --service ssh --port 22",
        {"services": [{"address": "80:00:00:00:00:00:00:AA", "service": "ssh", "port": 22}]},
    ),
    ("devices find --address 80:00:00:00:00:00:00:AA", [{"device": DEVICE}]),
    ("devices find --serial SN0000000001 --product p1117e", [{"device": DEVICE}]),
    (f"devices address {DEVICE} --remove", {"services": []}),
    ("devices online", []),
    ("devices backfill-credentials", {"changed": 0}),
    ("connections list --serial SN0000000001", []),
    (f"connections list --device {DEVICE}", []),
    ("connections list --caller dora", []),
    ("privacy export dora", {}),
    ("privacy erase dora --yes", {"complete": True}),
]


def test_receipt_of_an_erasure_is_verified(bindery: Bindery, tmp_path: Path) -> None:
    bindery("users create gone --account demo --customer GONE1")
    export, receipt = tmp_path / "gone.json", tmp_path / "receipt.json"
    exported = bindery(f"privacy export gone --file {export} --output table").stdout
    assert re.fullmatch(rf"Exported \d records to {export}\.\n", exported)
    assert json.loads(export.read_text())["user"]["uid"] == "gone"
    assert bindery(f"privacy export gone --file {export}").exit_code == 2
    assert json.loads(bindery(f"privacy erase gone --yes --receipt {receipt}").stdout)["file"] == str(receipt)
    assert (receipt.stat().st_mode & 0o777, export.stat().st_mode & 0o777) == (0o600, 0o600)
    verified = bindery(f"privacy verify {receipt} --output table")
    assert (verified.exit_code, verified.stdout) == (
        0,
        "The receipt is genuine, and nothing is stored about this person.\n",
    )
    bindery("users create gone --account demo")
    again = bindery(f"privacy verify {receipt} --output table")
    assert again.exit_code == 1
    assert re.match(
        r"The receipt is genuine, but data is stored about this person: .*1 users.* A user with this id was created at",
        again.stdout,
    )
    receipt.write_text(receipt.read_text().replace('"gone"', '"ada"'))
    forged = bindery(f"privacy verify {receipt} --output table")
    assert (forged.exit_code, forged.stdout.startswith("The receipt is not genuine")) == (1, True)
    bindery("privacy erase gone --yes")


def test_failed_erasure_leaves_no_receipt(bindery: Bindery, tmp_path: Path) -> None:
    receipt = tmp_path / "receipt.json"
    assert bindery(f"privacy erase nobody --yes --receipt {receipt}").exit_code == 3
    assert not receipt.exists()
    assert bindery(f"privacy verify {receipt}").exit_code == 2
    receipt.write_text("[]")
    assert bindery(f"privacy verify {receipt}").stderr == f"bindery: {receipt} is not a receipt\n"


def test_every_command_reaches_its_operation(bindery: Bindery) -> None:
    for line, expected in LINES:
        result = bindery(line)
        assert result.exit_code == 0, (line, result.output)
        # A new secret and the progress of a backfill are noted.
        assert re.fullmatch(r"(Store the \w+ now; .*\n|Examined .*\n)?", result.stderr), line
        answer = json.loads(result.stdout)
        if isinstance(expected, list):
            for record in expected:
                assert any(found | record == found for found in answer), (line, answer)
        else:
            assert answer | expected == answer, (line, answer)
    for device in (DEVICE, "--serial SN0000000001"):
        assert bindery(f"connections stop {device} ada").exit_code == 3


def test_device_changes_its_owner(bindery: Bindery, environment: dict[str, str]) -> None:
    def said(line: str) -> str:
        result = bindery(f"{line} --output table")
        assert result.exit_code == 0, (line, result.output)
        return result.stdout

    named = "--serial SN0000000001"
    token = bindery("users token ada --dialect quectel --quiet").stdout.strip()
    url = f"{environment['BINDERY_ENDPOINT']}/v2/binding/enduserapi/bindDeviceSn?pk=p1117e&sn=SN0000000001"
    assert httpx.post(url, headers={"Authorization": token}).json()["code"] == 200
    assert said(f"devices offer {named} --to ben --days 2").startswith(f"Offered device {DEVICE} to ben until 20")
    assert bindery(f"devices offer {named} --to dora").exit_code == 4
    assert said(f"devices decline {named} --uid ben") == f"ben declined device {DEVICE}.\n"
    said(f"devices offer {named} --to ben")
    assert said(f"devices withdraw {named}") == f"Withdrew the offer of device {DEVICE}.\n"
    said(f"devices offer {named} --to ben")
    assert said(f"devices accept {named} --uid ben") == f"ben is the holder of device {DEVICE}.\n"
    assert said(f"devices lost {named} --reason taxi") == f"Device {DEVICE} is lost. Its holder keeps it.\n"
    assert " lost " in said(f"devices find {named}")
    refused = bindery(f"devices unban {named}")
    assert (refused.exit_code, "bindery devices found" in refused.stderr) == (4, True)
    assert said(f"devices found {named}") == f"Device {DEVICE} can be used again.\n"
    assert said(f"devices retire {named} --reason old") == f"Retired device {DEVICE}. It has no holder.\n"
    assert said(f"devices return {named} --reason fixed") == f"Device {DEVICE} is in stock.\n"
    said(f"devices ban {named} --reason stolen")
    assert said(f"devices return {named} --reason stolen") == f"Device {DEVICE} has no holder, and stays banned.\n"
    said(f"devices unban {named}")


def test_erasure_sums_up_its_requests_and_passes_their_progress(bindery: Bindery, answering: Answering) -> None:
    parts: list[dict[str, Any]] = [
        {"uid": "ada", "removed": {"connections": 2}, "complete": False, "progress": "p1"},
        {"uid": "ada", "removed": {"connections": 2}, "complete": False, "progress": "p2"},
        {"uid": "ada", "removed": {"users": 1}, "complete": True, "progress": None, "receipt": {"id": "r"}},
    ]
    gone = httpx.Response(404, json={"title": "not found", "reason": "not_found"})
    asked = answering(*(httpx.Response(200, json=part) for part in parts), gone)
    result = bindery("privacy erase ada --yes")
    assert (result.exit_code, json.loads(result.stdout)) == (
        0,
        {"uid": "ada", "removed": {"connections": 4, "users": 1}, "complete": True, "receipt": {"id": "r"}},
    )
    assert bindery("privacy erase ada --yes").exit_code == 3
    assert [request.url.params.get("progress") for request in asked] == [None, "p1", "p2", None]


def test_doctor_checks_the_registry_and_every_route(bindery: Bindery) -> None:
    result = bindery("doctor")
    health = json.loads(result.stdout)
    assert (result.exit_code, health["healthy"]) == (0, True), health
    found = {check["name"]: check["detail"] for check in health["checks"]}
    assert "table devices" in found
    for function in template.functions():
        for route in function.routes:
            assert (route.path if route.path == "$default" else f"{route.method} {route.path}") in found
    # An operators' function that is asked for what no resource has says so itself.
    assert (found["ANY /admin/v1/users"], found["ANY /admin/v1/users/{proxy+}"]) == ("HTTP 404", "HTTP 404")
    assert found["POST /v0/devices"] == "HTTP 403"
    assert re.fullmatch(r"64 KB round trip in \d\.\d\d s", found["device link"])


def test_backfill_reports_its_progress_and_how_to_continue(bindery: Bindery, answering: Answering) -> None:
    asked = answering(
        httpx.Response(200, json={"examined": 6000, "changed": 2, "next": "abc="}),
        httpx.Response(200, json={"examined": 6000, "changed": 1, "next": "def="}),
        httpx.Response(403, json={"message": "Forbidden"}),
        httpx.Response(200, json={"examined": 500, "changed": 4, "next": None}),
    )
    interrupted = bindery("devices backfill-credentials")
    assert (interrupted.exit_code, interrupted.stdout) == (5, "")
    examined, stopped, _ = interrupted.stderr.split("\n", 2)
    command = "bindery devices backfill-credentials --from def="
    assert examined == f"Examined 12,000 entries, changed 3 bindings. To continue from here: {command}"
    assert stopped == f"Interrupted after 12,000 entries, with 3 bindings changed. To continue: {command}"
    continued = bindery(command.removeprefix("bindery ") + " --output table")
    assert continued.stdout == "Examined 500 entries, changed 4 bindings.\n"
    sent = [json.loads(request.content) for request in asked]
    assert sent == [{}, {"cursor": "abc="}, {"cursor": "def="}, {"cursor": "def="}]


def test_doctor_exits_with_1_on_a_finding(bindery: Bindery, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/admin/v1/doctor":
            return httpx.Response(200, json={"healthy": True, "checks": []})
        if request.url.path == "/admin/v1/doctor/link":
            return httpx.Response(503, json={"title": "The registry could not be reached. Try again"})
        if request.url.path == "/v0/devices":
            raise httpx.ReadTimeout("timed out")
        if request.url.path.startswith("/admin/"):
            assert request.method == "HEAD", "which changes nothing"
            assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 ")
            # What the gateway answers to whom it does not admit, and where it cannot call the function.
            return httpx.Response(403 if request.url.path == "/admin/v1/users" else 500)
        return httpx.Response(500 if request.url.path == "/api/v2/device" else 404, headers={"x-request-id": "1"})

    answer_with(monkeypatch, answer)
    result = bindery("doctor --output table")
    assert result.exit_code == 1
    assert "FAILED  POST /v0/devices: timed out\n" in result.stdout
    assert "FAILED  device link: The registry could not be reached. Try again (HTTP 503)\n" in result.stdout
    assert "FAILED  POST /api/v2/device: HTTP 500\n" in result.stdout
    assert "ok      GET /api/base/configs: HTTP 404\n" in result.stdout
    assert "ok      ANY /admin/v1/users: skipped: you do not have permission to call it" in result.stdout
    assert "FAILED  ANY /admin/v1/keys: HTTP 500\n" in result.stdout
    assert re.search(r"\n\n\d+ checks: \d+ failed \(.*POST /v0/devices.*\)\n", result.stdout)


ADVICE = "This machine must be able to open WebSockets to that host. The log of link.authorize has refused ones"


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        (
            {"url": "ws://127.0.0.1:9/link"},
            "a device cannot connect to ws://127.0.0.1:9/link: Connect call failed ('127.0.0.1', 9). " + ADVICE,
        ),
        (
            {"device_key": "bdk_unknown"},
            "a device cannot connect to {url}: the server refused the credential (HTTP 403). " + ADVICE,
        ),
        ({"credential": "unknown"}, "the server refused the tunnel, or ended it"),
    ],
)
def test_doctor_reports_who_cannot_use_the_device_link(
    bindery: Bindery, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], detail: str
) -> None:
    made = {}

    def measure(test: dict[str, Any], sizes: list[int]) -> list[float]:
        made.update(test)
        return real(test | changed, sizes)

    real = round_trip.measure
    monkeypatch.setattr(round_trip, "measure", measure)
    monkeypatch.setattr(round_trip, "_ONLINE_SECONDS", 0.5)
    result = bindery("doctor")
    assert result.exit_code == 1
    (found,) = [check for check in json.loads(result.stdout)["checks"] if not check["healthy"]]
    assert found == {"name": "device link", "healthy": False, "detail": detail.format(url=made["url"])}
    # What was created for the test is removed.
    assert bindery(f"accounts show doctor-{made['run']}-link").exit_code == Exit.NOT_FOUND


def test_doctor_skips_the_device_link_without_permission(bindery: Bindery, monkeypatch: pytest.MonkeyPatch) -> None:
    real = client.Client.post

    def post(self: client.Client, *path: str, **body: Any) -> Any:
        if path == ("doctor", "link"):
            raise Failure(Exit.FORBIDDEN, "Forbidden")
        return real(self, *path, **body)

    monkeypatch.setattr(client.Client, "post", post)
    result = bindery("doctor")
    found = {check["name"]: check["detail"] for check in json.loads(result.stdout)["checks"]}
    assert (result.exit_code, found["device link"]) == (0, "skipped: you do not have permission to test it")


def test_secrets_are_never_arguments_or_options() -> None:
    for module in GROUPS.values():
        for command in module.app.registered_commands:
            assert not {"password", "token", "secret"} & set(inspect.signature(command.callback).parameters)
