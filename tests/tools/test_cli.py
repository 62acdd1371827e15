"""`bindery` against the local server: what it prints, how it fails, whom it asks."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.servers import Server
from tests.tools.conftest import Bindery
from tools import template
from tools.cli import client
from tools.cli.main import GROUPS, app

NOBODY = {"BINDERY_ENDPOINT": None, "BINDERY_ACCESS_KEY_ID": None, "BINDERY_SECRET_ACCESS_KEY": None}


def test_each_resource_has_its_commands() -> None:
    resources = {route.path.split("/")[3] for found in template.functions() for route in found.routes if route.iam}
    singles = {command.callback.__name__ for command in app.registered_commands if command.callback}
    on_the_stack = {"restore", "switch"}
    assert resources | on_the_stack == {"issued-devices" if name == "issued" else name for name in GROUPS} | singles


def test_what_is_made_is_shown_listed_and_changed(bindery: Bindery) -> None:
    made = bindery("accounts create acme --name 'Acme [red] Ltd'")
    assert made.exit_code == 0
    assert made.stderr == ""
    shown = json.loads(made.stdout)
    assert (shown["account"], shown["name"], shown["enabled"]) == ("acme", "Acme [red] Ltd", True)
    assert json.loads(bindery("accounts show acme").stdout) == shown
    assert shown in json.loads(bindery("accounts list").stdout)
    assert json.loads(bindery("accounts disable acme").stdout)["enabled"] is False
    assert json.loads(bindery("accounts enable acme").stdout)["enabled"] is True


def test_a_table_is_for_people(bindery: Bindery) -> None:
    table = bindery("accounts show demo --output table").stdout
    assert re.search(r"enabled\s+│ yes", table)
    assert re.search(r"created_at │ \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", table)
    listed = bindery("accounts list --output table").stdout
    assert re.search(r"│ demo-other\s+│ demo-other", listed)


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("accounts create demo --name x", 4, ["bindery: It exists already (HTTP 409)", "  reason: already_exists"]),
        ("accounts show nobody", 3, ["bindery: There is no such thing (HTTP 404)", "  reason: not_found"]),
        (
            "accounts create 'a b' --name ''",
            1,
            ["bindery: The request is not as it must be (HTTP 422)", "  body.account: ", "  body.name: "],
        ),
        ("accounts create", 2, ["Missing argument"]),
        ("accounts list --limit 0", 2, ["--limit"]),
        ("users change ada", 2, ["bindery: what is to change? See --help"]),
        ("devices find", 2, ["bindery: give one of --serial, --mac, --imei and --address"]),
        ("devices address x", 2, ["bindery: give an address or --remove"]),
        ("connections list", 2, ["bindery: give --device or --caller"]),
        ("privacy erase ada", 2, ["bindery: this cannot be undone: give --yes"]),
        ("products create p --name n --module-type m --mode 7", 2, ["--mode is one of"]),
        ("accounts list --endpoint http://127.0.0.1:9", 6, ["bindery: http://127.0.0.1:9 cannot be reached"]),
        ("accounts list --endpoint http://api.example.com", 2, ["is not encrypted"]),
        ("accounts list --endpoint ftp://x", 2, ["'ftp://x' is not an endpoint"]),
        ("accounts list --region eu-west-1", 5, ["bindery: Forbidden: the endpoint does not accept this signature"]),
    ],
)
def test_a_failure_is_said_and_told_by_the_exit_code(bindery: Bindery, line: str, code: int, said: list[str]) -> None:
    result = bindery(line)
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    for text in said:
        assert text in result.stderr


def test_the_exit_codes_are_documented(bindery: Bindery) -> None:
    told = bindery("--help").stdout
    for code in (0, *client.Exit):
        assert re.search(rf"\b{int(code)}\s+\w", told)


def test_a_wrong_key_pair_is_forbidden(bindery: Bindery) -> None:
    assert bindery("accounts list", env={"BINDERY_SECRET_ACCESS_KEY": "wrong"}).exit_code == 5


def test_lists_follow_their_pages(bindery: Bindery, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        assert bindery(f"domains create paged-{number}").exit_code == 0
    monkeypatch.setattr(client, "PAGE", 2)
    few = bindery("domains list --limit 3")
    assert len(json.loads(few.stdout)) == 3
    assert few.stderr == "There is more: --limit or --all shows it.\n"
    every = bindery("domains list --all")
    assert [f"paged-{number}" for number in range(5)] == [
        found["domain"] for found in json.loads(every.stdout) if found["domain"].startswith("paged-")
    ]
    assert every.stderr == ""
    assert json.loads(bindery("families list cleo").stdout) == []


def test_the_local_server_is_found_in_its_folder(
    bindery: Bindery, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".local").symlink_to(server.state)
    monkeypatch.chdir(tmp_path)
    assert bindery("accounts show demo", env=NOBODY).exit_code == 0


def test_without_any_bindery_it_says_how_to_name_one(
    bindery: Bindery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(client, "__file__", str(tmp_path / "tools" / "cli" / "client.py"))
    lost = bindery("accounts list", env=NOBODY)
    assert (lost.exit_code, lost.stderr.startswith("bindery: which Bindery?")) == (2, True)
    unsigned = bindery("accounts list --endpoint http://localhost:9", env=NOBODY)
    assert (unsigned.exit_code, "no key pair for http://localhost:9" in unsigned.stderr) == (2, True)
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "admin.json").write_text("{")
    broken = bindery("accounts list", env=NOBODY)
    assert (broken.exit_code, "cannot be read" in broken.stderr) == (2, True)


AWS = {
    "AWS_ACCESS_KEY_ID": "AKIDPERSON",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "session",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_PROFILE": None,
    "AWS_DEFAULT_REGION": None,
}


@pytest.mark.parametrize(
    ("endpoint", "options", "region"),
    [
        ("https://abc.execute-api.eu-west-1.amazonaws.com", "", "eu-west-1"),
        ("https://abc.execute-api.eu-west-1.amazonaws.com/", "--region us-east-1", "us-east-1"),
        ("https://api.example.com", "--region eu-north-1", "eu-north-1"),
    ],
)
def test_a_deployed_bindery_is_asked_with_the_persons_own_credentials(
    bindery: Bindery, monkeypatch: pytest.MonkeyPatch, endpoint: str, options: str, region: str
) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"items": [], "next": None})

    made = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **_: made(transport=httpx.MockTransport(answer)))
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
        ("", {}, 2, "which AWS region"),
        ("--profile nobody", {}, 2, "nobody"),
    ],
)
def test_what_is_missing_to_sign_for_aws_is_said(
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
def test_any_answer_is_taken(
    bindery: Bindery, monkeypatch: pytest.MonkeyPatch, status: int, code: int, body: dict[str, str] | None
) -> None:
    content = b"<html>" if body is None else json.dumps(body).encode()
    made = httpx.Client
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=content))
    monkeypatch.setattr(httpx, "Client", lambda **_: made(transport=transport))
    result = bindery("accounts show demo")
    assert (result.exit_code, result.stderr.startswith("bindery: ")) == (code, True)


def test_a_secret_is_shown_once_and_said_to_be(bindery: Bindery) -> None:
    made = bindery("keys create demo --kind rufus --grant READ --alias 'of the test' --expires 2099-01-01")
    assert made.stderr == "The key is shown this once: keep it now, nobody can show it again.\n"
    key = json.loads(made.stdout)
    assert (key["alias"], key["expires_at"]) == ("of the test", 4070908800000)
    successor = json.loads(bindery(f"keys rotate {key['id']} --overlap 60").stdout)
    for line in (f"keys show {key['id']}", "keys list demo --all", f"keys revoke {key['id']}"):
        shown = bindery(line)
        assert shown.exit_code == 0
        assert key["key"] not in shown.stdout
        assert successor["key"] not in shown.stdout
    assert json.loads(bindery(f"keys revoke {successor['id']}").stdout)["revoked_at"]


def test_a_domains_secret_is_random_or_read_and_shown_once(bindery: Bindery) -> None:
    made = bindery("domains create secretive")
    assert len(json.loads(made.stdout)["secret"]) == 64
    assert "shown this once" in made.stderr
    assert (
        json.loads(bindery("domains secret secretive --given", stdin="q7Zr/fZ+9bc=\n").stdout)["secret"]
        == "q7Zr/fZ+9bc="
    )
    assert len(json.loads(bindery("domains secret secretive").stdout)["secret"]) == 64
    assert bindery("domains secret secretive --given", stdin="").exit_code == 2


def test_a_password_is_read_and_never_printed(bindery: Bindery) -> None:
    given = bindery("users password ben", stdin="correct horse battery\n")
    assert given.exit_code == 0
    assert "correct horse" not in given.output
    assert bindery("users password ben", stdin="").exit_code == 2


DEVICE = "cXVlY3RlbCNwMTExN2UjU04wMDAwMDAwMDAx"  # quectel, p1117e, SN0000000001
LINES = [
    ("users create dora --account demo-other --domain demo --home-mode --email dora@example.com", {"home_mode": True}),
    ("users show dora", {"uid": "dora"}),
    ("users change dora --customer C1 --no-home-mode", {"customer": "C1", "home_mode": False}),
    ("users change dora --customer ''", {"customer": None}),
    ("users change dora --email dora@example.org", {"email": "dora@example.org"}),
    ("users disable dora", {"enabled": False}),
    ("users enable dora", {"enabled": True}),
    ("users token dora --dialect remoteit --lifetime 60", {}),
    ("users revoke-tokens dora", {}),
    ("users list demo-other --all", [{"uid": "dora"}]),
    ("domains create other --disabled --binders administrators", {"enabled": False, "binders": "administrators"}),
    ("domains change other --enabled", {"enabled": True}),
    ("domains show other", {"domain": "other"}),
    ("products create p2 --name P2 --module-type FC41D --mode rotating --domain other", {"mode": 3}),
    ("products change p2 --all-domains --data-center eu", {"domains": None, "data_center": "eu"}),
    ("products change p2 --data-center ''", {"data_center": None}),
    ("products show p2", {"product_key": "p2"}),
    ("products bar p2 dora", {"barred": True}),
    ("products admit p2 dora", {"barred": False}),
    ("products list", [{"product_key": "p2"}]),
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
    ("devices find --serial SN0000000001", [{"device": DEVICE}]),
    (f"devices show {DEVICE}", {"device": DEVICE, "binding": None}),
    (f"devices ban {DEVICE} --reason stolen", {}),
    (f"devices unban {DEVICE}", {"ban": None}),
    (f"devices disable {DEVICE}", {"enabled": False}),
    (f"devices enable {DEVICE}", {"enabled": True}),
    (f"devices deactivate {DEVICE}", {"active": False}),
    (f"devices activate {DEVICE}", {"active": True}),
    (f"devices address {DEVICE} 80:00:00:00:00:00:00:aa", {"address": "80:00:00:00:00:00:00:AA"}),
    ("devices find --address 80:00:00:00:00:00:00:AA", [{"device": DEVICE}]),
    (f"devices address {DEVICE} --remove", {"address": None}),
    (f"connections list --device {DEVICE}", []),
    ("connections list --caller dora", []),
    ("privacy export dora", {}),
    ("privacy erase dora --yes", {"complete": True}),
]


def test_every_command_reaches_its_operation(bindery: Bindery) -> None:
    for line, expected in LINES:
        result = bindery(line)
        assert result.exit_code == 0, (line, result.output)
        answer = json.loads(result.stdout)
        if isinstance(expected, list):
            for record in expected:
                assert any(found | record == found for found in answer), (line, answer)
        else:
            assert answer | expected == answer, (line, answer)
    for line in (f"devices unbind {DEVICE} --reason gone", f"connections stop {DEVICE} ada"):
        assert bindery(line).exit_code == 3, line


def test_erasure_without_a_user_record_ends_when_nothing_is_left(
    bindery: Bindery, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = httpx.Response(404, json={"title": "not found", "reason": "not_found"})
    part = httpx.Response(200, json={"uid": "ada", "removed": {"connections": 2}, "complete": False})
    answers = iter([part, part, gone, gone])
    made = httpx.Client
    transport = httpx.MockTransport(lambda request: next(answers))
    monkeypatch.setattr(httpx, "Client", lambda **_: made(transport=transport))
    result = bindery("privacy erase ada --yes")
    assert (result.exit_code, json.loads(result.stdout)) == (
        0,
        {"uid": "ada", "removed": {"connections": 4}, "complete": True},
    )
    assert bindery("privacy erase ada --yes").exit_code == 3


def test_the_commands_that_exist_are_those_that_are_tried() -> None:
    source = Path(__file__).read_text() + (Path(__file__).with_name("test_imports.py")).read_text()
    for name, module in GROUPS.items():
        for command in module.app.registered_commands:
            spelled = command.name or command.callback.__name__.replace("_", "-")
            assert f"{name} {spelled}" in source, f"{name} {spelled}"


def test_the_doctor_asks_the_registry_and_every_route(bindery: Bindery) -> None:
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


def test_a_doctor_who_finds_something_exits_with_1(bindery: Bindery, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/admin/v1/doctor":
            return httpx.Response(200, json={"healthy": True, "checks": []})
        if request.url.path == "/v0/devices":
            raise httpx.ReadTimeout("timed out")
        if request.url.path.startswith("/admin/"):
            assert request.method == "HEAD", "which changes nothing"
            assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 ")
            # What the gateway answers to whom it does not admit, and where it cannot call the function.
            return httpx.Response(403 if request.url.path == "/admin/v1/users" else 500)
        return httpx.Response(500 if request.url.path == "/api/v2/device" else 404, headers={"x-request-id": "1"})

    made = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **_: made(transport=httpx.MockTransport(answer)))
    result = bindery("doctor --output table")
    assert result.exit_code == 1
    assert re.search(r"POST /v0/devices\s+│ no\s+│ timed out", result.stdout)
    assert re.search(r"POST /api/v2/device\s+│ no\s+│ HTTP 500", result.stdout)
    assert re.search(r"GET /api/base/configs\s+│ yes\s+│ HTTP 404", result.stdout)
    assert re.search(r"ANY /admin/v1/users\s+│ yes\s+│ not tried: you may not ask it", result.stdout)
    assert re.search(r"ANY /admin/v1/keys\s+│ no\s+│ HTTP 500", result.stdout)


def test_no_secret_is_an_argument_or_an_option() -> None:
    for module in GROUPS.values():
        for command in module.app.registered_commands:
            assert not {"password", "token", "secret"} & set(inspect.signature(command.callback).parameters)
