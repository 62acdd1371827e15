"""Forged tokens: request handling refuses every token that a legitimate issuer would not sign, and fetches nothing for
it."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bindery.directory import users
from bindery.security import oidc, secrets
from tests.http_api import Response, invoke
from tests.openid import CUSTOMER, OTHER, Bank, ec_key, public, rsa_key
from tests.properties import world
from tests.properties.staging import refused
from tests.properties.world import World

Part = dict[str, Any] | bytes

OURS = [("quectel.user_device_list", "authorization"), ("remoteit.list_all", "token")]
"""An operation of each API that uses Bindery's session tokens, and the header that carries the token."""


def text(data: Part) -> str:
    """Encode a part of a token."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def members(*pairs: tuple[str, Any]) -> bytes:
    """Return a JSON object that may repeat a field name."""
    return (
        b"{" + b",".join(json.dumps(name).encode() + b":" + json.dumps(value).encode() for name, value in pairs) + b"}"
    )


def by_hmac(secret: bytes, header: Part, claims: Part, algorithm: str = "sha256") -> str:
    signed = f"{text(header)}.{text(claims)}"
    return f"{signed}.{text(hmac.digest(secret, signed.encode(), algorithm))}"


def by_rsa(header: Part, claims: Part, key: str = "key-1") -> str:
    signed = f"{text(header)}.{text(claims)}"
    signature = rsa_key(key).sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{text(signature)}"


_dialect = ContextVar("_dialect", default="quectel")
"""The API under test."""


def secret() -> bytes:
    """Return the secret that signs the session tokens of the API under test."""
    return secrets.session_secret(_dialect.get())


def other() -> str:
    """Return the other API with session tokens."""
    return {"quectel": "remoteit", "remoteit": "quectel"}[_dialect.get()]


def session(**changes: Any) -> dict[str, Any]:
    """Return the claims of ada's valid session token for both APIs; None removes a claim."""
    now = int(time.time())
    claims = {
        "iss": "bindery",
        "aud": ["quectel", "remoteit"],
        "sub": "ada",
        "acc": "acme",
        "dom": world.DOMAIN,
        "gen": users.show("ada")["generation"],
        "iat": now,
        "exp": now + 300,
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}


HS256 = {"alg": "HS256", "typ": "JWT"}
RS256 = {"alg": "RS256", "kid": "key-1"}


def ask(here: World, name: str, header: str, token: Callable[[], str]) -> Response:
    _dialect.set(name.partition(".")[0])
    request = here.request(name)
    return invoke(name, request | {"headers": request["headers"] | {header: token()}})


def customer(here: World, token: str) -> Response:
    """Return the response to the holder of an access token."""
    return ask(here, "asseco.list_issued_devices", "authorization", lambda: f"Bearer {token}")


@pytest.fixture
def here(built: tuple[World, Bank, Any]) -> World:
    """One world for all tests: a refused token changes nothing."""
    return built[0]


@pytest.fixture
def bank(built: tuple[World, Bank, Any]) -> Iterator[Bank]:
    """The issuer, which has only published its key."""
    bank, published = built[1], list(built[1].keys)
    bank.keys.append(public("curve", ec_key("curve")))
    bank.asked.clear()
    oidc.clear_cache()
    yield bank
    bank.keys[:] = published
    oidc.clear_cache()


_SESSION: dict[str, Callable[[], str]] = {
    "no algorithm": lambda: f"{text({'alg': 'none'})}.{text(session())}.",
    "no algorithm, but a signature": lambda: by_hmac(secret(), {"alg": "none"}, session()),
    "another HMAC": lambda: by_hmac(secret(), {"alg": "HS512"}, session(), "sha512"),
    "an algorithm twice, none last": lambda: by_hmac(secret(), members(("alg", "HS256"), ("alg", "none")), session()),
    "RSA": lambda: by_rsa(RS256, session()),
    "the secret's name": lambda: by_hmac(b"QuectelSessionSecret", HS256, session()),
    "the secret of the other API": lambda: by_hmac(secrets.session_secret(other()), HS256, session()),
    "the secret of another purpose": lambda: by_hmac(secrets.secret("DIRECTORY_SECRET"), HS256, session()),
    "a signature cut short": lambda: by_hmac(secret(), HS256, session())[:-22],
    "a signature of a hash without a key": lambda: _unkeyed(),
    "an unknown critical header": lambda: by_hmac(secret(), HS256 | {"crit": ["exp"]}, session()),
    "another issuer": lambda: by_hmac(secret(), HS256, session(iss="https://issuer.example")),
    "no issuer": lambda: by_hmac(secret(), HS256, session(iss=None)),
    "no audience": lambda: by_hmac(secret(), HS256, session(aud=None)),
    "the audience of the other API": lambda: by_hmac(secret(), HS256, session(aud=other())),
    "the audience of a refresh token": lambda: by_hmac(secret(), HS256, session(aud="quectel-refresh")),
    "no end": lambda: by_hmac(secret(), HS256, session(exp=None)),
    "an expiry in the past": lambda: by_hmac(secret(), HS256, session(exp=int(time.time()) - 1)),
    "an infinite expiry": lambda: by_hmac(secret(), HS256, session(exp=float("inf"))),
    "no time of issue": lambda: by_hmac(secret(), HS256, session(iat=None)),
    "issued in the future": lambda: by_hmac(secret(), HS256, session(iat=int(time.time()) + 3600)),
    "not valid yet": lambda: by_hmac(secret(), HS256, session(nbf=int(time.time()) + 3600)),
    "no user": lambda: by_hmac(secret(), HS256, session(sub=None)),
    "no account": lambda: by_hmac(secret(), HS256, session(acc=None)),
    "another account": lambda: by_hmac(secret(), HS256, session(acc="other")),
    "another domain": lambda: by_hmac(secret(), HS256, session(dom="other")),
    "no generation": lambda: by_hmac(secret(), HS256, session(gen=None)),
    "an earlier generation": lambda: by_hmac(secret(), HS256, session(gen=1)),
    "a generation that is true": lambda: by_hmac(secret(), HS256, session(gen=True)),
    "claims that are not an object": lambda: by_hmac(secret(), HS256, b'["ada"]'),
    "deeply nested claims": lambda: by_hmac(secret(), HS256, b'{"a":' * 1500 + b"1" + b"}" * 1500),
    "a deeply nested header": lambda: by_hmac(secret(), b'{"a":' * 1500 + b"1" + b"}" * 1500, session()),
    "five parts": lambda: by_hmac(secret(), HS256, session()) + ".a.b",
}


def _unkeyed() -> str:
    signed = f"{text(HS256)}.{text(session())}"
    return f"{signed}.{text(hashlib.sha256(signed.encode()).digest())}"


@pytest.mark.parametrize(("name", "header"), OURS)
def test_valid_session_token_is_accepted(name: str, header: str, here: World) -> None:
    assert not refused(name, ask(here, name, header, lambda: by_hmac(secret(), HS256, session())))


@pytest.mark.parametrize(("name", "header"), OURS)
@pytest.mark.parametrize("what", _SESSION)
def test_forged_session_token_is_refused_like_a_malformed_one(
    what: str, name: str, header: str, here: World, errors: list[str]
) -> None:
    answer = ask(here, name, header, _SESSION[what])
    none = ask(here, name, header, lambda: "a.b.c")
    assert refused(name, none)
    assert (answer.status, answer.body, errors) == (none.status, none.body, [])


def evil() -> dict[str, Any]:
    """A forger's key in the format in which an issuer publishes it."""
    return public("key-1", rsa_key("forger"))


def by_curve(bank: Bank, *, der: bool) -> str:
    """Return an elliptic-curve token whose signature is r and s, as in JWS, or DER."""
    good = bank.token(ec_key("curve"), "ES256", "curve")
    if not der:
        return good
    signed = good.rpartition(".")[0]
    return f"{signed}.{text(ec_key('curve').sign(signed.encode(), ec.ECDSA(hashes.SHA256())))}"


_ACCESS: dict[str, Callable[[Bank], str]] = {
    "no algorithm": lambda bank: f"{text({'alg': 'none', 'kid': 'key-1'})}.{text(bank.claims())}.",
    "an algorithm twice, none last": lambda bank: by_rsa(
        members(("alg", "RS256"), ("kid", "key-1"), ("alg", "none")), bank.claims()
    ),
    "a key id twice, the forger's last": lambda bank: by_rsa(
        members(("alg", "RS256"), ("kid", "key-1"), ("kid", "forger")), bank.claims()
    ),
    "the published key as an HMAC secret: PEM": lambda bank: by_hmac(
        rsa_key("key-1").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        {"alg": "HS256", "kid": "key-1"},
        bank.claims(),
    ),
    "the published key as an HMAC secret: JWK": lambda bank: by_hmac(
        json.dumps(bank.keys[0]).encode(), {"alg": "HS256", "kid": "key-1"}, bank.claims()
    ),
    "an embedded key": lambda bank: by_rsa(RS256 | {"jwk": evil()}, bank.claims(), "forger"),
    "a key to be fetched": lambda bank: by_rsa(RS256 | {"jku": f"{bank.url}/evil"}, bank.claims(), "forger"),
    "a certificate to be fetched": lambda bank: by_rsa(RS256 | {"x5u": f"{bank.url}/evil"}, bank.claims(), "forger"),
    "a key id that is a path": lambda bank: by_rsa(RS256 | {"kid": "../../dev/null"}, bank.claims(), "forger"),
    "a key id that is an address": lambda bank: by_rsa(RS256 | {"kid": f"{bank.url}/evil"}, bank.claims(), "forger"),
    "a zero ECDSA signature": lambda bank: (
        f"{text({'alg': 'ES256', 'kid': 'curve'})}.{text(bank.claims())}.{text(bytes(64))}"
    ),
    "a signature in DER": lambda bank: by_curve(bank, der=True),
    "an unknown critical header": lambda bank: by_rsa(RS256 | {"crit": ["exp"]}, bank.claims()),
    "an audience twice, another last": lambda bank: by_rsa(RS256, members(*bank.claims().items(), ("aud", "another"))),
    "an expiry twice, past last": lambda bank: by_rsa(RS256, members(*bank.claims().items(), ("exp", 1))),
    "an issuer twice, another last": lambda bank: by_rsa(
        RS256, members(*bank.claims().items(), ("iss", "https://issuer.example"))
    ),
    "an issuer with the same prefix": lambda bank: by_rsa(RS256, bank.claims(iss=bank.url + ".example")),
    "an infinite expiry": lambda bank: by_rsa(RS256, bank.claims(exp=float("inf"))),
    "nobody": lambda bank: by_rsa(RS256, bank.claims(sub=None)),
    "deeply nested claims": lambda bank: by_rsa(RS256, b'{"a":' * 1500 + b"1" + b"}" * 1500),
    "a Bindery session token": lambda bank: by_hmac(
        secrets.session_secret("quectel"), HS256, session(iss=bank.url, aud="bindery")
    ),
    "a valid token with a line break": lambda bank: bank.token()[:40] + "\n" + bank.token()[40:],
    "two valid tokens": lambda bank: f"{bank.token()},{bank.token()}",
}


@pytest.mark.parametrize("what", _ACCESS)
def test_forged_access_token_is_refused_and_only_the_issuer_is_asked(
    what: str, here: World, bank: Bank, errors: list[str]
) -> None:
    answer, none = customer(here, _ACCESS[what](bank)), customer(here, "a.b.c")
    assert (none.status, answer.status, answer.body, errors) == (401, 401, none.body, [])
    assert answer.headers["WWW-Authenticate"] == none.headers["WWW-Authenticate"]
    assert set(bank.asked) <= {"/.well-known/openid-configuration", "/keys"}


def test_access_tokens_with_rs256_and_es256_are_accepted(here: World, bank: Bank) -> None:
    for token in (by_rsa(RS256, bank.claims()), by_curve(bank, der=False)):
        assert [device["device-id"] for device in customer(here, token).json()["devices"]] == ["CARD-0001"]


def test_last_of_two_claims_with_the_same_name_is_used(here: World, bank: Bank) -> None:
    """RFC 7519, section 4: either refuse the token or use the lexically last claim."""
    first = by_rsa(RS256, members(*bank.claims(sub=OTHER).items(), ("sub", CUSTOMER)))
    last = by_rsa(RS256, members(*bank.claims(sub=CUSTOMER).items(), ("sub", OTHER)))
    assert len(customer(here, first).json()["devices"]) == 1
    assert customer(here, last).json()["devices"] == []
