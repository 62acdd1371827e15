"""HTTP client for the admin API."""

import json
import os
import random
import re
import stat
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError

SERVICE = "execute-api"
PAGE = 100
"""Maximum number of entries per page."""
REGION = "eu-central-1"
"""Region of local servers."""
ATTEMPTS = 7
"""Maximum number of attempts: about half a minute."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""Hosts of local servers."""

_REGION = re.compile(r"\.execute-api\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?\Z")
_READ_ITS_KEYS = (
    "Run the command in the folder where `make run` started that server, or load its credentials: . …/demo.env"
)


class Exit(IntEnum):
    """Exit codes of failed commands."""

    REFUSED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    FORBIDDEN = 5
    UNAVAILABLE = 6


_BY_STATUS = {
    422: Exit.USAGE,
    401: Exit.FORBIDDEN,
    403: Exit.FORBIDDEN,
    404: Exit.NOT_FOUND,
    409: Exit.CONFLICT,
    429: Exit.UNAVAILABLE,
    502: Exit.UNAVAILABLE,
    503: Exit.UNAVAILABLE,
    504: Exit.UNAVAILABLE,
}


class Failure(Exception):
    """A failed command."""

    def __init__(self, code: Exit, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class _Signature(httpx.Auth):
    requires_request_body = True

    def __init__(self, credentials: Any, region: str) -> None:
        self._credentials = credentials
        self._region = region

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        headers = {name: request.headers[name] for name in ("host", "content-type") if name in request.headers}
        unsigned = AWSRequest(request.method, str(request.url), headers, request.content)
        # Not cached: a role's credentials are refreshed during a long import.
        SigV4Auth(self._credentials.get_frozen_credentials(), SERVICE, self._region).add_auth(unsigned)
        for name, value in unsigned.headers.items():
            request.headers[name] = value
        yield request


class Client:
    """Client of the admin API at an endpoint. Thread-safe."""

    def __init__(self, endpoint: str, credentials: Any, region: str) -> None:
        self.endpoint = endpoint.rstrip("/")
        url = httpx.URL(endpoint)
        # Requests to a local server must not go through a proxy. Without TLS, do not load certificates: it is slow.
        away, tls = url.host not in LOOPBACK, url.scheme != "http"
        self.http = httpx.Client(timeout=httpx.Timeout(60, connect=10), trust_env=away, verify=tls)
        self._signature = _Signature(credentials, region)

    def close(self) -> None:
        """Close all connections."""
        self.http.close()

    def ask(
        self,
        method: str,
        *path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        attempts: int = 1,
    ) -> Any:
        """Send a request to `/admin/v1/<path>`, without query parameters that are None. Raises `Failure`.

        With several attempts, retry with exponential back-off while the API is unavailable.
        """
        url = "/".join([self.endpoint, "admin/v1", *(quote(part, safe="") for part in path)])
        headers = {} if body is None else {"content-type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        for attempt in range(1, attempts + 1):
            try:
                answer = self.http.request(
                    method, url, params=given or None, headers=headers, content=content, auth=self._signature
                )
                if answer.is_success:
                    return answer.json()
                text = problem(answer, path, {**given, **(body or {})})
                failure = Failure(_BY_STATUS.get(answer.status_code, Exit.REFUSED), text)
            except httpx.TransportError as error:
                failure = Failure(Exit.UNAVAILABLE, f"cannot reach {self.endpoint}: {error or repr(error)}")
            except BotoCoreError as error:
                raise Failure(Exit.FORBIDDEN, f"cannot sign the request: {error}") from None
            except ValueError:
                failure = Failure(Exit.UNAVAILABLE, f"{self.endpoint} did not return JSON. Is it a Bindery endpoint?")
            if failure.code is not Exit.UNAVAILABLE or attempt == attempts:
                break
            time.sleep(random.uniform(0.5, 1) * 0.5 * 2 ** (attempt - 1))  # noqa: S311 (jitter is not a secret)
        raise failure

    def probe(self, method: str, path: str, *, signed: bool) -> httpx.Response:
        """Send an empty request to any path of the endpoint. Raises `httpx.TransportError`."""
        return self.http.request(method, self.endpoint + path, auth=self._signature if signed else None)

    def get(self, *path: str, **query: Any) -> Any:
        """Send a GET request."""
        return self.ask("GET", *path, query=query)

    def post(self, *path: str, **body: Any) -> Any:
        """Send a POST request with a JSON body."""
        return self.ask("POST", *path, body=body or None)

    def pages(self, *path: str, limit: int | None, **query: Any) -> Iterator[Any]:
        """Yield at most `limit` entries of a list, or all, then `MORE` if there are more."""
        left, cursor = limit, None
        while left is None or left > 0:
            page = self.get(*path, **query, limit=PAGE if left is None else min(left, PAGE), cursor=cursor)
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return
            left = None if left is None else left - len(page["items"])
        yield MORE


MORE = object()
"""Marker after the last entry of an incomplete list."""


_NOUNS = {
    "accounts": ("account", "account"),
    "keys": ("key", "id"),
    "users": ("user", "uid"),
    "domains": ("user domain", "domain"),
    "products": ("product", "product_key"),
    "families": ("family", "fid"),
    "devices": ("device", "device"),
    "webhooks": ("webhook", "id"),
    "settings": ("setting", "name"),
    "privacy": ("user", "uid"),
}
"""Name and identifying member of each resource's entries."""

_CONFIDENTIAL = frozenset({"password", "secret"})
"""Members whose values are not printed."""


def problem(answer: httpx.Response, path: Sequence[str], sent: Mapping[str, Any]) -> str:
    """Return the message for an error response."""
    try:
        found = answer.json()
        title = found.get("title") or found["message"]
        lines = [_error(error, path, sent) for error in found.get("errors", ())]
    except (ValueError, LookupError, AttributeError, TypeError):
        return f"HTTP {answer.status_code}: this is not a response of Bindery's admin API"
    if answer.status_code == 403 and "title" not in found:
        here = answer.url.host in LOOPBACK
        why = (
            f"the key pair may belong to another local server. {_READ_ITS_KEYS}"
            if here
            else "check the key pair, the region and the clock"
        )
        return f"{title}: the endpoint rejected the signature; {why}"
    if lines:
        return lines[0] if len(lines) == 1 else "\n  ".join([f"{title}:", *lines])
    if detail := found.get("detail"):
        return str(detail)
    noun, member = _NOUNS.get(path[0], ("", ""))
    named = path[1] if len(path) > 1 else sent.get(member)
    outcome = {"not_found": "not found", "already_exists": "already exists"}.get(found.get("reason"))
    return f"{noun} {named!r} {outcome}" if noun and named and outcome else f"{title} (HTTP {answer.status_code})"


def _error(error: Mapping[str, str], path: Sequence[str], sent: Mapping[str, Any]) -> str:
    place, *inner = error["at"].removeprefix("body.").removeprefix("path.").removeprefix("query.").split(".")
    value = sent.get(place)
    if place not in sent:
        # Neither in the query nor in the body, so in the path: the entry's identifier, or the last part.
        member = _NOUNS.get(path[0], ("", ""))[1]
        value = path[1] if place == member and len(path) > 1 else path[-1] if len(path) > 2 else None
    for step in inner:
        value = value[int(step)] if isinstance(value, list) and step.isdigit() and int(step) < len(value) else None
    shown = "" if value is None or place in _CONFIDENTIAL else f" {value!r}"
    return f"{place}{shown}: {error['message']}"


def connect(endpoint: str | None, profile: str | None, region: str | None) -> Client:
    """Return a client for `endpoint`, else BINDERY_ENDPOINT, else the local server. Raises `Failure`."""
    found, local = _locate(endpoint, or_local=profile is None)
    host = httpx.URL(found).host
    if host in LOOPBACK and profile is None:
        return Client(found, _local_key_pair(found, local), region or (local.region if local else REGION))
    return _deployed(found, host, profile, region)


def base_url(endpoint: str | None) -> str:
    """Return `endpoint`, else BINDERY_ENDPOINT, else the local server's. Raises `Failure`."""
    return _locate(endpoint, or_local=True)[0].rstrip("/")


def _locate(endpoint: str | None, *, or_local: bool) -> "tuple[str, _Local | None]":
    found = endpoint or os.environ.get("BINDERY_ENDPOINT")
    local = _local() if or_local and not found else None
    if local is not None:
        found = local.endpoint
        sys.stderr.write(f"bindery: using the local server {found} ({local.file})\n")
    if not found:
        raise Failure(
            Exit.USAGE, "no endpoint. Use --endpoint, set BINDERY_ENDPOINT, or start a local server: make run"
        )
    url = httpx.URL(found)
    if url.scheme not in ("http", "https") or not url.host:
        raise Failure(Exit.USAGE, f"{found!r} is not an endpoint. Example: https://api.example.com")
    if url.scheme == "http" and url.host not in LOOPBACK:
        raise Failure(Exit.USAGE, f"{found} does not use https. Only a local server can be reached over http")
    return found, local


def _local_key_pair(endpoint: str, local: "_Local | None") -> Credentials:
    """Return the key pair of the environment, else of admin.json."""
    access_key_id = os.environ.get("BINDERY_ACCESS_KEY_ID")
    secret_access_key = os.environ.get("BINDERY_SECRET_ACCESS_KEY")
    if access_key_id and secret_access_key:
        return Credentials(access_key_id, secret_access_key)
    local = local or _local()
    if local is None:
        raise Failure(Exit.USAGE, f"no key pair for {endpoint}. {_READ_ITS_KEYS}")
    if httpx.URL(local.endpoint).port != httpx.URL(endpoint).port:
        raise Failure(
            Exit.USAGE, f"the key pair in {local.file} is for {local.endpoint}, not for {endpoint}. {_READ_ITS_KEYS}"
        )
    return Credentials(local.access_key_id, local.secret_access_key)


def _deployed(endpoint: str, host: str, profile: str | None, region: str | None) -> Client:
    import boto3  # slow to import, and not needed for a local server

    try:
        session = boto3.Session(profile_name=profile)
        credentials = session.get_credentials()
    except BotoCoreError as error:
        raise Failure(Exit.USAGE, str(error)) from None
    if credentials is None:
        raise Failure(Exit.FORBIDDEN, "no AWS credentials. Use --profile, or sign in with the AWS CLI")
    told = _REGION.search(host)
    where = region or (told[1] if told else session.region_name)
    if where is None:
        raise Failure(Exit.USAGE, "cannot tell the AWS region of the endpoint. Use --region")
    return Client(endpoint, credentials, where)


class _Local(NamedTuple):
    """Content of a local server's admin.json."""

    file: Path
    endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str


def _local() -> _Local | None:
    """Return the local server of the current folder, else of this checkout.

    Raises `Failure` if the file is not trusted: it decides where secrets are sent.
    """
    for folder in (Path(), Path(__file__).resolve().parents[2]):
        file = folder / ".local" / "admin.json"
        try:
            with open(file, opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW)) as opened:
                owned = os.fstat(opened.fileno())
                content = json.load(opened)
            found = _Local(file, **content)
            url = httpx.URL(found.endpoint)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError, httpx.InvalidURL) as error:
            raise _untrusted(file, f"cannot be read ({error})") from None
        if owned.st_uid != os.geteuid():
            raise _untrusted(file, f"belongs to another user (uid {owned.st_uid})")
        if owned.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise _untrusted(file, "is writable by other users")
        if url.scheme != "http" or url.host not in LOOPBACK:
            raise _untrusted(file, f"names {found.endpoint}, which is not a server on this machine")
        return found
    return None


def _untrusted(file: Path, why: str) -> Failure:
    return Failure(Exit.USAGE, f"{file} {why}, so it is not used. Remove it, or use --endpoint")
