"""Signature Version 4 of requests to AWS's JSON services."""

import hashlib
import hmac
import time
from functools import lru_cache

from bindery.aws.credentials import Credentials


def head(
    *,
    credentials: Credentials,
    region: str,
    service: str,
    host: str,
    path: str,
    content_type: str,
    body: bytes,
    target: str = "",
    query: str = "",
    method: str = "POST",
    canonical_path: str = "",
    invocation: str = "",
    moment: float | None = None,
) -> bytes:
    """Return the head of a signed HTTP request. `query` is canonical, and `path` unless `canonical_path` is set.

    `invocation` is the type of an invocation of Lambda.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment))
    headers = f"content-type:{content_type}\nhost:{host}\nx-amz-date:{stamp}\n"
    signed = "content-type;host;x-amz-date"
    if invocation:
        headers += f"x-amz-invocation-type:{invocation}\n"
        signed += ";x-amz-invocation-type"
    if credentials.token:
        headers += f"x-amz-security-token:{credentials.token}\n"
        signed += ";x-amz-security-token"
    if target:
        headers += f"x-amz-target:{target}\n"
        signed += ";x-amz-target"
    canonical = f"{method}\n{canonical_path or path}\n{query}\n{headers}\n{signed}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = _signing_key(credentials.secret_key, stamp[:8], region, service)
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return (
        (
            f"{method} {path}{query and '?' + query} HTTP/1.1\n{headers}content-length:{len(body)}\n"
            f"authorization:AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope},"
            f" SignedHeaders={signed}, Signature={signature}\n\n"
        )
        .replace("\n", "\r\n")
        .encode()
    )


@lru_cache(maxsize=4)
def _signing_key(secret_key: str, *scope: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (*scope, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
