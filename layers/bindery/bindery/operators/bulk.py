"""Bulk changes: the same act on many devices, each in a transaction of its own.

A job is a client's: it sends its devices in parts, and repeats a part whose response was lost. What others changed
after the job began is left alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Read
from bindery.aws.expressions import Condition
from bindery.connectivity import device_connections, service_addresses
from bindery.core.errors import Reason, Refused
from bindery.operators import forced_unbind
from bindery.registry import devices, identity, items
from bindery.registry.items import ServiceKind

LIMIT = 100
"""Devices of a request."""

_WRITERS = 8
"""As many as the client has connections."""

_ATTEMPTS = 3
"""Attempts at a device that other operators change at the same time."""

Result = Literal["done", "unchanged", "refused"]

_CHANGED = "Changed since the job began, so it was left alone."


class Outcome(NamedTuple):
    """Result of a line, and why it was refused."""

    result: Result
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A client's job. Lines that it has changed are `done` when they are repeated."""

    began_at: int
    id: str | None = None
    reason: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A device's opaque id, and what some acts need."""

    device: str
    uid: str | None = None
    """The holder whose binding ends. Default: all."""
    address: str | None = None
    kind: ServiceKind | None = None
    port: int | None = None


class Found(NamedTuple):
    """A line and its device."""

    line: Line
    device: items.Device
    job: Job

    @property
    def key(self) -> str:
        """Key of the device."""
        return self.device["pk"]

    @property
    def unchanged(self) -> Condition:
        """Condition: no operator has changed the device since it was read."""
        return devices.as_read(self.device)

    def is_done(self) -> bool:
        """Return True if this job has changed the device."""
        return self.job.id is not None and self.device.get("changed_in", "").endswith(f"-{self.job.id}")

    def is_newer(self, *times: str) -> bool:
        """Return True if one of these times of the device is after the job began, unless the job changed it last."""
        stored: Mapping[str, object] = self.device
        last = self.device.get("changed_at", 0)
        if self.job.id is not None and self.device.get("changed_in") == dynamodb.changed_in(last, self.job.id):
            return False
        return any(isinstance(at := stored.get(name), int) and at > self.job.began_at for name in times)


Steps = Iterator[Callable[[], object]]


@dataclass(frozen=True, slots=True)
class Act:
    """An act: its `steps` on a device, none if it needs none. It raises `Refused`, or `_Newer`."""

    steps: Callable[[Found], Steps]
    needs_reason: bool = False


class _Newer(Exception):
    """The device was changed after the job began."""


def _change(
    holds: Callable[[items.Device], bool], change: Callable[[Found], object], *times: str
) -> Callable[[Found], Steps]:
    """Return the steps of an act after which `holds`; `times` are those of changes which it would revert."""

    def steps(found: Found) -> Steps:
        if not holds(found.device):
            if found.is_newer(*times):
                raise _Newer
            yield lambda: change(found)

    return steps


def _enabling(enabled: bool) -> Callable[[Found], Steps]:
    def steps(found: Found) -> Steps:
        if "device_key" not in found.device:
            raise Refused(Reason.INVALID, detail=devices.NOT_MANUFACTURED)
        yield from _change(
            lambda device: ("disabled" not in device) == enabled,
            lambda found: devices.set_enabled(found.key, enabled, found.unchanged),
            "changed_at",
        )(found)

    return steps


def _unbind(found: Found) -> Steps:
    bindings = list(_bindings(found))
    older = [binding for binding in bindings if binding.get("bound_at", 0) <= found.job.began_at]
    if bindings and not older:
        raise _Newer
    for binding in older:
        # Its condition is the binding's id, so a later binding is kept.
        yield partial(forced_unbind.end_unchanged, binding, found.job.reason)


def _bindings(found: Found) -> Iterator[items.Binding]:
    if found.line.uid is not None:
        binding = dynamodb.get(items.user_binding(found.key, found.line.uid))
        if binding is not None:
            yield binding
        return
    # The shares of a binding end with it.
    for binding in dynamodb.query(items.holders(found.key), consistent=True):
        if binding.get("kind") != "share" and forced_unbind.lasts(binding):
            yield binding


def _assign(found: Found) -> Steps:
    address = _address(found.line)
    if address is None:
        raise Refused(Reason.INVALID, detail="The line has no service address.")
    if address not in found.device.get("services", {}):
        if found.is_newer("changed_at"):
            raise _Newer
        kind, port = found.line.kind, found.line.port
        yield lambda: service_addresses.assign(address, found.key, kind, port, found.unchanged)


def _unassign(found: Found) -> Steps:
    address = _address(found.line)
    services = found.device.get("services", {})
    if services if address is None else address in services:
        if found.is_newer("changed_at"):
            raise _Newer
        yield lambda: service_addresses.withdraw_from(found.key, address, found.unchanged)


def _address(line: Line) -> str | None:
    if line.address is None:
        return None
    address = identity.service_address(line.address)
    if address is None:
        raise Refused(Reason.INVALID, detail=f"{line.address!r} is not a service address.")
    return address


ACTS: Mapping[str, Act] = {
    "ban": Act(
        _change(
            lambda device: "banned_at" in device,
            lambda found: device_connections.ban(found.key, found.job.reason, found.unchanged),
            "unbanned_at",
        ),
        needs_reason=True,
    ),
    "unban": Act(
        _change(
            lambda device: "banned_at" not in device,
            lambda found: devices.unban(found.key, found.unchanged),
            "banned_at",
        )
    ),
    "disable": Act(_enabling(False)),
    "enable": Act(_enabling(True)),
    "deactivate": Act(
        _change(
            lambda device: "inactive" in device,
            lambda found: devices.deactivate(found.key, found.unchanged),
            "changed_at",
        )
    ),
    "activate": Act(
        _change(
            lambda device: "inactive" not in device,
            lambda found: devices.activate(found.key, found.unchanged),
            "changed_at",
        )
    ),
    "unbind": Act(_unbind, needs_reason=True),
    "assign": Act(_assign),
    "unassign": Act(_unassign),
}

_PROBLEMS = {
    Reason.NOT_FOUND: "The device does not exist.",
    Reason.ALREADY_EXISTS: "A device has this service address already.",
    Reason.LIMIT_REACHED: f"The device has {service_addresses.LIMIT} service addresses already.",
}


def run(act: str, lines: Sequence[Line], job: Job) -> list[Outcome]:
    """Do an act on the devices of up to 100 lines, and return the outcome of each.

    Raises `UNAVAILABLE` or `CONFLICT` if the request must be repeated.
    """
    keys = [_key(line.device) for line in lines]
    reads = [Read(items.device(key)) for key in dict.fromkeys(keys) if key is not None]
    existing = dynamodb.get_many(reads) if reads else None

    def do(line: Line, key: str | None) -> Outcome:
        if key is None or existing is None:
            return Outcome("refused", "Not the id of a device.")
        return _do(ACTS[act], line, existing[items.device(key)], job)

    with dynamodb.acting(dynamodb.actor(), job.id):
        # Each in a context of its own, because the actor is in the context.
        contexts = [copy_context() for _ in lines]
    with ThreadPoolExecutor(_WRITERS) as writers:
        return list(writers.map(lambda context, *line: context.run(do, *line), contexts, lines, keys))


def _key(opaque: str) -> str | None:
    try:
        return identity.device_from_opaque(opaque)
    except Refused:
        return None


def _do(act: Act, line: Line, device: items.Device | None, job: Job) -> Outcome:
    for attempt in range(_ATTEMPTS):
        if device is None:
            return Outcome("refused", _PROBLEMS[Reason.NOT_FOUND])
        found = Found(line, device, job)
        try:
            steps = list(act.steps(found))
            if not steps:
                return Outcome("done" if found.is_done() else "unchanged")
            changes = [True] if job.dry_run else [step() for step in steps]
            return Outcome("unchanged" if changes == [False] else "done")
        except _Newer:
            return Outcome("refused", _CHANGED)
        except Refused as refused:
            if refused.reason in (Reason.INVALID, Reason.ALREADY_EXISTS, Reason.LIMIT_REACHED):
                return Outcome("refused", refused.detail.get("detail") or _PROBLEMS[refused.reason])
            if refused.reason not in (Reason.CONFLICT, Reason.NOT_FOUND) or attempt == _ATTEMPTS - 1:
                raise
        # It was changed concurrently.
        device = dynamodb.get(items.device(device["pk"]))
    raise AssertionError
