"""A bank's OpenID Connect issuer on loopback, which publishes its keys and signs tokens for tests."""

import json
import socketserver
import ssl
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from bindery.core import env

AUDIENCE = "bindery"
CUSTOMER = "MIGR00002"
OTHER = "MIGR00003"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """Return the RSA key of this name, created once."""
    return rsa.generate_private_key(65537, 2048)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key of this name, created once."""
    return ec.generate_private_key(ec.SECP256R1())


def public(key_id: str, key: PrivateKey, **members: Any) -> dict[str, Any]:
    """Return a key in the form in which an issuer publishes it."""
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {"kid": key_id, "use": "sig", **json.loads(algorithm.to_jwk(key.public_key())), **members}


class Bank:
    """Issuer with one RSA key, `key-1`, that runs inside `with`. It uses HTTPS if it gets a TLS context."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.keys = [public("key-1", rsa_key("key-1"))]
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        """Responses by path that replace the issuer's own documents."""
        self.asked: list[str] = []
        """The path of every request so far."""

    def __enter__(self) -> "Bank":
        bank = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                bank.asked.append(self.path)
                status, headers, body = bank.answer(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'' if self._tls is None else 's'}://127.0.0.1:{self._server.server_address[1]}"
        self.discovery = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Return the response to a path."""
        documents = {"/.well-known/openid-configuration": self.discovery, "/keys": {"keys": self.keys}}
        if path in self.answers:
            return self.answers[path]
        return (200, {}, json.dumps(documents[path]).encode()) if path in documents else (404, {}, b"")

    def trusted(self, monkeypatch: pytest.MonkeyPatch, **changes: str) -> None:
        """Set the settings to this issuer."""
        for name, value in {"ISSUER": self.url, "AUDIENCE": AUDIENCE, **changes}.items():
            monkeypatch.setenv(name, value)
        env.clear_cache()

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a valid token with these changes; None removes a claim."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": CUSTOMER, "iat": now, "exp": now + 300, **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self, key: PrivateKey | None = None, algorithm: str = "RS256", key_id: str | None = "key-1", **changes: Any
    ) -> str:
        """Return a token with these claims, signed with `key-1` unless another key is given."""
        header = {} if key_id is None else {"kid": key_id}
        return jwt.encode(self.claims(**changes), key or rsa_key("key-1"), algorithm, header)
