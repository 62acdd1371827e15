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
from bindery.aws.dynamodb import Batch, Read
from bindery.aws.expressions import Condition
from bindery.connectivity import device_connections, service_addresses
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.operators import device_deletion, device_search, forced_unbind, stock
from bindery.registry import devices, identity, items, ownership
from bindery.registry.items import ServiceKind

LIMIT = 100
"""Devices of a request."""

_WRITERS = 8
"""As many as the client has connections."""

_LONGEST = 128
"""Characters of an identifier."""

_SHOWN = 2
"""As many devices with a serial number as are needed to see that it is not unique."""

_ATTEMPTS = 3
"""Attempts at a device that other operators change at the same time."""

Result = Literal["done", "unchanged", "refused"]

_CHANGED = "Changed since the job began, so it was left alone."
_NOT_DONE = "Not changed by the job that is undone, or changed by another job since."


class Outcome(NamedTuple):
    """Result of a line, and why it was refused."""

    result: Result
    problem: str | None = None
    device: str | None = None
    """The device's opaque id, if the line names a device."""


class Report(NamedTuple):
    """Outcomes in the order of the lines, and when the job began and this part of it ended."""

    began_at: int
    ended_at: int
    outcomes: list[Outcome]


@dataclass(frozen=True, slots=True)
class Job:
    """A client's job. Lines that it has changed are `done` when they are repeated."""

    began_at: int
    id: str | None = None
    reason: str = ""
    undoes: str | None = None
    """The job that this one undoes. Only devices that it has changed are changed."""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A device, by its opaque id or an identifier, and what some acts need."""

    device: str | None = None
    product_key: str | None = None
    serial: str | None = None
    imei: str | None = None
    mac: str | None = None
    uid: str | None = None
    """The holder whose binding ends. Default: all."""
    address: str | None = None
    service: ServiceKind | None = None
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
        """Return True if this job has changed the device, after any other job."""
        return self._is_by(self.job.id)

    def is_undoable(self) -> bool:
        """Return False if this job undoes another, which did not change the device, or not as the last job."""
        return self.job.undoes is None or self._is_by(self.job.undoes) or self.is_done()

    def _is_by(self, job: str | None) -> bool:
        return job is not None and self.device.get("changed_in", "").endswith(f"-{job}")

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
    deletes: bool = False
    """True if the device does not exist afterwards."""


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
        """Raises `INVALID` for a device that is not manufactured."""
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
        service, port = found.line.service, found.line.port
        yield lambda: service_addresses.assign(address, found.key, service, port, found.unchanged)


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


def _lifting(kind: items.BanKind | None, lift: Callable[[Found], object]) -> Callable[[Found], Steps]:
    """Return the steps of an act that lifts a ban of a kind."""

    def steps(found: Found) -> Steps:
        """Raises `DEVICE_BANNED` for a ban of another kind."""
        if "banned_at" in found.device and found.device.get("ban_kind") != kind:
            state = ownership.state_of(found.device, held=False, offer=None)
            raise Refused(Reason.DEVICE_BANNED, detail=ownership.BANS[state].value)
        yield from _change(lambda device: "banned_at" not in device, lift, "banned_at")(found)

    return steps


def _lose(found: Found) -> Steps:
    # Whether it is held makes no difference.
    ownership.check(ownership.state_of(found.device, held=False, offer=None), ownership.Act.LOST)
    yield from _change(
        lambda device: device.get("ban_kind") == "lost",
        lambda found: device_connections.ban(found.key, found.job.reason, "lost", found.unchanged),
        "unbanned_at",
    )(found)


def _retire(found: Found) -> Steps:
    bindings = list(_bindings(found))
    ownership.check(ownership.state_of(found.device, held=bool(bindings), offer=None), ownership.Act.RETIRE)
    if found.device.get("ban_kind") != "retired" or bindings:
        _leave_alone(found, found.device, bindings)
        yield lambda: stock.retire(found.key, found.job.reason, partial(_leave_alone, found))


def _return(found: Found) -> Steps:
    bindings = list(_bindings(found))
    if "ban_kind" in found.device or bindings or dynamodb.get(items.device_key(found.key)) is not None:
        _leave_alone(found, found.device, bindings)
        yield lambda: stock.take_back(found.key, found.job.reason, partial(_leave_alone, found))


def _leave_alone(found: Found, device: items.Device, bindings: Sequence[items.Binding]) -> None:
    """Raise `_Newer` if a device, or a binding that an act would end, was changed after the job began."""
    newer = found._replace(device=device).is_newer("changed_at")
    if newer or any(binding.get("bound_at", 0) > found.job.began_at for binding in bindings):
        raise _Newer


def _delete(found: Found) -> Steps:
    if found.is_newer("changed_at"):
        raise _Newer
    device_deletion.require_unbound(found.key)

    def delete() -> None:
        while not device_deletion.delete(found.key):
            pass

    yield delete


ACTS: Mapping[str, Act] = {
    "ban": Act(
        _change(
            lambda device: "banned_at" in device and "ban_kind" not in device,
            lambda found: device_connections.ban(found.key, found.job.reason, when=found.unchanged),
            "banned_at",
            "unbanned_at",
        ),
        needs_reason=True,
    ),
    "unban": Act(_lifting(None, lambda found: devices.unban(found.key, found.unchanged))),
    "lost": Act(_lose, needs_reason=True),
    "found": Act(_lifting("lost", lambda found: devices.find(found.key, found.unchanged))),
    "retire": Act(_retire, needs_reason=True),
    "return": Act(_return, needs_reason=True),
    "delete": Act(_delete, deletes=True),
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


_FINAL = (
    Reason.INVALID,
    Reason.ALREADY_EXISTS,
    Reason.LIMIT_REACHED,
    Reason.DEVICE_BANNED,
    Reason.STATUS_NOT_VALID,
)
"""Refusals that would be the same again."""


def job(began_at: int | None, identifier: str | None, reason: str, undoes: str | None, *, dry_run: bool) -> Job:
    """Return a job, which by default begins now."""
    return Job(clock.now() if began_at is None else began_at, identifier, reason, undoes, dry_run)


def run(act: str, lines: Sequence[Line], job: Job) -> Report:
    """Do an act on the devices of up to 100 lines, and report the outcome of each.

    Raises `UNAVAILABLE` or `CONFLICT` if the request must be repeated.
    """
    with dynamodb.acting(dynamodb.actor(), job.id):
        # Each in a context of its own, because the actor is in the context.
        contexts = [copy_context() for _ in lines]
    with ThreadPoolExecutor(_WRITERS) as writers:
        keys = list(writers.map(_key, lines))
        reads = [Read(items.device(key)) for key in dict.fromkeys(keys) if isinstance(key, str)]
        existing = dynamodb.get_many(reads) if reads else Batch({})

        def do(line: Line, key: str | Outcome) -> Outcome:
            if isinstance(key, Outcome):
                return key
            outcome = _do(ACTS[act], line, existing[items.device(key)], job)
            return outcome._replace(device=identity.opaque(key))

        outcomes = list(writers.map(lambda context, *line: context.run(do, *line), contexts, lines, keys))
    return Report(job.began_at, clock.now(), outcomes)


def _key(line: Line) -> str | Outcome:
    """Return the key of the line's device."""
    named = [name for name in ("device", "serial", "imei", "mac") if getattr(line, name) is not None]
    for name in ("product_key", "serial", "imei", "mac", "uid"):
        text = getattr(line, name)
        if text is not None and not 0 < len(text.strip()) <= _LONGEST:
            return Outcome("refused", f"{name} must have 1 to {_LONGEST} characters.")
    if len(named) != 1 or (line.product_key is not None and named != ["serial"]):
        return Outcome("refused", "Name a device by one of device, serial (with or without product_key), imei and mac.")
    if line.device is not None:
        try:
            return identity.device_from_opaque(line.device)
        except Refused:
            return Outcome("refused", "Not the id of a device.")
    if line.imei is not None:
        return identity.customer_device(line.imei)
    if line.mac is not None:
        return identity.video_device(line.mac)
    if line.product_key is not None:
        return identity.manufactured_device(line.product_key, line.serial or "")
    found = device_search.find(_SHOWN, None, serial=line.serial).items
    if len(found) == 1:
        return identity.device_from_opaque(found[0]["device"])
    count = "Several devices have" if found else "No device has"
    return Outcome("refused", f"{count} this serial number.{' Specify product_key, or device.' * bool(found)}")


def _do(act: Act, line: Line, device: items.Device | None, job: Job) -> Outcome:
    for attempt in range(_ATTEMPTS):
        if device is None:
            # A repeated request finds that the job has deleted it. The preview has refused devices that never existed.
            deleted = act.deletes and job.id is not None and not job.dry_run
            return Outcome("unchanged") if deleted else Outcome("refused", _PROBLEMS[Reason.NOT_FOUND])
        found = Found(line, device, job)
        if not found.is_undoable():
            return Outcome("refused", _NOT_DONE)
        try:
            steps = list(act.steps(found))
            if not steps:
                return Outcome("done" if found.is_done() else "unchanged")
            changes = [True] if job.dry_run else [step() for step in steps]
            return Outcome("unchanged" if changes == [False] else "done")
        except _Newer:
            return Outcome("refused", _CHANGED)
        except Refused as refused:
            if refused.reason in _FINAL:
                return Outcome("refused", refused.detail.get("detail") or _PROBLEMS[refused.reason])
            if refused.reason not in (Reason.CONFLICT, Reason.NOT_FOUND) or attempt == _ATTEMPTS - 1:
                raise
        # It was changed concurrently.
        device = dynamodb.get(items.device(device["pk"]))
    raise AssertionError
