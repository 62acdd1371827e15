"""No secret is stored, logged, or shown but the once: recognisable ones are planted wherever one can be put."""

import io
import json
import logging
from typing import Any
from urllib.parse import quote

import pytest

from bindery.connectivity import service_addresses
from bindery.directory import accounts, api_keys
from bindery.http import operation
from bindery.registry import identity
from bindery.rufus import company_devices
from bindery.security import passwords, secrets
from tests.concurrency.races import before
from tests.http_api import OPERATOR, Response, admin, event, invoke
from tests.tables import everything

pytestmark = pytest.mark.usefixtures("registry")

PLANTED = [
    "ror-ca0a41ca0a41ca0a41ca0a41ca0a41ca0a41ca0a",
    "ca0a42ca0a42ca0a42ca0a42ca0a42ca0a42ca0a",
    "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOjF9.Y2FuYXJ5LWNhbmFyeS1jYW5hcnk",
    "canary-password-43",
    "canary44",
    "canary-" * 50,
]
"""In the forms of a company key, a developer key, a token, and passwords, one of them too long."""

UNKNOWN_MEMBERS = [("users", "users/ada/password"), ("domains", "domains"), ("domains", "domains/app/secret")]
"""Where a secret may stand for the name of a member that is not known."""

ADDRESS = "80:00:00:00:00:00:00:F1"


class Watch:
    """What was logged, and what was answered."""

    def __init__(self, others: pytest.LogCaptureFixture) -> None:
        self.log, self.others = io.StringIO(), others
        self.answers: list[str] = []

    def admin(self, resource: str, method: str, path: str, body: Any = None, **given: Any) -> Response:
        return self.noted(admin(resource, method, path, body, **given))

    def invoke(self, name: str, method: str, path: str, **given: Any) -> Response:
        return self.noted(invoke(name, event(method, path, **given)))

    def noted(self, answer: Response) -> Response:
        self.answers.append(json.dumps([answer.headers, answer.body]))
        return answer

    def logged(self) -> str:
        return self.log.getvalue() + self.others.text

    def shown(self, secret: str) -> int:
        return sum(secret in answer for answer in self.answers)


@pytest.fixture
def watch(registry: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Watch:
    """The log of the functions, and with it whatever any library logs."""
    watching = Watch(caplog)
    monkeypatch.setattr(operation.logger.registered_handler, "stream", watching.log)
    caplog.set_level(logging.INFO)
    accounts.create("acme", name="Acme")
    company_devices.bind("acme", "M", "S", alias=None, firmware=None, kind=None)
    service_addresses.assign(ADDRESS, identity.company_device("acme", "M", "S"))
    watching.admin("users", "POST", "users", {"uid": "ada", "account": "acme"})
    return watching


def kept_nowhere(watch: Watch, secret: str) -> None:
    assert secret not in watch.logged()
    assert secret not in json.dumps(everything(), default=str)


def use(watch: Watch, key: str, developer_key: str, tokens: dict[str, str]) -> list[int]:
    """Requests of every dialect that takes a credential of ours."""
    body = '{"model": "M", "serial_number": "S"}'
    answers = [
        watch.invoke("rufus.bind_device", "POST", "/v0/devices", headers={"api_key": key}, body=body),
        watch.invoke(
            "remoteit.connect_device",
            "POST",
            "/apv/v27/device/connect",
            headers={"developerkey": developer_key, "token": tokens["remoteit"]},
            body=json.dumps({"deviceaddress": ADDRESS}),
        ),
        watch.invoke(
            "quectel.bind_device_sn",
            "POST",
            "/v2/binding/enduserapi/bindDeviceSn",
            headers={"authorization": f"Bearer {tokens['quectel']}"},
            query="pk=P&sn=S",
        ),
    ]
    return [answer.status for answer in answers]


def test_what_is_issued_is_shown_once_and_kept_nowhere(watch: Watch) -> None:
    issued: list[dict[str, Any]] = []
    for kind in ("rufus", "remoteit"):
        new = {"account": "acme", "kind": kind, "grant": "READ_WRITE", "alias": kind}
        issued.append(watch.admin("keys", "POST", "keys", new).json())
        issued.append(watch.admin("keys", "POST", f"keys/{issued[-1]['id']}/rotate", {}).json())
    tokens = {
        dialect: watch.admin("users", "POST", "users/ada/tokens", {"dialect": dialect, "lifetime": 600}).json()["token"]
        for dialect in ("quectel", "remoteit")
    }
    secrets = [*(key["key"] for key in issued), *tokens.values()]
    assert use(watch, issued[1]["key"], issued[3]["key"], tokens) == [201, 200, 200]
    for key in issued:
        watch.admin("keys", "GET", f"keys/{key['id']}")
        watch.admin("keys", "POST", f"keys/{key['id']}/revoke")
        # The key itself where its id belongs.
        assert watch.admin("keys", "GET", f"keys/{quote(key['key'])}").status == 404
    assert watch.admin("keys", "GET", "keys", query={"account": "acme"}).status == 200
    assert watch.admin("users", "GET", "users", query={"account": "acme"}).status == 200
    assert use(watch, issued[1]["key"], issued[3]["key"], tokens) == [403, 401, 200]
    watch.admin("users", "POST", "users/ada/revoke-tokens")
    assert use(watch, issued[1]["key"], issued[3]["key"], tokens) == [403, 401, 200]
    for secret in secrets:
        assert watch.shown(secret) == 1
        kept_nowhere(watch, secret)
        # Nor is a token's payload or signature, which would be half of it.
        for part in secret.split(".")[1:]:
            kept_nowhere(watch, part)


def test_a_record_that_is_not_as_it_must_be_is_not_logged_with_the_key_that_was_just_issued(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued: list[str] = []
    real = api_keys.show

    def show(hashed: str) -> dict[str, Any]:
        return {name: value for name, value in real(hashed).items() if name != "grant"}

    def id_of(credential: str) -> str:
        issued.append(credential)
        return secrets.fingerprint(credential)

    monkeypatch.setattr(api_keys, "show", show)
    monkeypatch.setattr(api_keys, "id_of", id_of)
    new = {"account": "acme", "kind": "rufus", "grant": "READ", "alias": "a"}
    assert watch.admin("keys", "POST", "keys", new).status == 500
    assert "grant" in watch.logged()
    for part in (issued[0], issued[0][:12], issued[0][-12:]):
        assert watch.shown(part) == 0
        kept_nowhere(watch, part)


def test_a_domains_secret_is_shown_when_it_is_made_and_kept_nowhere_in_clear(watch: Watch) -> None:
    made = [
        watch.admin("domains", "POST", "domains", {"domain": "app"}),
        watch.admin("domains", "POST", "domains/app/secret", {}),
        watch.admin("domains", "POST", "domains/app/secret", {"secret": "canary-secret-45"}),
    ]
    watch.admin("domains", "GET", "domains/app")
    watch.admin("domains", "GET", "domains")
    watch.admin("domains", "PATCH", "domains/app", {"enabled": True})
    for answer in made:
        secret = answer.json()["secret"]
        assert watch.shown(secret) == 1
        kept_nowhere(watch, secret)


@pytest.mark.parametrize("secret", PLANTED)
def test_what_stands_in_the_wrong_place_is_neither_kept_nor_shown(
    secret: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_LN", 4)
    developer_key = api_keys.issue("acme", api_keys.Kind.REMOTEIT, api_keys.Grant.READ_WRITE, alias="d")
    tokens = dict.fromkeys(("quectel", "remoteit"), secret)
    use(watch, secret, secret, tokens)
    for resource in ("keys", "users"):
        for method, path in [
            ("GET", f"/{secret}"),
            ("DELETE", f"/{secret}"),
            ("POST", f"/{secret}"),
            ("POST", f"/{secret}/{secret}"),
        ]:
            assert watch.admin(resource, method, resource + path).status >= 400
        for query in ({"account": secret}, {"account": "acme", "cursor": secret}, {"account": "acme", "limit": secret}):
            watch.admin(resource, "GET", resource, query=query)
    for action, body in [
        ("rotate", {}),
        ("revoke", None),
    ]:
        assert watch.admin("keys", "POST", f"keys/{secret}/{action}", body).status >= 400
    new = {"account": "acme", "kind": "rufus", "grant": "WRITE", "alias": "a"}
    for name in ("account", "kind", "grant", "unbind", "expires_at", "key"):
        assert watch.admin("keys", "POST", "keys", new | {name: secret}).status >= 400
    for resource, path in UNKNOWN_MEMBERS:
        assert watch.admin(resource, "POST", path, {secret: "x"}).status == 422
    for resource in ("devices", "issued-devices"):
        rows = {"rows": [{secret: "x"}]}
        assert watch.admin(resource.replace("-", "_"), "POST", f"{resource}/import", rows).json()["errors"]
    for action in ("disable", "enable", "revoke-tokens"):
        assert watch.admin("users", "POST", f"users/{secret}/{action}").status >= 400
    assert watch.admin("users", "POST", f"users/{secret}/password", {"password": secret}).status >= 400
    user = {"uid": "ben", "account": "acme"}
    for name in ("account", "role", "home_mode", "email", "password", "token"):
        assert watch.admin("users", "POST", "users", user | {name: secret}).status >= 400
        assert watch.admin("users", "PATCH", "users/ada", {name: secret}).status >= 400
    for body in (secret, json.dumps(secret), f'{{"password": "{secret}"', {"password": [secret]}, {"secret": secret}):
        assert watch.admin("users", "POST", "users/ada/password", body).status >= 400
        assert watch.admin("keys", "POST", "keys", body).status >= 400
    for body in ({"dialect": secret, "lifetime": 60}, {"dialect": "quectel", "lifetime": secret}):
        assert watch.admin("users", "POST", "users/ada/tokens", body).status >= 400
    for body in ({"username": secret, "password": secret}, {"username": "ada@x.de", "password": secret}, secret):
        text = body if isinstance(body, str) else json.dumps(body)
        for key in (secret, developer_key):
            path = "/apv/v27/user/login"
            assert watch.invoke("remoteit.login", "POST", path, headers={"developerkey": key}, body=text).status >= 400
    names = ("email", "pwd", "random", "userDomain", "signature")
    for fields in (dict.fromkeys(names, secret), *({name: secret} for name in names)):
        path = "/v2/enduser/enduserapi/emailPwdLogin"
        answer = watch.invoke("quectel.email_pwd_login", "POST", path, body=json.dumps(fields))
        assert answer.json()["code"] in (5015, 5420)
    assert watch.shown(secret) == 0
    kept_nowhere(watch, secret)


def test_a_secret_that_was_sent_as_a_form_is_not_shown(watch: Watch) -> None:
    request = event(
        "POST",
        "/admin/v1/users/ada/password",
        headers={"content-type": "application/x-www-form-urlencoded"},
        body=b'{"password": "canary-password-43", "typo": 1}',
    )
    request["requestContext"]["authorizer"] = {"iam": {"userArn": OPERATOR}}
    answer = watch.noted(invoke("admin.users", request))
    assert [error["at"] for error in answer.json()["errors"]] == ["body"]
    assert watch.shown("canary-password-43") == 0
    kept_nowhere(watch, "canary-password-43")


def test_a_password_is_kept_as_its_hash_alone_even_where_we_break(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "canary password \u00e4"

    def broken() -> None:
        raise ZeroDivisionError

    before(monkeypatch, "update_item", broken)
    assert watch.admin("users", "POST", "users/ada/password", {"password": secret}).status == 500
    assert "ZeroDivisionError" in watch.logged()
    assert watch.admin("users", "POST", "users/ada/password", {"password": secret}).status == 200
    hashed = everything()["DIRECTORY"][-1]["password"]
    assert hashed.startswith("$scrypt$")
    for text in (secret, "canary password", json.dumps(secret)[1:-1], hashed):
        assert watch.shown(text) == 0
        assert text not in watch.logged()
    kept_nowhere(watch, "canary password")
