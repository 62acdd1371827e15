"""The outside checker: it accepts exports of correct histories, and names the event that shows a fault in others."""

import ast
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.check_history import main
from tools.template import ROOT

CHECKER = ROOT / "tools/check_history.py"
MODULES = {"__future__", "argparse", "hashlib", "json", "sys", "typing"}
"""Modules that the checker may import. All of them are in Python 3.8."""

ADA = {"kind": "user", "id": "a" * 32}
BEN = {"kind": "user", "id": "b" * 32}
TWO_OWNERS = f"two owners: binding b1 of user {ADA['id']}"
TWO_BINDINGS = "two bindings of one holder"
MALFORMED = "is incomplete or malformed"
SHARE = f"share with user {BEN['id']}"
OPERATOR = "arn:aws:iam::123456789012:user/operator"

Event = dict[str, Any]
Check = Callable[..., tuple[int, list[str]]]


def bound(binding: str, holder: dict[str, str] = ADA, *, exclusive: bool = True) -> tuple[str, Event]:
    return "device.bound", {"binding": binding, "holder": holder, "exclusive": exclusive}


def unbound(binding: str, holder: dict[str, str] = ADA) -> tuple[str, Event]:
    return "device.unbound", {"binding": binding, "holder": holder, "cause": "holder"}


def share(end: str, binding: str, user: dict[str, str] = BEN) -> tuple[str, Event]:
    return f"device.share_{end}", {"binding": binding, "holder": ADA, "user": user}


def of(kind: str, **data: Any) -> tuple[str, Event]:
    return kind, data


def sealed(event: Event) -> Event:
    """Return an event with the hash of its content, as anyone can compute it."""
    covered = [event[name] for name in ("id", "type", "at", "seq", "previous", "data")]
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"))
    return event | {"hash": hashlib.sha256(text.encode()).hexdigest()}


def chain(*facts: tuple[str, Event], first: int = 1, name: str = "ZGV2aWNl") -> list[Event]:
    """Return the events of a device with these types and data, correctly linked."""
    events: list[Event] = []
    for seq, (kind, data) in enumerate(facts, first):
        previous = events[-1]["hash"] if events else "" if seq == 1 else "0" * 64
        event = {
            "id": hashlib.sha256(f"{name} {seq}".encode()).hexdigest()[:32],
            "type": kind,
            "at": 1_790_000_000_000 + seq,
            "chain": name,
            "seq": seq,
            "previous": previous,
            "data": {"device": name, "api": "quectel", **data},
        }
        events.append(sealed(event))
    return events


LIFE = [
    of("device.registered"),
    bound("b1"),
    of("device.online", binding="b1"),
    of("device.shared", binding="b1", holder=ADA),
    share("accepted", "b1"),
    of("connection.opened", connection="c1", user=BEN),
    of("device.banned", operator=OPERATOR, reason="Grüße"),
    of("device.unbanned", operator=OPERATOR),
    of("device.banned", operator=OPERATOR, reason="again"),
    share("ended", "b1"),
    unbound("b1"),
    of("connection.ended", connection="c1"),
    of("device.offline", binding="b1"),
    of("device.renamed", binding="b1", holder=ADA),
    of("device.shared", binding="b1", holder=ADA),
    bound("b2", BEN),
]
SHARED_DEVICE = [
    of("device.registered"),
    bound("b1", exclusive=False),
    bound("b2", BEN, exclusive=False),
    share("accepted", "b1", {"kind": "user", "id": "c" * 32}),
    unbound("b2", BEN),
    bound("b3", BEN, exclusive=False),
    unbound("b1"),
    share("ended", "b1", {"kind": "user", "id": "c" * 32}),
]
ACCOUNT = [
    of("operator.created", subject={"kind": "account", "id": "acme"}, operator=OPERATOR),
    of("operator.changed", subject={"kind": "account", "id": "acme"}, operator=OPERATOR),
]


def of_an_account() -> list[Event]:
    events = chain(*ACCOUNT, name="YWNjb3VudA")
    for event in events:
        del event["data"]["device"]
    first = sealed(events[0])
    return [first, sealed(events[1] | {"previous": first["hash"]})]


def export(path: Path, *parts: list[Event]) -> list[str]:
    names = []
    for number, events in enumerate(parts):
        file = path / f"{number}.ndjson"
        file.write_text("".join(f"{json.dumps(event, ensure_ascii=False)}\n" for event in events), encoding="utf-8")
        names.append(str(file))
    return names


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Check:
    """Return the exit code for some files and the printed lines."""

    def run(*files: str) -> tuple[int, list[str]]:
        code = main(files)
        printed = capsys.readouterr()
        assert printed.err == ""
        return code, printed.out.splitlines()

    return run


def test_correct_exports_have_no_problem(tmp_path: Path, check: Check) -> None:
    life, shared = chain(*LIFE), chain(*SHARED_DEVICE, name="c2hhcmVk")
    # In the order of recording, chains are mixed, and exports that were continued overlap.
    files = export(tmp_path, [*life[:9], *shared, *life[7:]], [*reversed(life[3:]), *of_an_account()])
    assert check(*files) == (0, ["26 events in 3 chains: no problem found"])
    # Some events have expired.
    assert check(*export(tmp_path, life[11:], shared[4:])) == (0, ["9 events in 2 chains: no problem found"])


def test_erased_person_may_have_another_pseudonym(tmp_path: Path, check: Check) -> None:
    """The end of what an erased person held can be recorded after the erasure."""
    erased = {"binding": "b1", "cause": "erased"}
    facts = [
        bound("b1"),
        share("accepted", "b1"),
        of("device.share_ended", holder=ADA, user={"kind": "user", "id": "d" * 32}, **erased),
        of("device.unbound", holder={"kind": "user", "id": "e" * 32}, **erased),
    ]
    assert check(*export(tmp_path, chain(*facts))) == (0, ["4 events in 1 chains: no problem found"])


def test_program_reads_standard_input() -> None:
    lines = "".join(f"{json.dumps(event)}\n" for event in chain(*LIFE))
    done = subprocess.run(
        [sys.executable, "-I", CHECKER, "-"], input=lines, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "16 events in 1 chains: no problem found\n")


def test_unreadable_file_is_not_a_correct_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "missing")]) == 2
    assert "No such file" in capsys.readouterr().err


def changed(events: list[Event]) -> None:
    events[4]["data"]["user"] = ADA


def removed(events: list[Event]) -> None:
    del events[6:8]


def replaced(events: list[Event]) -> None:
    events[6] = sealed(events[6] | {"data": events[6]["data"] | {"reason": "lost"}})


def inserted(events: list[Event]) -> None:
    events.insert(3, sealed(events[2] | {"id": "0" * 32}))


def moved(events: list[Event]) -> None:
    events[2] = sealed(events[2] | {"seq": 4})
    events[3] = sealed(events[3] | {"seq": 3, "previous": events[1]["hash"]})


def beheaded(events: list[Event]) -> None:
    events[0] = sealed(events[0] | {"previous": "0" * 64})


def of_another_device(events: list[Event]) -> None:
    events[-1] = sealed(events[-1] | {"data": events[-1]["data"] | {"device": "b3RoZXI"}})


@pytest.mark.parametrize(
    ("tamper", "seq", "line", "what"),
    [
        (changed, 5, 5, "the event was changed: it does not have its hash"),
        (removed, 9, 7, "2 events before this one are missing"),
        (replaced, 8, 8, "previous is not the hash of the event before"),
        (inserted, 3, 4, "another event has this number ({file}, line 3)"),
        (moved, 4, 3, "previous is not the hash of the event before"),
        (beheaded, 1, 1, "the first event of a chain has a previous one"),
        (of_another_device, 16, 16, "the event is of another device than its chain"),
    ],
)
def test_tampered_export_is_detected(tmp_path: Path, check: Check, tamper: Any, seq: int, line: int, what: str) -> None:
    events = chain(*LIFE)
    tamper(events)
    (file,) = export(tmp_path, events)
    code, lines = check(file)
    assert code == 1
    assert f"{file}, line {line}, chain ZGV2aWNl, seq {seq}: {what.format(file=file)}" in lines


@pytest.mark.parametrize(
    ("facts", "seq", "what"),
    [
        ([bound("b1"), bound("b2", BEN)], 2, f"{TWO_OWNERS} has not ended"),
        ([bound("b1"), bound("b2", exclusive=False)], 2, f"{TWO_OWNERS} has not ended"),
        ([bound("b2", BEN), unbound("b1")], 2, f"{TWO_OWNERS} had not ended when another began"),
        ([bound("b1", exclusive=False), bound("b2", exclusive=False)], 2, f"{TWO_BINDINGS}: b1 has not ended"),
        ([bound("b1"), unbound("b1"), bound("b1")], 3, "binding b1 begins a second time"),
        ([bound("b1"), unbound("b1"), unbound("b1")], 3, "binding b1 ends a second time"),
        ([bound("b1"), unbound("b1", BEN)], 2, f"binding b1 was that of user {ADA['id']}, not of user {BEN['id']}"),
        ([bound("b1"), share("accepted", "b1"), unbound("b1")], 3, f"binding b1 ends before its {SHARE}"),
        ([bound("b1"), unbound("b1"), share("accepted", "b1")], 3, "binding b1 has ended"),
        ([bound("b1"), share("accepted", "b2")], 2, "binding b2 has not begun"),
        ([bound("b1"), share("ended", "b1")], 2, f"there is no {SHARE}"),
        ([bound("b1"), *[share("accepted", "b1")] * 2], 3, f"the {SHARE} has not ended"),
        ([bound("b1"), unbound("b1"), of("device.online", binding="b1")], 3, "binding b1 has ended"),
        ([of("device.banned")] * 2, 2, "device.banned follows another, without device.unbanned between them"),
        ([of("device.enabled")] * 2, 2, "device.enabled follows another, without device.disabled between them"),
        ([of("connection.opened", connection="c")] * 2, 2, "connection c begins a second time"),
        ([of("connection.ended", connection="c")] * 2, 2, "connection c ends a second time"),
        ([of("device.registered")] * 2, 2, "the device was registered before"),
        ([of("device.bound", binding="b1", holder=ADA)], 1, f"data of device.bound {MALFORMED}: 'exclusive'"),
    ],
)
def test_impossible_history_is_detected(tmp_path: Path, check: Check, facts: list[Any], seq: int, what: str) -> None:
    """The hashes of these histories are right."""
    (file,) = export(tmp_path, chain(*facts))
    code, (found, _) = check(file)
    assert (code, found) == (1, f"{file}, line {seq}, chain ZGV2aWNl, seq {seq}: {what}")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "Expecting property name enclosed in double quotes: line 2 column 1 (char 2)"),
        ("[]", "not an event"),
        ('{"id": "a", "id": "b"}', "an object has a member twice"),
        ('{"id": 1}', "not an event: id is missing or not of type str"),
        ("[" * 200_000, "not an event"),
    ],
)
def test_line_that_is_not_an_event_is_reported(tmp_path: Path, check: Check, line: str, what: str) -> None:
    file = tmp_path / "export"
    file.write_text(f"{line}\n")
    code, (found, _) = check(str(file))
    assert (code, found) == (1, f"{file}, line 1: {what}")


def test_checker_runs_on_python_3_8_without_other_packages() -> None:
    tree = ast.parse(CHECKER.read_text(), feature_version=(3, 8))
    imported = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert imported <= MODULES
