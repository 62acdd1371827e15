"""Renewal of tokens: the forms of the request, what ends a token, and the items written."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.directory import accounts, sessions, users
from bindery.quectel import tokens, user_domains
from bindery.registry import items
from tests.http_api import Response
from tests.quectel import ME, refused
from tests.sample_requests import send
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("world")

FORM = {"content-type": "application/x-www-form-urlencoded"}


def by_query(token: str) -> Response:
    return send("quectel.refresh_token", query={"refreshToken": token})


def by_form(token: str) -> Response:
    return send("quectel.refresh_token", FORM, body=urlencode({"refreshToken": token}).encode())


def by_json(token: str) -> Response:
    return send("quectel.refresh_token", {"content-type": "application/json"}, body=json.dumps({"refreshToken": token}))


def by_header(token: str) -> Response:
    return send("quectel.refresh_token", FORM | {"authorization": token})


def access(expired: int = 0) -> str:
    """Return an access token, which expired this many seconds ago."""
    return sessions.issue(ME, "quectel", -expired if expired else 60)[0]


def refresh() -> str:
    return tokens.sign(users.show(ME)).refresh_token.token


def data(answer: Response) -> dict[str, Any]:
    given: dict[str, Any] = answer.json()
    assert (answer.status, given["code"]) == (200, 200), given
    return dict(given["data"])


REQUESTS: dict[str, Callable[[], Response]] = {
    "query": lambda: by_query(refresh()),
    "form": lambda: by_form(refresh()),
    "JSON": lambda: by_json(refresh()),
    "with Bearer": lambda: by_query(f"Bearer {refresh()}"),
    "access token": lambda: by_header(access()),
    "access token with Bearer": lambda: by_header(f"bearer {access()}"),
    "expired access token": lambda: by_header(access(tokens.REFRESH_LIFETIME - 60)),
    "blank refresh token": lambda: send(
        "quectel.refresh_token", {"authorization": access()}, query={"refreshToken": ""}
    ),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_every_form_of_the_request_returns_new_working_tokens(what: str) -> None:
    began, directory = clock.seconds(), everything()["DIRECTORY"]
    made = data(REQUESTS[what]())
    assert list(made) == ["accessToken", "refreshToken"]
    for token, lifetime in (("accessToken", 7200), ("refreshToken", 2592000)):
        assert list(made[token]) == ["token", "expirationTime"]
        assert 0 <= made[token]["expirationTime"] - began - lifetime <= 5
    assert sessions.verify(made["accessToken"]["token"], "quectel").look_up().uid == ME
    assert data(by_query(made["refreshToken"]["token"]))["refreshToken"] != made["refreshToken"]
    assert everything()["DIRECTORY"] == directory


@pytest.mark.parametrize(
    ("ask", "token", "life"), [(by_query, refresh, 0), (by_header, access, tokens.REFRESH_LIFETIME)]
)
def test_used_token_is_valid_for_another_minute(
    ask: Callable[[str], Response], token: Callable[[], str], life: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    used, now = token(), clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)
    data(ask(used))
    (kept,) = stored(Table.BINDINGS)
    assert kept["used_at"] == now
    assert kept["expires_at"] >= clock.seconds() + life
    assert used not in str(kept)
    monkeypatch.setattr(clock, "now", lambda: now + 60_000)
    data(ask(used))
    monkeypatch.setattr(clock, "now", lambda: now + 60_001)
    refused(ask(used), 5032)
    assert stored(Table.BINDINGS) == [kept]


def release_without_ids() -> str:
    """Return a token as an earlier release signed it."""
    user = users.show(ME)
    with pytest.MonkeyPatch.context() as patch:
        encode = sessions.jwt.encode
        patch.setattr(sessions.jwt, "encode", lambda claims, *more: encode(claims | {"jti": ""}, *more))
        return sessions.sign(user, "quectel", 60, audience="quectel-refresh")[0]


REFUSED: dict[str, Callable[[], Response]] = {
    "nothing": lambda: send("quectel.refresh_token"),
    "blank": lambda: by_form(" "),
    "malformed": lambda: by_query("a.b.c"),
    "no text": lambda: send("quectel.refresh_token", query="refreshToken=%ff"),
    "too long": lambda: by_query("a" * 2049),
    "twice": lambda: send("quectel.refresh_token", query=f"refreshToken={refresh()}&refreshToken={refresh()}"),
    "a body that is no form": lambda: send(
        "quectel.refresh_token", {"authorization": access(), "content-type": ""}, body=b"\xff"
    ),
    "an access token as refresh token": lambda: by_query(access()),
    "a refresh token as access token": lambda: by_header(refresh()),
    "an access token that expired too long ago": lambda: by_header(access(tokens.REFRESH_LIFETIME + 1)),
    "an expired refresh token": lambda: by_query(
        sessions.sign(users.show(ME), "quectel", -1, audience="quectel-refresh")[0]
    ),
    "a token of another API": lambda: by_header(sessions.issue(ME, "remoteit", 60)[0]),
    "a token without id": lambda: by_query(release_without_ids()),
}


@pytest.mark.parametrize("what", REFUSED)
def test_any_other_request_has_an_invalid_token(what: str) -> None:
    refused(REFUSED[what](), 5032)
    assert stored(Table.BINDINGS) == []


ENDINGS: dict[str, Callable[[], object]] = {
    "revocation": lambda: users.revoke_sessions(ME),
    "another password": lambda: users.set_password(ME, "battery staple"),
    "disabled user": lambda: users.set_enabled(ME, False),
    "disabled account": lambda: accounts.set_enabled("smart", False),
    "disabled domain": lambda: user_domains.change("E.DM.1", enabled=False),
    "another domain": lambda: users.change(ME, domain=None),
    "deleted user": lambda: dynamodb.write(items.user(ME).delete()),
}


@pytest.mark.parametrize("what", ENDINGS)
def test_token_that_its_user_lost_cannot_be_renewed(what: str) -> None:
    given = [refresh(), access()]
    ENDINGS[what]()
    for ask, token in zip((by_query, by_header), given, strict=True):
        refused(ask(token), 5032)
    assert stored(Table.BINDINGS) == []
