"""No secret is stored or logged, or shown more than once. The tests plant recognizable secrets in every field."""

import io
import json
import logging
from typing import Any
from urllib.parse import quote

import pytest

from bindery.connectivity import service_addresses
from bindery.directory import accounts, api_keys
from bindery.feed import sending
from bindery.http import operation
from bindery.security import secrets
from tests.concurrency.races import before
from tests.http_api import Response, admin
from tests.records import ADDRESS, company_device
from tests.sample_requests import send
from tests.tables import everything

pytestmark = pytest.mark.usefixtures("registry")

PLANTED = [
    "ror-ca0a41ca0a41ca0a41ca0a41ca0a41ca0a41ca0a",
    "ca0a42ca0a42ca0a42ca0a42ca0a42ca0a42ca0a",
    "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOjF9.Y2FuYXJ5LWNhbmFyeS1jYW5hcnk",
    "canary-password-43",
    "canary-" * 50,
]
"""Secrets in the form of a company key, a developer key, a token, a password, and a text that is too long."""

UNKNOWN_MEMBERS = [("users", "users/ada/password"), ("domains", "domains"), ("domains", "domains/app/secret")]
"""Places where a secret may be sent as the name of an unknown field."""


class Watch:
    """The log and the responses."""

    def __init__(self, others: pytest.LogCaptureFixture) -> None:
        self.log, self.others = io.StringIO(), others
        self.answers: list[str] = []

    def admin(self, resource: str, method: str, path: str, body: Any = None, **given: Any) -> Response:
        return self.noted(admin(resource, method, path, body, **given))

    def send(self, name: str, headers: dict[str, str], **given: Any) -> Response:
        return self.noted(send(name, headers, **given))

    def noted(self, answer: Response) -> Response:
        self.answers.append(json.dumps([answer.headers, answer.body]))
        return answer

    def logged(self) -> str:
        return self.log.getvalue() + self.others.text

    def shown(self, secret: str) -> int:
        return sum(secret in answer for answer in self.answers)


@pytest.fixture
def watch(registry: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Watch:
    """Record the log of the functions and of all libraries."""
    watching = Watch(caplog)
    monkeypatch.setattr(operation.logger.registered_handler, "stream", watching.log)
    caplog.set_level(logging.INFO)
    accounts.create("acme", name="Acme")
    service_addresses.assign(ADDRESS, company_device())
    watching.admin("users", "POST", "users", {"uid": "ada", "account": "acme"})
    return watching


def kept_nowhere(watch: Watch, secret: str) -> None:
    assert secret not in watch.logged()
    assert secret not in json.dumps(everything(), default=str)


def use(watch: Watch, key: str, developer_key: str, tokens: dict[str, str]) -> list[int]:
    """Make a request in every API that accepts one of Bindery's credentials."""
    answers = [
        watch.send("rufus.bind_device", {"api_key": key}),
        watch.send(
            "remoteit.connect_device",
            {"developerkey": developer_key, "token": tokens["remoteit"]},
            body={"deviceaddress": ADDRESS},
        ),
        watch.send("quectel.bind_device_sn", {"authorization": f"Bearer {tokens['quectel']}"}),
    ]
    return [answer.status for answer in answers]


def test_issued_credentials_are_shown_once_and_never_stored(watch: Watch) -> None:
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
        # The key itself in place of its id.
        assert watch.admin("keys", "GET", f"keys/{quote(key['key'])}").status == 404
    assert watch.admin("keys", "GET", "keys", query={"account": "acme"}).status == 200
    assert watch.admin("users", "GET", "users", query={"account": "acme"}).status == 200
    assert use(watch, issued[1]["key"], issued[3]["key"], tokens) == [403, 401, 200]
    watch.admin("users", "POST", "users/ada/revoke-tokens")
    assert use(watch, issued[1]["key"], issued[3]["key"], tokens) == [403, 401, 200]
    for secret in secrets:
        assert watch.shown(secret) == 1
        kept_nowhere(watch, secret)
        # A token's payload or signature alone would be half of the token.
        for part in secret.split(".")[1:]:
            kept_nowhere(watch, part)


def test_invalid_record_does_not_log_the_issued_key(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_domain_secret_is_shown_once_and_never_stored_in_clear(watch: Watch) -> None:
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


def test_webhook_secret_is_shown_once_and_never_stored_in_clear(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "post", lambda url, headers, body: sending.Outcome(204))
    made = [watch.admin("webhooks", "POST", "webhooks", {"url": "https://8.8.8.8/"})]
    path = f"webhooks/{made[0].json()['id']}"
    made.append(watch.admin("webhooks", "POST", f"{path}/rotate"))
    watch.admin("webhooks", "GET", path)
    watch.admin("webhooks", "GET", "webhooks")
    watch.admin("webhooks", "POST", f"{path}/test")
    for answer in made:
        secret = answer.json()["secret"]
        assert watch.shown(secret) == 1
        kept_nowhere(watch, secret.removeprefix("whsec_"))


@pytest.mark.parametrize("secret", PLANTED)
@pytest.mark.usefixtures("cheap_hashes")
def test_misplaced_secret_is_neither_stored_nor_shown(secret: str, watch: Watch) -> None:
    developer_key = api_keys.issue("acme", api_keys.Kind.REMOTEIT, api_keys.Grant.READ_WRITE, alias="d")
    tokens = dict.fromkeys(("quectel", "remoteit"), secret)
    use(watch, secret, secret, tokens)
    for resource in ("keys", "users"):
        for method in ("GET", "DELETE", "POST"):
            assert watch.admin(resource, method, f"{resource}/{secret}").status >= 400
        assert watch.admin(resource, "POST", f"{resource}/{secret}/{secret}").status >= 400
        for query in ({"account": secret}, {"account": "acme", "cursor": secret}, {"account": "acme", "limit": secret}):
            watch.admin(resource, "GET", resource, query=query)
    for action, body in [("rotate", {}), ("revoke", None)]:
        assert watch.admin("keys", "POST", f"keys/{secret}/{action}", body).status >= 400
    new = {"account": "acme", "kind": "rufus", "grant": "WRITE", "alias": "a"}
    for name in ("account", "kind", "grant", "unbind", "expires_at"):
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
        for key in (secret, developer_key):
            assert watch.send("remoteit.login", {"developerkey": key}, body=body).status >= 400
    names = ("email", "pwd", "random", "userDomain", "signature")
    for fields in (dict.fromkeys(names, secret), *({name: secret} for name in names)):
        answer = watch.send("quectel.email_pwd_login", {}, body=json.dumps(fields))
        assert answer.json()["code"] in (5015, 5420)
    assert watch.shown(secret) == 0
    kept_nowhere(watch, secret)


@pytest.mark.usefixtures("cheap_hashes")
def test_password_is_stored_only_as_a_hash_even_on_internal_error(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "canary password \u00e4"

    def broken() -> None:
        raise ZeroDivisionError

    before(monkeypatch, "UpdateItem", broken)
    assert watch.admin("users", "POST", "users/ada/password", {"password": secret}).status == 500
    assert "ZeroDivisionError" in watch.logged()
    assert watch.admin("users", "POST", "users/ada/password", {"password": secret}).status == 200
    hashed = everything()["DIRECTORY"][-1]["password"]
    assert hashed.startswith("$scrypt$")
    for text in (secret, "canary password", json.dumps(secret)[1:-1], hashed):
        assert watch.shown(text) == 0
        assert text not in watch.logged()
    kept_nowhere(watch, "canary password")
