"""Access tokens: accepted and refused tokens, and the requests to the issuer for its keys."""

import base64
import hashlib
import hmac
import json
import select
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bindery.core import clock, env
from bindery.core.errors import Reason, Refused
from bindery.security import oidc
from tests.layer.aws.authorities import Authority
from tests.layer.aws.servers import Reply, Request, Server
from tests.openid import CUSTOMER, Bank, ec_key, public, rsa_key

DISCOVERY, KEYS = "/.well-known/openid-configuration", "/keys"


def refused(token: str) -> Reason:
    with pytest.raises(Refused) as caught:
        oidc.verify(token)
    return caught.value.reason


def part(value: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def later(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    now = clock.now() + seconds * 1000
    monkeypatch.setattr(clock, "now", lambda: now)


def test_valid_token_returns_its_claims(bank: Bank):
    assert oidc.verify(bank.token(scope="a b"))["sub"] == CUSTOMER
    assert oidc.verify(bank.token(aud=["other", "bindery"]))["aud"] == ["other", "bindery"]


@pytest.mark.parametrize(
    ("claim", "good", "bad"),
    [("exp", -oidc.LEEWAY + 30, -oidc.LEEWAY - 30), ("nbf", oidc.LEEWAY - 30, oidc.LEEWAY + 30)],
)
def test_clocks_may_differ_by_a_minute(bank: Bank, claim: str, good: int, bad: int):
    now = int(time.time())
    assert oidc.verify(bank.token(**{claim: now + good}))
    assert refused(bank.token(**{claim: now + bad})) is Reason.TOKEN_INVALID


@pytest.mark.parametrize(
    "changes",
    [
        *({"iss": wrong} for wrong in (None, "https://issuer.example")),
        *({"aud": wrong} for wrong in (None, "other", ["other"], {"bindery": True})),
        *({"exp": wrong} for wrong in (None, "soon", 0)),
        *({"nbf": []}, {"iat": 2**62}),
    ],
    ids=str,
)
def test_wrong_claim_is_refused_without_asking_the_issuer(bank: Bank, changes: dict[str, Any]):
    assert refused(bank.token(**changes)) is Reason.TOKEN_INVALID
    assert bank.asked == []


def test_published_symmetric_key_is_not_accepted(bank: Bank):
    secret = b"s" * 32
    bank.keys.append({"kty": "oct", "kid": "shared", "k": base64.urlsafe_b64encode(secret).decode()})
    for algorithm in ("HS256", "RS256"):
        signed = part({"alg": algorithm, "kid": "shared"}) + b"." + part(bank.claims())
        mac = base64.urlsafe_b64encode(hmac.digest(secret, signed, hashlib.sha256)).rstrip(b"=")
        assert refused((signed + b"." + mac).decode()) is Reason.TOKEN_INVALID


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
def test_unsupported_algorithm_is_refused(bank: Bank, algorithm: str):
    assert refused(bank.token(algorithm=algorithm)) is Reason.TOKEN_INVALID


def test_key_unsuitable_for_signing_is_ignored(bank: Bank):
    bank.keys.append(public("encrypting", rsa_key("key-1"), use="enc"))
    bank.keys.append(public("another-way", rsa_key("key-1"), alg="RS512"))
    bank.keys.append(public("curve", ec_key("curve")))
    weak = rsa.generate_private_key(65537, 1024)
    bank.keys.append(public("weak", weak))
    wide = ec.generate_private_key(ec.SECP384R1())
    bank.keys.append(public("wide", wide))
    with pytest.warns(match="1024"):
        by_weak = bank.token(weak, key_id="weak")
    assert refused(by_weak) is Reason.TOKEN_INVALID
    for key_id in ("encrypting", "another-way", "curve"):
        assert refused(bank.token(key_id=key_id)) is Reason.TOKEN_INVALID
    assert refused(bank.token(ec_key("curve"), "ES256", "key-1")) is Reason.TOKEN_INVALID
    assert oidc.verify(bank.token())


UNBUILDABLE: list[Any] = [
    {"kty": "RSA", "kid": "bad", "alg": ["RS256"], "n": "AQAB", "e": "AQAB"},
    {"kty": "RSA", "kid": "bad", "alg": {}, "n": "AQAB", "e": "AQAB"},
    {"kty": ["RSA"], "kid": "bad"},
    {"kty": "RSA", "kid": "bad", "n": 5, "e": None},
    {"kty": "RSA", "kid": "bad", "n": "\u00e9", "e": "AQAB"},
    {"kty": "EC", "kid": "bad", "crv": "P-256", "x": [], "y": {}},
    {"kty": "EC", "kid": "bad", "crv": {"P-256": 1}},
    {"kty": "RSA", "kid": "bad", "n": "AQAB", "e": "AQAB", "oth": 1, "d": "AQAB"},
    {"kid": "bad"},
    "bad",
    None,
    [["RS256"]],
    7,
]


def test_unusable_keys_do_not_disable_the_others(bank: Bank, caplog: pytest.LogCaptureFixture):
    bank.keys[:0] = UNBUILDABLE
    assert oidc.verify(bank.token())["sub"] == CUSTOMER
    assert [record.position for record in caplog.records] == list(range(len(UNBUILDABLE)))  # type: ignore[attr-defined]
    assert {record.name for record in caplog.records} == {"bindery.oidc"}
    assert refused(bank.token(key_id="bad")) is Reason.TOKEN_INVALID


def test_key_ids_of_any_type_do_not_disable_the_others(bank: Bank):
    for key_id in ([], {}, 7, None):
        bank.keys.insert(0, public("another", rsa_key("key-1"), kid=key_id, use=[key_id]))
    assert oidc.verify(bank.token())["sub"] == CUSTOMER


def test_keys_of_different_types_may_share_a_key_id(bank: Bank):
    for position in (0, len(bank.keys)):
        bank.keys.insert(position, public("key-1", ec_key("curve")))
        oidc.clear_cache()
        assert oidc.verify(bank.token())["sub"] == oidc.verify(bank.token(ec_key("curve"), "ES256"))["sub"] == CUSTOMER
        del bank.keys[position]
    assert oidc.published() == ["key-1"]


def test_token_must_be_signed_with_the_key_it_names(bank: Bank):
    bank.keys.append(public("key-2", rsa_key("key-2")))
    assert oidc.verify(bank.token(rsa_key("key-2"), key_id="key-2"))
    assert refused(bank.token(rsa_key("key-2"), key_id="key-1")) is Reason.TOKEN_INVALID
    assert refused(bank.token(rsa_key("forger"), key_id="key-1")) is Reason.TOKEN_INVALID
    assert refused(bank.token(key_id=None)) is Reason.TOKEN_INVALID


@pytest.mark.parametrize(
    "token",
    [
        *("", ".", "..", "a.b.c", "e30.e30.", "ASSECO_TOKEN", "é.é.é", "\ud800.a.b", "W10.W10.W10"),
        part({"alg": "RS256", "kid": 5}).decode() + ".e30.",
        base64.urlsafe_b64encode(b"[" * 4000).decode() + ".e30.",
    ],
)
def test_malformed_token_is_refused(bank: Bank, token: str):
    assert refused(token) is Reason.TOKEN_INVALID
    assert bank.asked == []


def test_keys_are_fetched_again_when_they_expire(bank: Bank, monkeypatch: pytest.MonkeyPatch):
    bank.keys.append(public("key-2", rsa_key("key-2")))
    token = bank.token(rsa_key("key-2"), key_id="key-2")
    oidc.verify(token)
    bank.keys.pop()
    assert oidc.verify(token)
    later(monkeypatch, oidc.LIFETIME)
    assert refused(token) is Reason.TOKEN_INVALID


def test_new_key_of_the_issuer_is_fetched_at_once(bank: Bank):
    oidc.verify(bank.token())
    bank.keys[:] = [public("key-2", rsa_key("key-2"))]
    assert oidc.verify(bank.token(rsa_key("key-2"), key_id="key-2"))
    assert refused(bank.token()) is Reason.TOKEN_INVALID


def test_forged_key_ids_cause_few_requests_to_the_issuer(bank: Bank, monkeypatch: pytest.MonkeyPatch):
    oidc.verify(bank.token())
    for number in range(5):
        assert refused(bank.token(key_id=f"forged-{number}")) is Reason.TOKEN_INVALID
    assert bank.asked == [DISCOVERY, KEYS] * 2
    assert oidc.verify(bank.token())
    later(monkeypatch, oidc.COOL_DOWN)
    for number in range(5):
        assert refused(bank.token(key_id=f"forged-{number}")) is Reason.TOKEN_INVALID
    assert bank.asked == [DISCOVERY, KEYS] * 3


def test_parallel_first_requests_fetch_the_keys_once(bank: Bank):
    token = bank.token()
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(oidc.verify(token)["sub"])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [CUSTOMER] * 8
    assert bank.asked == [DISCOVERY, KEYS]


def test_unreachable_issuer_is_unavailable_and_asked_again_after_a_pause(bank: Bank, monkeypatch: pytest.MonkeyPatch):
    later(monkeypatch, 0)
    bank.answers[DISCOVERY] = (503, {}, b"")
    for _ in range(5):
        assert refused(bank.token()) is Reason.UNAVAILABLE
    assert bank.asked == [DISCOVERY]
    del bank.answers[DISCOVERY]
    later(monkeypatch, oidc.PAUSE)
    assert oidc.verify(bank.token())


def test_cached_keys_are_used_while_the_issuer_is_unreachable(bank: Bank, monkeypatch: pytest.MonkeyPatch):
    good, unknown = bank.token(), bank.token(key_id="unknown")
    oidc.verify(good)
    bank.answers[KEYS] = (500, {}, b"")
    for _ in range(2):
        assert refused(unknown) is Reason.UNAVAILABLE
        assert oidc.verify(good)
    later(monkeypatch, oidc.LIFETIME)
    assert refused(good) is Reason.UNAVAILABLE


def test_refused_connection_is_unavailable(environment: pytest.MonkeyPatch):
    bank = Bank()
    with bank:
        bank.trusted(environment)
    assert refused(bank.token()) is Reason.UNAVAILABLE


@pytest.mark.parametrize("path", [DISCOVERY, KEYS])
@pytest.mark.parametrize(
    "answer",
    [
        (404, {}, b"{}"),
        (302, {"Location": "/elsewhere"}, b""),
        *((200, {}, body) for body in (b"", b"\xff", b"[]", b"{}", b"[" * 100_000)),
        *((200, {}, body) for body in (b'{"keys":[]}', b'{"keys":[{"kty":"none"}]}')),
        (200, {"Content-Length": "50"}, b"{}"),
    ],
)
def test_invalid_issuer_document_is_unavailable(bank: Bank, path: str, answer: tuple[int, dict[str, str], bytes]):
    bank.answers[path] = answer
    bank.answers["/elsewhere"] = bank.answer(DISCOVERY)
    assert refused(bank.token()) is Reason.UNAVAILABLE
    assert "/elsewhere" not in bank.asked


@pytest.mark.parametrize("path", [DISCOVERY, KEYS])
def test_document_size_is_limited(bank: Bank, path: str):
    status, headers, body = bank.answer(path)
    bank.answers[path] = (status, headers, body + b" " * (oidc.SIZE_LIMIT - len(body)))
    assert oidc.verify(bank.token())
    oidc.clear_cache()
    bank.answers[path] = (status, headers, body + b" " * (oidc.SIZE_LIMIT - len(body) + 1))
    assert refused(bank.token()) is Reason.UNAVAILABLE


def dripping(beginning: bytes, given_up: list[bool]) -> Reply:
    """Send a byte at intervals, for about ten seconds, and note that the client disconnected before."""

    def reply(connection: socket.socket, request: Request) -> None:
        connection.sendall(beginning)
        for _ in range(500):
            try:
                if select.select([connection], [], [], 0.02)[0] and not connection.recv(1):
                    break
                connection.sendall(b"1")
            except ConnectionError:
                break
        else:
            return
        given_up.append(True)

    return reply


@pytest.mark.parametrize(
    ("path", "beginning"),
    [
        (DISCOVERY, b""),
        (KEYS, b"HTTP/1.1 200 OK\r\nX-Long: "),
        (KEYS, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"),
        (KEYS, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
    ],
)
def test_endless_response_times_out(beginning: bytes, path: str, bank: Bank, environment: pytest.MonkeyPatch):
    environment.setattr(oidc, "TIME_LIMIT", 0.2)
    given_up: list[bool] = []
    with Server(reply=dripping(beginning, given_up)) as server:
        if path == KEYS:
            bank.discovery["jwks_uri"] = server.url
        else:
            bank.trusted(environment, ISSUER=server.url)
        assert refused(bank.token(iss=env.read("ISSUER"))) is Reason.UNAVAILABLE
        server.wait()
    assert given_up


def test_both_documents_share_one_time_limit(bank: Bank, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(oidc, "TIME_LIMIT", 0.4)
    answer = bank.answer

    def slowly(path: str) -> tuple[int, dict[str, str], bytes]:
        time.sleep(0.25)
        return answer(path)

    monkeypatch.setattr(bank, "answer", slowly)
    assert refused(bank.token()) is Reason.UNAVAILABLE


def test_endless_dns_lookup_times_out_and_its_result_is_dropped(bank: Bank, monkeypatch: pytest.MonkeyPatch):
    over, looked_up, real = threading.Event(), 0, socket.getaddrinfo

    def look_up(*given: Any, **options: Any) -> Any:
        nonlocal looked_up
        looked_up += 1
        over.wait(10)
        return real(*given, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with monkeypatch.context() as hasty:
        hasty.setattr(oidc, "TIME_LIMIT", 0.1)
        for _ in range(3):
            assert refused(bank.token()) is Reason.UNAVAILABLE
            oidc.clear_cache()
    assert (looked_up, bank.asked) == (1, [])
    over.set()
    assert oidc.verify(bank.token())
    assert (looked_up, bank.asked) == (3, [DISCOVERY, KEYS])


@pytest.mark.parametrize(
    ("address", "trusted", "good"), [("127.0.0.1", True, True), ("127.0.0.1", False, False), ("127.0.0.2", True, False)]
)
def test_https_certificate_must_be_trusted_and_the_issuers(
    address: str, trusted: bool, good: bool, tmp_path: Path, environment: pytest.MonkeyPatch
):
    authority = Authority(tmp_path, "authority")
    with Bank(authority.server(hosts=[address])) as bank:
        bank.trusted(environment)
        if trusted:
            environment.setenv("SSL_CERT_FILE", str(authority.bundle))
        oidc._context.cache_clear()
        try:
            if good:
                assert oidc.verify(bank.token())
            else:
                assert refused(bank.token()) is Reason.UNAVAILABLE
        finally:
            oidc._context.cache_clear()


def test_discovery_document_of_another_issuer_is_refused(bank: Bank):
    bank.discovery["issuer"] = bank.url + "/"
    assert refused(bank.token()) is Reason.UNAVAILABLE
    assert bank.asked == [DISCOVERY]


@pytest.mark.parametrize(
    "url",
    ["http://issuer.example/keys", "http://127.0.0.1.example/keys", "file:///etc/passwd", "ftp://127.0.0.1/keys", 5],
)
def test_keys_are_fetched_only_over_https_or_from_loopback(bank: Bank, url: Any, monkeypatch: pytest.MonkeyPatch):
    bank.discovery["jwks_uri"] = url
    opened: list[str] = []
    monkeypatch.setattr("socket.getaddrinfo", lambda host, *_, **__: opened.append(host) or [])
    assert refused(bank.token()) is Reason.UNAVAILABLE
    assert "issuer.example" not in opened


def test_discovery_path_is_below_the_issuers_path(environment: pytest.MonkeyPatch):
    with Bank() as bank:
        bank.url += "/realms/bank/"
        bank.discovery["issuer"] = bank.url
        bank.answers["/realms/bank" + DISCOVERY] = (200, {}, json.dumps(bank.discovery).encode())
        bank.trusted(environment)
        assert oidc.verify(bank.token())
