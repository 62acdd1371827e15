"""Who may use the local server's admin API: AWS Signature Version 4, as API Gateway checks it, by one key pair.

The key pair is the server's own and opens nothing but it. What a signature must be is recomputed by botocore, over the
request as it was received.
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

from tools import engine, files

ACCOUNT = "000000000000"
SERVICE = "execute-api"
CLOCK_SKEW = 300
"""Seconds by which a request's date may differ from the server's."""

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=([^\s,]+)[, ] *SignedHeaders=([^\s,]+)[, ] *Signature=([0-9a-f]{64})"
)


@dataclass(frozen=True)
class Operator:
    """A key pair, and what API Gateway tells functions of whoever signs with it."""

    access_key_id: str
    secret_access_key: str

    def claims(self) -> dict[str, Any]:
        """`requestContext.authorizer` of a request that this key pair signed."""
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
        """Whether a request carries this key pair's signature of it, for this service and region, dated now."""
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
        # botocore takes the sender's word for the body's hash.
        if given.get("x-amz-content-sha256") not in (None, hashlib.sha256(body).hexdigest()):
            return False
        target = request.scope["raw_path"] + b"?" + request.scope["query_string"]
        if b"#" in target:
            # To botocore the rest would be no part of the address.
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
        # Those that the sender signed, whichever botocore itself would choose.
        signed = HTTPMessage()
        for name, value in request.headers.items():
            signed[name] = value
        return signed


def operator() -> Operator:
    """The key pair of the local server, made at its first start."""
    kept: dict[str, str] = json.loads(engine.keep("AdminKeyPair", _new))
    return Operator(**kept)


def write(path: Path, url: str, operator: Operator) -> None:
    """Write down where the local server is and how to sign for it, for the command line."""
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
