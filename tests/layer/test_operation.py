"""Request handling in all dialects: parameters are parsed, and every failure gets a response and one ERROR line."""

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest

from bindery.aws.errors import ConnectionFailed
from bindery.core.errors import HotKey, Reason, Refused
from bindery.http import operation as handling
from bindery.http.fields import Identifier128, Text128
from bindery.http.messages import Access, Body, Call, Flaw, Form, Query, Request
from bindery.http.operation import Operation, operation
from bindery.rufus import dialect
from tests.http_api import event

pytestmark = pytest.mark.usefixtures("environment")


class Echo(dialect.Created):
    description: str


class Identified(Body):
    name: Identifier128


class Named(Body):
    name: Text128


class NamedForm(Form):
    name: Text128


class NamedQuery(Query):
    name: Text128


def read(model: type[Request], request: dict[str, Any]) -> Any:
    return handling.parse_request(model, Call(request)).name  # type: ignore[attr-defined]


def problems(model: type[Request], request: dict[str, Any]) -> list[tuple[str, Flaw]]:
    with pytest.raises(handling.Invalid) as caught:
        handling.parse_request(model, Call(request))
    return [(problem.parameter, problem.flaw) for problem in caught.value.problems]


def post(body: str | bytes | None, content_type: str | None = None, **changes: Any) -> dict[str, Any]:
    return event("POST", "/", headers={"content-type": content_type} if content_type else {}, body=body) | changes


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('{"name": " a "}', "a"),
        (b'{"name": "a"}', "a"),
        ('\t\n{"name": "\u00e9"}', "é"),
        ('{"name": "a", "name": "b"}', "b"),
        *((text, "a") for text in ('{"name": "a", "other": 1e999}', '\ufeff{"name": "a"}')),
        (b'\xef\xbb\xbf{"name": "a"}', "a"),
    ],
)
def test_json_object_is_read_and_its_text_trimmed(body: str | bytes, name: str) -> None:
    assert read(Named, post(body)) == name


@pytest.mark.parametrize(
    "request_",
    [
        post(None),
        post(""),
        post("null"),
        post("[1]"),
        post('{"name": "a"'),
        post('{"name": Infinity}'),
        post('{"name": -NaN}'),
        post("\ufeff\ufeff{}"),
        post('{"name": "a"}'.encode("utf-16")),
        post(b"\xff{}"),
        post('{"a":' * 8000),
        post('{"name": "' + "é" * 8187 + '"}'),
        post("not base64!", isBase64Encoded=True),
        post("\u20ac", isBase64Encoded=True),
        post('{"name": "\udc80"}'),
    ],
)
def test_body_must_be_a_json_object_of_at_most_16_kib(request_: dict[str, Any]) -> None:
    assert problems(Named, request_) == [("", Flaw.MALFORMED)]
    assert problems(NamedForm, request_) == [("", Flaw.MALFORMED)]


@pytest.mark.parametrize(
    ("value", "flaw"),
    [
        *((text, Flaw.MISSING) for text in ("null", '""', '" \\n\\t\\u00a0"')),
        *((text, Flaw.WRONG_TYPE) for text in ("7", "true", "{}")),
        (f'"{"a" * 129}"', Flaw.TOO_LONG),
        *((text, Flaw.INVALID) for text in ('"a\\u0000b"', '"a\\u001bb"', '"a\\u0085b"', '"\\ud800"')),
    ],
)
def test_invalid_parameter_reports_its_flaw(value: str, flaw: Flaw) -> None:
    assert problems(Named, post(f'{{"name": {value}}}')) == [("name", flaw)]


def test_identifier_length_is_limited_by_its_key() -> None:
    # Each of these characters becomes three in NFC, the form used in keys.
    text = post(f'{{"name": "{chr(0x1D160) * 86}"}}')
    assert problems(Identified, text) == [("name", Flaw.TOO_LONG)]
    assert handling.parse_request(Named, Call(text))


@pytest.mark.parametrize(
    ("content_type", "body", "name"),
    [
        ("application/x-www-form-urlencoded", b"name=a+b%2Bc&x=1", "a b+c"),
        ("application/x-www-form-urlencoded; charset=UTF-8", "name=\u00e9".encode(), "é"),
        ("Application/X-WWW-Form-Urlencoded", b"name=%C3%A9", "é"),
        ("application/x-www-form-urlencoded", b'{"name": 2.10}', "2.10"),
        ("text/plain", b'{"name": 1e2}', "1e2"),
        (
            'multipart/form-data; boundary="b"',
            b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xc3\xa9\r\n--b--\r\n',
            "é",
        ),
    ],
)
def test_form_or_json_is_read_with_numbers_as_text(content_type: str, body: bytes, name: str) -> None:
    assert read(NamedForm, post(body, content_type)) == name


FORM, PARTS = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"


def parts(*parameters: bytes) -> bytes:
    """Return a multipart body with a part for each of these parameters of Content-Disposition."""
    head = b"--b\r\nContent-Disposition: form-data"
    return b"".join(head + each + b"\r\n\r\nv\r\n" for each in parameters) + b"--b--\r\n"


@pytest.mark.parametrize(
    ("content_type", "body", "problem"),
    [
        (FORM, b"", ("name", Flaw.MISSING)),
        (FORM, b"name=a&name=b", ("name", Flaw.WRONG_TYPE)),
        (FORM, b"name=%ff", ("name", Flaw.INVALID)),
        ("multipart/form-data", b"nonsense", ("name", Flaw.MISSING)),
        *(
            (PARTS, body, ("name", Flaw.MISSING))
            for body in (b"--b\r\n\r\nx\r\n--b--", parts(b"; name*0*"), parts(b" " + b"(" * 3000))
        ),
        (f"{PARTS}; name*0*", parts(b'; name="other"'), ("name", Flaw.MISSING)),
        (PARTS, parts(*[b'; name="name"'] * 2), ("name", Flaw.WRONG_TYPE)),
        (PARTS, parts(b"; name*0=name; name*=name"), ("", Flaw.MALFORMED)),
        ("multipart/form-data; boundary*0=b; boundary*=b", parts(b'; name="name"'), ("", Flaw.MALFORMED)),
    ],
)
def test_invalid_form_is_refused(content_type: str, body: bytes, problem: Any) -> None:
    assert problems(NamedForm, post(body, content_type)) == [problem]


def test_repeated_or_undecodable_query_parameter_is_refused() -> None:
    def get(query: str) -> dict[str, Any]:
        return event("GET", "/", query=query)

    assert read(NamedQuery, get("name=%E2%82%AC+1&other=1&other=2")) == "€ 1"
    assert problems(NamedQuery, get("name=a&name=a")) == [("name", Flaw.WRONG_TYPE)]
    assert problems(NamedQuery, get("name=%ff")) == [("name", Flaw.INVALID)]
    assert problems(NamedQuery, get("name=")) == [("name", Flaw.MISSING)]
    assert problems(NamedQuery, get("")) == [("name", Flaw.MISSING)]


def test_body_cannot_override_a_path_parameter() -> None:
    request = event("POST", "/", body='{"name": "body"}', path_parameters={"name": "path"})
    assert read(Named, request) == "path"


def echoing(error: Exception | None = None) -> Operation[Named, str]:
    @operation(SimpleNamespace(**vars(dialect) | {"authenticate": lambda call, access: "caller"}), Access.WRITE)
    def handler(request: Named, caller: str) -> Echo:
        """Echo the name, or raise an error."""
        if error:
            raise error
        return Echo(description=request.name)

    return handler


def answers(handler: Operation[Any, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[dict[str, Any]]]:
    """Return the handler's response and the lines it logged."""
    written = io.StringIO()
    monkeypatch.setattr(handling.logger.registered_handler, "stream", written)
    answer = handler(event("POST", "/", body='{"name": "secret-name"}'), None)
    return answer, [json.loads(line) for line in written.getvalue().splitlines()]


@pytest.mark.parametrize(
    "error",
    [
        KeyError("internal detail"),
        Refused(Reason.BOUND_BY_ANOTHER),
        Refused(Reason.INTERNAL),
        ConnectionFailed("EndpointConnectionError"),
    ],
)
def test_bug_or_undeclared_reason_is_logged_as_internal_error(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, lines = answers(echoing(error), monkeypatch)
    assert answer["statusCode"] == 500
    assert answer["body"] == '{"description":"Internal server error"}'
    assert [(line["level"], line["request_id"]) for line in lines] == [("ERROR", "request-1"), ("INFO", "request-1")]
    assert lines[0]["message"] == "internal error"
    assert "secret-name" not in str(lines)


def test_outage_is_not_logged_as_internal_error(monkeypatch: pytest.MonkeyPatch) -> None:
    _, lines = answers(echoing(Refused(Reason.UNAVAILABLE)), monkeypatch)
    assert lines[0]["message"] == "a service could not be reached"


def test_throttled_key_range_is_a_conflict_and_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, lines = answers(echoing(HotKey(Reason.UNAVAILABLE, "TableWriteKeyRangeThroughputExceeded")), monkeypatch)
    conflict, _ = answers(echoing(Refused(Reason.CONFLICT)), monkeypatch)
    assert answer == conflict
    assert answer["headers"]["Retry-After"] == "1"
    assert [line["level"] for line in lines] == ["WARNING", "INFO"]
    assert lines[0]["throttled"] == "TableWriteKeyRangeThroughputExceeded"
    assert lines[0]["request_id"] == lines[1]["request_id"]


def test_request_is_logged_in_one_line_with_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, (line,) = answers(echoing(), monkeypatch)
    assert (answer["statusCode"], answer["body"]) == (201, '{"description":"secret-name"}')
    assert line["message"] == "tests.layer.test_operation"
    assert (line["status"], line["request_id"], "reason" in line) == (201, "request-1", False)
    assert "secret-name" not in str(line)
    assert len(json.dumps(line)) < 600


def test_number_with_too_many_digits_for_python_is_malformed() -> None:
    assert problems(Named, post('{"n": ' + "1" * 5000 + "}")) == [("", Flaw.MALFORMED)]
