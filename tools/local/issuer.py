"""Local OpenID Connect issuer, in place of the bank's."""

import json
import time
import uuid

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

PATH = "/issuer"
ALGORITHM = "RS256"


def new_key() -> str:
    """Return a new private key in PEM format."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


class Issuer:
    """Issuer at `url` that signs with the private key `pem`."""

    def __init__(self, url: str, pem: str) -> None:
        self.url = url
        self.pem = pem
        key = serialization.load_pem_private_key(pem.encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        self._key = key
        public = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
        self._id = uuid.uuid5(uuid.NAMESPACE_OID, public["n"]).hex
        self._public = {"kty": public["kty"], "n": public["n"], "e": public["e"]} | {
            "kid": self._id,
            "use": "sig",
            "alg": ALGORITHM,
        }

    def token(self, claims: dict[str, str], lifetime: int) -> str:
        """Return an access token that is valid for `lifetime` seconds."""
        now = int(time.time())
        times = {"iss": self.url, "iat": now, "nbf": now, "exp": now + lifetime, "jti": uuid.uuid4().hex}
        return jwt.encode(claims | times, self._key, ALGORITHM, headers={"kid": self._id})

    def routes(self) -> list[Route]:
        """Return the routes for discovery and the key set."""

        async def configuration(request: Request) -> JSONResponse:
            return JSONResponse(
                {
                    "issuer": self.url,
                    "jwks_uri": f"{self.url}/keys",
                    "response_types_supported": ["token"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": [ALGORITHM],
                }
            )

        async def keys(request: Request) -> JSONResponse:
            return JSONResponse({"keys": [self._public]})

        return [
            Route(f"{PATH}/.well-known/openid-configuration", configuration),
            Route(f"{PATH}/keys", keys),
        ]
