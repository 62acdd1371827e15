"""Hostile requests: each is derived from a valid event and has a name that describes the change."""

import base64
import copy
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from tests.properties import scale

Event = dict[str, Any]
Named = tuple[str, Event]

INTERNAL = re.compile(
    r"Traceback|botocore|boto3|dynamodb|pydantic|validation error|/opt/|/var/task|\.py\b|Exception|Errno", re.I
)
"""Patterns that a response must never contain."""

LIMIT = 16 * 1024
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 10**30, 2**31, -(2**63) - 1, [], ["a"], {}, {"a": {"b": []}}, "", " \t\n", "\x00"),
    *("a\x00b", "\x1b[31m", "\u202e", "\ufeff", "DEVICE\u200b123", "\u3164", "02:00:00:00:00:00"),
    *("\ud800", "\udfff\ud800"),
    *("e\u0301" * 60, "é" * 128, "\U0001d160" * 254, "\u1f80" * 64, "%" * 512, "x" * 129, "x" * 15_000, "#", "%23"),
    *("owner", "user#ada", "../../etc/passwd", "{parameters}", "{0.__class__}", "%s%n", "'; DROP TABLE devices; --"),
    *("${jndi:ldap://x}", "<script>alert(1)</script>", "attribute_not_exists(pk)", "true", "NaN"),
    "１２",  # noqa: RUF001 (digits that are not ASCII)
)
"""Replacements for each parameter."""
SOME = slice(None, None, scale.rounds(4, 1))
"""All of a corpus in the full form, every fourth element in the short form."""
LONG = tuple(character * size for character in ("\U0001d4b3", "\U0001d160", "#") for size in (128, 512))
"""Texts that are longer in a key: characters of four bytes, of which NFC makes twelve, and an escaped character.
`tests.key_sizes` refuses keys that are too long for DynamoDB, moto does not."""

FORBIDDEN = (
    *("pk", "sk", "owner", "holder", "status", "account", "banned_at", "binding", "uid", "role", "collection", "acc"),
    *("ban_status", "banned_by", "bindingMode", "bound_at", "caller", "card-status", "leases", "created_at", "sub"),
    *("credential", "changed_by", "CreatedRecordStatus", "customer", "customer-id", "data_center", "device", "domain"),
    *("device_key", "dialect", "disabled", "enabled", "expires_at", "gen", "generation", "grant", "holder-id", "user"),
    *("identifier", "inactive", "installation-id", "is-primary", "masked-card-number", "mode", "push-id", "series"),
    *("push-expiration-date", "serial", "share", "shares", "holder_sort", "unbind", "userId", "device_management"),
)
"""Record attributes, token claims, and fields of responses, which callers must not set."""

EVIL = "planted by the caller"

RAW: tuple[str, ...] = (
    *("", "%00", "%FF", "%ED%A0%80", "%EF%BF%BF", "%C3%A9", "e%CC%81", "%2F", "%2e%2e", "%", "%zz", "+", "2147483648"),
    *("-2147483649", "1e3", "0x10", "1_0", "%EF%BC%91", "a" * 9000),
)
"""Raw query values as they appear in the URL."""

BODIES: tuple[tuple[str, bytes], ...] = (
    ("empty", b""),
    ("blank", b" \r\n\t"),
    ("null", b"null"),
    ("a number", b"1"),
    ("a string", b'"model"'),
    ("an array", b"[]"),
    ("an array of the body", b"[{}]"),
    ("no JSON", b"{model: 1}"),
    ("NaN", b'{"model": NaN}'),
    ("infinity", b'{"model": -Infinity}'),
    ("a number of 16,000 digits", b'{"model":' + b"9" * 16_000 + b"}"),
    ("a huge exponent", b'{"model": 1e999999}'),
    ("nested arrays", b"[" * 8000 + b"]" * 8000),
    ("nested objects", b'{"a":' * 2700 + b"1" + b"}" * 2700),
    ("nested and cut", b'{"a":' * 3000),
    ("two objects", b"{}{}"),
    ("a byte order mark", b"\xef\xbb\xbf{}"),
    ("UTF-16", '{"model":"a"}'.encode("utf-16")),
    ("UTF-32", '{"model":"a"}'.encode("utf-32-le")),
    ("Latin-1", '{"model":"é"}'.encode("latin-1")),
    ("overlong UTF-8", b'{"model":"\xc0\xaf"}'),
    ("an encoded surrogate", b'{"model":"\xed\xa0\x80"}'),
    ("a NUL", b'{"model":"a"}\x00'),
    ("a form", b"model=a&serial_number=b"),
    ("XML", b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'),
    ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"),
    ("a multipart without parts", b"--x--\r\n"),
    ("a multipart cut", b'--x\r\nContent-Disposition: form-data; name="mac_address"\r\n\r\nA1'),
    ("a multipart of odd names", b"--x\r\nContent-Disposition: form-data; name*=utf-8''%ZZ\r\n\r\na\r\n--x--\r\n"),
)

TYPES = (
    *(None, "application/json", "application/json; charset=utf-7", "text/plain", "application/x-www-form-urlencoded"),
    *("multipart/form-data", "multipart/form-data; boundary=x", "multipart/form-data; boundary*=utf-8''%00"),
    *("multipart/form-data; boundary*0=x; boundary*=x", "x" * 500, "\xff\xfe"),
)

HEADERS = ("", "é\xff", " ", "\x00", "x" * 10_000, "a.b.c", "\ud800")
"""Replacements for each header."""


def everything(good: Event) -> Iterator[Named]:
    """Yield every hostile request derived from a valid one."""
    yield planted(good)
    yield from bodies(good)
    yield from members(good)
    yield from queries(good)
    yield from paths(good)
    yield from headers(good)


def planted(good: Event) -> Named:
    """Return a request that also tries to set every forbidden field, and is otherwise valid."""
    given, evil = given_of(good), dict.fromkeys(FORBIDDEN, EVIL)
    query = dict(parse_qsl(good.get("rawQueryString", ""), keep_blank_values=True))
    made = good if given is None else with_body(good, json.dumps(evil | given).encode())
    return "forbidden fields", made | {"rawQueryString": urlencode(evil | query)}


def bodies(good: Event) -> Iterator[Named]:
    """Yield requests with other bodies, other content types and wrong encoding flags."""
    for name, body in BODIES[SOME]:
        yield f"body: {name}", with_body(good, body)
    text = body_of(good)
    if text is None:
        return
    for kind in TYPES[SOME]:
        sent = with_body(good, text.encode())
        sent["headers"].pop("content-type", None)
        yield f"type: {kind}", sent | {"headers": sent["headers"] | ({} if kind is None else {"content-type": kind})}
    for cut in range(1, len(text), max(1, len(text) // 12)):
        yield f"body cut at {cut}", with_body(good, text[:cut].encode())
    for size in (LIMIT - 1, LIMIT, LIMIT + 1, 10 * LIMIT):
        yield f"body of {size} bytes", with_body(good, text.encode().ljust(size))
    yield (
        "body base64, flag says text",
        good | {"body": base64.b64encode(text.encode()).decode(), "isBase64Encoded": False},
    )
    yield "body text, flag says base64", good | {"body": text, "isBase64Encoded": True}
    yield "body of lone surrogates", good | {"body": '{"model":"\ud800"}', "isBase64Encoded": False}
    if (given := given_of(good)) is not None:
        twice = "{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in [*given.items()] * 2) + "}"
        yield "every member twice", with_body(good, twice.encode())
        other = "{" + ",".join([*(f"{json.dumps(name)}:[]" for name in given), text.strip().lstrip("{")])
        yield "every member twice, differently", with_body(good, other.encode())


def members(good: Event) -> Iterator[Named]:
    """Yield requests with each body field set to each hostile value or missing, and with forbidden fields."""
    given = given_of(good)
    if given is None:
        return
    for name in given:
        yield f"without {name}", with_body(good, json.dumps({k: v for k, v in given.items() if k != name}).encode())
        for value in (*VALUES[SOME], *LONG):
            yield f"{name} = {_short(value)}", with_body(good, json.dumps(given | {name: value}).encode())
    yield "prototype", with_body(good, json.dumps(given | {"__proto__": {"a": 1}, "__class__": 1, "": 1}).encode())


def queries(good: Event) -> Iterator[Named]:
    """Yield requests with each query parameter set to each raw value, repeated and missing."""
    given = parse_qsl(good.get("rawQueryString", ""), keep_blank_values=True)
    for position, (name, value) in enumerate(given):
        others = given[:position] + given[position + 1 :]
        yield f"without ?{name}", good | {"rawQueryString": urlencode(others)}
        yield f"?{name} twice", good | {"rawQueryString": urlencode([*given, (name, value)])}
        for raw in RAW[SOME]:
            rest = urlencode(others)
            yield f"?{name}={raw[:20]}", good | {"rawQueryString": f"{rest}&{name}={raw}"}
        for other in (*VALUES[SOME], *LONG):
            if isinstance(other, str):
                text = quote(other.encode("utf-8", "surrogatepass"))
                yield f"?{name}={_short(other)}", good | {"rawQueryString": f"{urlencode(others)}&{name}={text}"}
    for raw in ("&&&", "=&=", "a" * 9000, "%", ";".join(["a=1"] * 500), "&".join(["a=1"] * 2000)):
        yield f"query {raw[:10]}", good | {"rawQueryString": raw}


def paths(good: Event) -> Iterator[Named]:
    """Yield requests with each path parameter set to each text, decoded as by API Gateway."""
    for name in good.get("pathParameters") or {}:
        for value in (*VALUES[SOME], *LONG):
            if isinstance(value, str) and value:
                yield f"/{name}={_short(value)}", good | {"pathParameters": good["pathParameters"] | {name: value}}


def headers(good: Event) -> Iterator[Named]:
    """Yield requests with each header missing, blank, long, repeated, and with invalid characters."""
    for name, value in good["headers"].items():
        others = {k: v for k, v in good["headers"].items() if k != name}
        yield f"without {name}", good | {"headers": others}
        for other in (*HEADERS, f"{value},{value}", value[:-1], f"{value} x")[SOME]:
            yield f"{name}: {_short(other)}", good | {"headers": others | {name: other}}


def body_of(event: Event) -> str | None:
    """Return an event's body as text, if it has one."""
    body = event.get("body")
    if not body:
        return None
    return base64.b64decode(body).decode() if event.get("isBase64Encoded") else str(body)


def given_of(event: Event) -> dict[str, Any] | None:
    """Return the fields of an event's body, if any: from JSON, or from a form, which may also be sent as JSON."""
    text = body_of(event)
    if text is None or text.lstrip().startswith("{"):
        return None if text is None else json.loads(text)
    kind = event["headers"].get("content-type", "")
    return dict(parse_qsl(text)) if kind.startswith("application/x-www-form-urlencoded") else None


def with_body(good: Event, body: bytes) -> Event:
    made = copy.deepcopy(good)
    return made | {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def _short(value: Any) -> str:
    return repr(value)[:30]
