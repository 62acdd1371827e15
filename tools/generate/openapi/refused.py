"""Errors in the OpenAPI document.

Errors in the request's form are found by sending invalid variants of the event.
"""

import json
from collections.abc import Iterator, Mapping
from string import Formatter
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from bindery.core.errors import Reason, Refused
from bindery.http.messages import Call
from bindery.http.operation import Invalid, Operation, parse_request
from tools import template
from tools.generate.openapi.asked import body_of, names_of, shown_name

Event = Mapping[str, Any]

OF_THE_FORM = frozenset({Reason.MALFORMED, Reason.PARAMETER_MISSING, Reason.INVALID})
"""Reasons that operations do not declare."""

_ADDRESS = "80:00:00:00:00:00:00:F1"
_NAMES_ITS_DEVICE = {("rufus.unbind_device", Reason.DEVICE_UNKNOWN), ("rufus.open_session", Reason.DEVICE_UNKNOWN)}
"""Errors that name the request's deviceid."""

_WRONG: tuple[str | list[str], ...] = ("x" * 1000, "\x07", ["one", "two"])
"""Values that most parameters refuse: too long, not printable, repeated."""

_ANYBODY = SimpleNamespace(confirm=lambda: None, look_up=lambda reason: None)
"""Caller with valid credentials."""


def refusals(operation: Operation[Any, Any], event: Event) -> Iterator[Refused]:
    """Yield an operation's errors in its dialect's order."""
    found = provoked(operation, event)
    for reason in operation.dialect.REFUSALS:
        if reason in OF_THE_FORM:
            yield from (fault for came, (_, fault) in found.items() if came is reason)
        elif reason in operation.refuses and can_refuse(operation, reason):
            yield Refused(reason, **_detail(operation, reason, event))


def can_refuse(operation: Operation[Any, Any], reason: Reason) -> bool:
    """Return True if a declared reason can occur. Only writes can conflict."""
    return reason is not Reason.CONFLICT or template.function(operation.name).writes


def provoked(operation: Operation[Any, Any], event: Event) -> dict[Reason, tuple[Event, Refused]]:
    """Return an invalid event and its error for each reason."""
    found: dict[Reason, tuple[Event, Refused]] = {}
    for wrong in _put_wrong(operation, event):
        try:
            parse_request(operation.request, Call(wrong))
        except Invalid as invalid:
            fault = operation.dialect.invalid(invalid.problems, _ANYBODY)
            found.setdefault(fault.reason, (wrong, fault))
        except Refused as fault:
            found.setdefault(fault.reason, (wrong, fault))
    return found


def _put_wrong(operation: Operation[Any, Any], event: Event) -> Iterator[Event]:
    """Yield invalid variants of an event."""
    model, in_path = operation.request, event.get("pathParameters") or {}
    for name in in_path:
        yield from (dict(event, pathParameters=in_path | {name: value}) for value in _WRONG if isinstance(value, str))
    named = [names_of(shown_name(name, info), info) for name, info in model.model_fields.items()]
    names = [names[0] for names in named if not in_path.keys() & set(names)]
    if "query" in model.source:
        given: dict[str, Any] = dict(parse_qsl(event.get("rawQueryString", "")))
    elif model.source in ("body", "form"):
        given = body_of(event) or {}
        yield _with(event, "{")
    else:
        return
    for asked in (
        {},
        *({known: value for known, value in given.items() if known != name} for name in names),
        *(given | {name: value} for value in _WRONG for name in names),
    ):
        if "query" in model.source:
            yield dict(event, rawQueryString=urlencode(asked, doseq=True))
        else:
            yield _with(event, json.dumps(asked))


def _with(event: Event, body: str) -> Event:
    return dict(event, body=body, isBase64Encoded=False)


def _detail(operation: Operation[Any, Any], reason: Reason, event: Event) -> dict[str, str]:
    refusal = operation.dialect.REFUSALS[reason]
    if (operation.name, reason) in _NAMES_ITS_DEVICE:
        return {"deviceid": (event.get("pathParameters") or body_of(event))["deviceid"]}
    texts = (refusal.text, *refusal.headers.values())
    names = {name for text in texts for _, name, _, _ in Formatter().parse(text) if name}
    return {name: _ADDRESS if name == "address" else name for name in names}
