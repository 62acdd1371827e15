"""AWS signatures (Version 4) on the local server's admin API.

The server has its own key pair, which is valid nowhere else.
"""

import hashlib
import hmac
import json
import re
import secrets
import string
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPMessage
from pathlib import Path
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from starlette.requests import Request

from tools import files
from tools.local import engine

ACCOUNT = "000000000000"
SERVICE = "execute-api"
CLOCK_SKEW = 300
"""Maximum difference between date and clock, in seconds."""

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=([^\s,]+)[, ] *SignedHeaders=([^\s,]+)[, ] *Signature=([0-9a-f]{64})"
)


@dataclass(frozen=True)
class Operator:
    """Operator of the local server, with a key pair."""

    access_key_id: str
    secret_access_key: str

    def claims(self) -> dict[str, Any]:
        """Return `requestContext.authorizer` of a signed request."""
        return {
            "iam": {
                "accessKey": self.access_key_id,
                "accountId": ACCOUNT,
                "callerId": "AIDALOCALOPERATOR",
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": f"arn:aws:iam::{ACCOUNT}:user/local-operator",
                "userId": "AIDALOCALOPERATOR",
            }
        }

    def signed(self, request: Request, body: bytes) -> bool:
        """Return True if a request has a current, valid signature."""
        given: dict[str, str] = {}
        for name, value in request.headers.items():
            given[name] = f"{given[name]},{value}" if name in given else value
        found = _AUTHORIZATION.fullmatch(given.get("authorization", ""))
        stamp = given.get("x-amz-date", "")
        if found is None or not _recent(stamp):
            return False
        credential, names, signature = found.groups()
        if credential != f"{self.access_key_id}/{stamp[:8]}/{engine.REGION}/{SERVICE}/aws4_request":
            return False
        signed = {name: given[name] for name in names.split(";") if name in given}
        if "host" not in signed or any(name.startswith("x-amz-") and name not in signed for name in given):
            return False
        # botocore does not check the body against this hash.
        if given.get("x-amz-content-sha256") not in (None, hashlib.sha256(body).hexdigest()):
            return False
        target = request.scope["raw_path"] + b"?" + request.scope["query_string"]
        if b"#" in target:
            # botocore would drop the rest as a fragment.
            return False
        expected = self._signature(request.method, target.decode("latin-1"), signed, body, stamp)
        return hmac.compare_digest(signature, expected)

    def _signature(self, method: str, target: str, headers: dict[str, str], body: bytes, stamp: str) -> str:
        signer = _Signer(Credentials(self.access_key_id, self.secret_access_key), SERVICE, engine.REGION)
        sent = AWSRequest(method, f"http://local{target}", headers, body)
        sent.context["timestamp"] = stamp
        return signer.signature(signer.string_to_sign(sent, signer.canonical_request(sent)), sent)


class _Signer(SigV4Auth):
    def headers_to_sign(self, request: AWSRequest) -> Any:
        # Use the headers that the client signed, not those that botocore would choose.
        signed = HTTPMessage()
        for name, value in request.headers.items():
            signed[name] = value
        return signed


def operator() -> Operator:
    """Return the local operator, created at the first start."""
    kept: dict[str, str] = json.loads(engine.keep("AdminKeyPair", _new))
    return Operator(**kept)


def write(path: Path, url: str, operator: Operator) -> None:
    """Write the command line's endpoint and key pair."""
    found = {
        "endpoint": url,
        "region": engine.REGION,
        "access_key_id": operator.access_key_id,
        "secret_access_key": operator.secret_access_key,
    }
    files.replace(path, json.dumps(found, indent=2) + "\n")


def _new() -> str:
    letters = string.ascii_uppercase + "234567"
    return json.dumps(
        {
            "access_key_id": "LOCAL" + "".join(secrets.choice(letters) for _ in range(15)),
            "secret_access_key": secrets.token_urlsafe(30),
        }
    )


def _recent(stamp: str) -> bool:
    try:
        sent = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    return abs((datetime.now(UTC) - sent).total_seconds()) <= CLOCK_SKEW
