"""The work of a request is at most linear in its length: twice the length means at most twice the work."""

import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest

from bindery.aws import clients
from bindery.http.operation import Operation
from tests.http_api import invoke
from tests.properties import hostile
from tests.properties.staging import Stage
from tests.properties.world import Event

Stages = Callable[[str, str], Stage]

EMAIL = "multipart/form-data; boundary=x"
FORM = "application/x-www-form-urlencoded"

SHAPES: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "nested arrays": ("", lambda size: b"[" * (size // 2) + b"]" * (size // 2)),
    "nested objects": ("", lambda size: b'{"a":' * (size // 6) + b"1" + b"}" * (size // 6)),
    "members": ("", lambda size: b"{%s}" % b",".join(b'"%05d":0' % number for number in range(size // 10))),
    "one repeated member": ("", lambda size: b"{%s}" % b",".join([b'"model":"a"'] * (size // 12))),
    "numbers": ("", lambda size: b'{"a":[%s]}' % b",".join([b"1"] * (size // 2 - 5))),
    "one number": ("", lambda size: b'{"a":%s}' % (b"9" * (size - 6))),
    "a text of escapes": ("", lambda size: b'{"model":"%s"}' % (b"\\u0301" * (size // 6 - 3))),
    "a text of combining marks": ("", lambda size: b'{"model":"e%s"}' % ("\u0301\u0316" * (size // 4 - 4)).encode()),
    "a text of spaces": ("", lambda size: b'{"model":"%s"}' % (b" " * (size - 12))),
    "blanks": ("", lambda size: b" " * size),
    "pairs of a form": (FORM, lambda size: b"&".join([b"a=1"] * (size // 4))),
    "separators of a form": (FORM, lambda size: b"&" * size),
    "escapes of a form": (FORM, lambda size: b"a=" + b"%25" * (size // 3 - 1)),
    "parts": (EMAIL, lambda size: b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * (size // 51)),
    "empty parts": (EMAIL, lambda size: b"--x\r\n\r\n" * (size // 7)),
    "lines of a part": (EMAIL, lambda size: b"--x\r\n\r\n" + b"\n" * (size - 7)),
    "header lines of a part": (EMAIL, lambda size: b"--x\r\n" + b"a:\n" * (size // 3 - 2)),
    "parameters of a part": (EMAIL, lambda size: b"--x\r\nContent-Disposition: a" + b";b=c" * (size // 4 - 8)),
    "pieces of a parameter": (
        EMAIL,
        lambda size: (
            b"--x\r\nContent-Disposition: a" + b"".join(b";name*%d*=a" % number for number in range(size // 14 - 3))
        ),
    ),
    "quotes of a part": (EMAIL, lambda size: b"--x\r\nContent-Disposition: a;name=" + b'\\"' * (size // 2 - 20)),
    "brackets of a part": (EMAIL, lambda size: b"--x\r\nContent-Disposition: a" + b"(" * (size - 30)),
}
"""Contents of a body, with content type and a function of the approximate size. Each is expensive per byte."""

QUERY = 8 * 1024
"""About the longest body that API Gateway accepts."""
PER_BYTE = 20
"""Function calls per byte. The maximum, 14, is reached by a form with one part for every seven bytes."""
SET_UP = 500
"""Function calls that a request needs regardless of its length."""

OPERATIONS = ("rufus.bind_device", "vodlix.add_device")
"""Operations with a JSON body, and with one that may be a form."""


def asked(good: Event, kind: str, body: bytes) -> Event:
    return hostile.with_body(good, body) | {"headers": good["headers"] | ({"content-type": kind} if kind else {})}


def work(name: str, request: Event) -> int:
    """Return the number of function calls that an operation makes outside its calls to AWS, which is deterministic."""
    made = 0
    answer, ask = Operation.__call__, clients.call

    def count(frame: Any, event: str, arg: Any) -> None:
        nonlocal made
        made += event in ("call", "c_call")

    def answered(operation: Any, *args: Any) -> Any:
        sys.setprofile(count)
        try:
            return answer(operation, *args)
        finally:
            sys.setprofile(None)

    def asked(*args: Any, **request: Any) -> Any:
        sys.setprofile(None)
        try:
            return ask(*args, **request)
        finally:
            sys.setprofile(count)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Operation, "__call__", answered)
        patch.setattr(clients, "call", asked)
        # Garbage collection skips the tests' own objects, of which there are far more than in Lambda.
        gc.freeze()
        try:
            invoke(name, request)
        finally:
            gc.unfreeze()
    return made


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_work_is_at_most_linear_in_the_body_length(name: str, shape: str, stage: Stages) -> None:
    good, (kind, make) = stage(name, name.partition(".")[0]).request(), SHAPES[shape]
    work(name, good)
    half, whole = (asked(good, kind, make(size)) for size in (hostile.LIMIT // 2, hostile.LIMIT))
    few, many = work(name, half), work(name, whole)
    assert many <= 2 * few + SET_UP
    assert many <= PER_BYTE * hostile.LIMIT


@pytest.mark.parametrize("raw", ["a=1&", "a&", "%25", ";", "sn=", "+"])
def test_work_is_at_most_linear_in_the_query_length(raw: str, stage: Stages) -> None:
    name = "quectel.bind_device_sn"
    good = stage(name, name.partition(".")[0]).request()
    work(name, good)
    few, many = (work(name, good | {"rawQueryString": raw * (size // len(raw))}) for size in (QUERY // 2, QUERY))
    assert many <= 2 * few + SET_UP
    assert many <= PER_BYTE * QUERY


def test_oversized_body_is_not_parsed(stage: Stages) -> None:
    good = stage("vodlix.add_device", "vodlix").request()
    longer = [asked(good, EMAIL, SHAPES["parts"][1](size)) for size in (2 * hostile.LIMIT, 20 * hostile.LIMIT)]
    work("vodlix.add_device", longer[0])
    assert len({work("vodlix.add_device", request) for request in longer}) == 1
