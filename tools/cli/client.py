"""The admin API over HTTP, each request signed (AWS Signature Version 4)."""

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
"""Entries of a page of a list at most."""
REGION = "eu-central-1"
"""The region that local servers have."""
ATTEMPTS = 7
"""How often a request is sent that may be repeated: half a minute of an API that is not there."""

_REGION = re.compile(r"\.execute-api\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?\Z")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_READ_ITS_KEYS = (
    "Run the command in the folder of that server's `make run`, or read its credentials first: . …/demo.env"
)


class Exit(IntEnum):
    """What the exit code says."""

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
    """Why a command ends without having done its work: the exit code, and the text for the person."""

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
        # Read each time: those of a role are renewed while a long import runs.
        SigV4Auth(self._credentials.get_frozen_credentials(), SERVICE, self._region).add_auth(unsigned)
        for name, value in unsigned.headers.items():
            request.headers[name] = value
        yield request


class Client:
    """The admin API at an endpoint. Safe to use from several threads."""

    def __init__(self, endpoint: str, credentials: Any, region: str) -> None:
        self.endpoint = endpoint.rstrip("/")
        # No proxy stands between this machine and itself.
        away = httpx.URL(endpoint).host not in _LOOPBACK
        self.http = httpx.Client(timeout=httpx.Timeout(60, connect=10), trust_env=away)
        self._signature = _Signature(credentials, region)

    def close(self) -> None:
        """Close its connections."""
        self.http.close()

    def ask(
        self,
        method: str,
        *path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        attempts: int = 1,
    ) -> Any:
        """Ask `/admin/v1/<path>`, and return the answer's JSON. Members and parameters that are None are left out.

        Raises `Failure`. With more than one attempt, what was not available is asked again, after ever longer pauses.
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
                failure = Failure(Exit.UNAVAILABLE, f"{self.endpoint} cannot be reached: {error or repr(error)}")
            except BotoCoreError as error:
                raise Failure(Exit.FORBIDDEN, f"the request cannot be signed: {error}") from None
            except ValueError:
                failure = Failure(Exit.UNAVAILABLE, f"{self.endpoint} does not answer as Bindery does: is it one?")
            if failure.code is not Exit.UNAVAILABLE or attempt == attempts:
                break
            time.sleep(random.uniform(0.5, 1) * 0.5 * 2 ** (attempt - 1))  # noqa: S311 (jitter is no secret)
        raise failure

    def knock(self, method: str, path: str, *, signed: bool) -> httpx.Response:
        """Whatever answers any path of the endpoint. Raises `httpx.TransportError`."""
        return self.http.request(method, self.endpoint + path, auth=self._signature if signed else None)

    def get(self, *path: str, **query: Any) -> Any:
        """Read one thing."""
        return self.ask("GET", *path, query=query)

    def post(self, *path: str, **body: Any) -> Any:
        """Post a body with these members."""
        return self.ask("POST", *path, body=body or None)

    def pages(self, *path: str, limit: int | None, **query: Any) -> Iterator[Any]:
        """The entries of a list, page after page: `limit` of them at most, or all."""
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
"""What `pages` ends with where the list goes on."""


_NOUNS = {
    "accounts": ("account", "account"),
    "keys": ("key", "id"),
    "users": ("user", "uid"),
    "domains": ("user domain", "domain"),
    "products": ("product", "product_key"),
    "families": ("family", "fid"),
    "devices": ("device", "device"),
    "settings": ("setting", "name"),
    "privacy": ("user", "uid"),
}
"""What each resource's entries are called, and the member that identifies one."""

_CONFIDENTIAL = frozenset({"password", "secret"})
"""Members whose values are not repeated."""


def problem(answer: httpx.Response, path: Sequence[str], sent: Mapping[str, Any]) -> str:
    """A refusal in words. The API names the place of what is wrong; its value is known here, from the request."""
    try:
        found = answer.json()
        title = found.get("title") or found["message"]
        lines = [_error(error, path, sent) for error in found.get("errors", ())]
    except (ValueError, LookupError, AttributeError, TypeError):
        return f"HTTP {answer.status_code}, from something that is not Bindery's admin API"
    if answer.status_code == 403 and "title" not in found:
        here = answer.url.host in _LOOPBACK
        why = (
            f"the key pair may be another local server's. {_READ_ITS_KEYS}" if here else "check key pair, region, clock"
        )
        return f"{title}: the endpoint does not accept this signature; {why}"
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
        # What is named last in a path is what the request is about, but for the one that identifies the entry.
        member = _NOUNS.get(path[0], ("", ""))[1]
        value = path[1] if place == member and len(path) > 1 else path[-1] if len(path) > 2 else None
    for step in inner:
        value = value[int(step)] if isinstance(value, list) and step.isdigit() and int(step) < len(value) else None
    shown = "" if value is None or place in _CONFIDENTIAL else f" {value!r}"
    return f"{place}{shown}: {error['message']}"


def connect(endpoint: str | None, profile: str | None, region: str | None) -> Client:
    """Return a client of the API that is named, else of BINDERY_ENDPOINT, else of the local server.

    Requests to a local server are signed with its own key pair, others with that of the AWS profile. Raises `Failure`.
    """
    found = endpoint or os.environ.get("BINDERY_ENDPOINT")
    local = None if found or profile else _local()
    if local is not None:
        found = local.endpoint
        sys.stderr.write(f"bindery: using the local server {found} ({local.file})\n")
    if found is None:
        raise Failure(
            Exit.USAGE, "which Bindery? Give --endpoint or set BINDERY_ENDPOINT, or start a local one: make run"
        )
    url = httpx.URL(found)
    here = url.host in _LOOPBACK
    if url.scheme not in ("http", "https") or not url.host:
        raise Failure(Exit.USAGE, f"{found!r} is not an endpoint; an endpoint looks like https://api.example.com")
    if url.scheme == "http" and not here:
        raise Failure(Exit.USAGE, f"{found} is not encrypted: http is only for a local server")
    if here and profile is None:
        return Client(found, _local_key_pair(found, local), region or (local.region if local else REGION))
    return _deployed(found, url.host, profile, region)


def _local_key_pair(endpoint: str, local: "_Local | None") -> Credentials:
    """The key pair of the environment, else of the local server that is addressed. Raises `Failure`."""
    access_key_id = os.environ.get("BINDERY_ACCESS_KEY_ID")
    secret_access_key = os.environ.get("BINDERY_SECRET_ACCESS_KEY")
    if access_key_id and secret_access_key:
        return Credentials(access_key_id, secret_access_key)
    local = local or _local()
    if local is None:
        raise Failure(Exit.USAGE, f"no key pair for {endpoint}. {_READ_ITS_KEYS}")
    if httpx.URL(local.endpoint).port != httpx.URL(endpoint).port:
        raise Failure(
            Exit.USAGE, f"the key pair in {local.file} is that of {local.endpoint}, not of {endpoint}. {_READ_ITS_KEYS}"
        )
    return Credentials(local.access_key_id, local.secret_access_key)


def _deployed(endpoint: str, host: str, profile: str | None, region: str | None) -> Client:
    import boto3  # takes a while, which nobody needs who asks a local server

    try:
        session = boto3.Session(profile_name=profile)
        credentials = session.get_credentials()
    except BotoCoreError as error:
        raise Failure(Exit.USAGE, str(error)) from None
    if credentials is None:
        raise Failure(Exit.FORBIDDEN, "no AWS credentials: give --profile, or sign in with the AWS CLI")
    told = _REGION.search(host)
    where = region or (told[1] if told else session.region_name)
    if where is None:
        raise Failure(Exit.USAGE, "which AWS region is the endpoint in? Give --region")
    return Client(endpoint, credentials, where)


class _Local(NamedTuple):
    """A local server, as it describes itself in admin.json."""

    file: Path
    endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str


def _local() -> _Local | None:
    """The local server of this folder, else of this checkout. Raises `Failure` if its file cannot be trusted.

    Anyone can put a file into a shared folder, and it decides where requests and their secrets go.
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
            raise _untrusted(file, "can be changed by other users")
        if url.scheme != "http" or url.host not in _LOOPBACK:
            raise _untrusted(file, f"names {found.endpoint}, which is not a server on this machine")
        return found
    return None


def _untrusted(file: Path, why: str) -> Failure:
    return Failure(Exit.USAGE, f"{file} {why}, so it is not used. Remove it, or name the installation: --endpoint …")
