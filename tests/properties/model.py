"""A model of the five APIs' responses to sequential requests, in plain Python: only the holders of each device.

The model does not use tables, Bindery's code or HTTP. An outcome is quectel's code, asseco's problem, remoteit's reason
not to connect, otherwise the HTTP status; for a list, its content.
"""

from dataclasses import dataclass, field
from typing import Any

ACCOUNTS = {"ada": "acme", "ben": "acme", "cleo": "other"}
"""The users and their accounts. Each is also a separate bank customer."""

MODES = {"unique": "unique", "rotating": "rotating", "multi": "multi", "unentered": "unique"}
"""quectel's devices and the binding mode of each."""

NAMES = ("Door", "Gate")
"""User-defined names of quectel's devices."""
PHONES = ("phone", "tablet")
COMPANIES = {"acme/camera": "acme", "other/camera": "other"}
"""rufus' devices: each company has one with the same model and serial number."""

PLAYER = "player"
DEVICES = (*COMPANIES, *MODES, *PHONES, PLAYER)
ADDRESSED = ("acme/camera", "unique", "rotating", "multi", "phone")
"""Devices with a service address."""


@dataclass(frozen=True)
class Ask:
    """A request: kind, caller, device and further parameters."""

    what: str
    who: str = ""
    device: str = ""
    more: Any = None


@dataclass
class Binding:
    """A device's binding to a holder."""

    holder: str
    number: int
    """Number of the binding among all bindings so far."""
    series: int = 0
    """Number of the series among all series of share codes so far."""
    status: str | None = None
    nickname: str | None = None
    push: str | None = None
    """asseco: the handle under which the device is registered for push notifications."""
    names: dict[str, str] = field(default_factory=dict)
    """quectel: the device's name by user, only for users who renamed it."""
    shared_by: str | None = None
    shares: set[str] = field(default_factory=set)
    connected: dict[str, int] = field(default_factory=dict)
    """By caller: the named connection to the device."""


class Problem(Exception):
    """asseco's problem with a request."""


class Model:
    """The registry as its clients know it."""

    def __init__(self) -> None:
        self.entered = set(DEVICES) - {"other/camera", "unentered", "tablet", PLAYER}
        self.banned: set[str] = set()
        self.kinds: dict[str, str] = {}
        """Banned devices that are lost or retired."""
        self.offers: dict[str, tuple[int, str]] = {}
        """By device: the binding with which the offer ends, and the user to whom the device is offered."""
        self.inactive: set[str] = set()
        self.bindings: dict[tuple[str, str], Binding] = {}
        """By device, and by user in multi mode (otherwise "")."""
        self.codes: dict[tuple[str, str], list[tuple[int, int]]] = {}
        """By sharer and device: the binding and the series of each share code."""
        self.made: dict[tuple[str, str], int] = {}
        """By caller and device: the number of connections."""
        self.leases: dict[tuple[str, str], int] = {}
        """By caller and device: the number of the connection, valid or not."""
        self.ended: set[tuple[str, str, int]] = set()
        """By caller, device and number: connections ended by a ban or a deactivation that has since been lifted."""
        self._count = 0
        self._hold("acme/camera", "acme")

    def answer(self, ask: Ask) -> Any:
        """Carry out a request and return its outcome."""
        try:
            return getattr(self, f"_{ask.what}")(ask)
        except Problem as problem:
            return str(problem)

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _hold(self, device: str, holder: str, user: str = "", **facts: Any) -> None:
        self.entered.add(device)
        self.bindings[device, user] = Binding(holder, self._next(), self._next(), **facts)

    def _place(self, ask: Ask) -> tuple[str, str]:
        """Return the key of a user's relation to a device."""
        return ask.device, ask.who if MODES.get(ask.device) == "multi" else ""

    def _relation(self, ask: Ask) -> Binding | None:
        return self.bindings.get(self._place(ask))

    def _own(self, ask: Ask) -> str | None:
        """Return a user's relation to a quectel device: a binding, a share, or None."""
        found = self._relation(ask)
        if found is None:
            return None
        if found.holder == ask.who:
            return "binding" if found.shared_by is None else "share"
        return "share" if ask.who in found.shares else None

    def _end(self, device: str, user: str) -> None:
        """End a binding with its shares, or a single share."""
        ended = self.bindings.pop((device, user))
        for place, other in list(self.bindings.items()):
            if place[0] == device and other.shared_by is not None and other.shared_by == ended.holder:
                del self.bindings[place]

    def reaches(self, ask: Ask) -> bool:
        """True if a user may reach a device."""
        found = self._relation(ask)
        if found is None:
            return False
        if ask.device in MODES:
            return self._own(ask) is not None
        if ask.device in PHONES:
            return found.holder == ask.who and found.status == "active"
        return found.holder == ACCOUNTS[ask.who]

    def _camera(self, ask: Ask) -> str:
        return f"{ACCOUNTS[ask.who]}/camera"

    def _rufus_bind(self, ask: Ask) -> Any:
        device = self._camera(ask)
        if device in self.banned:
            return 403
        if (device, "") not in self.bindings:
            self._hold(device, ACCOUNTS[ask.who])
        return 201

    def _rufus_unbind(self, ask: Ask) -> Any:
        return 404 if self.bindings.pop((self._camera(ask), ""), None) is None else 200

    def _rufus_get(self, ask: Ask) -> Any:
        return 200 if (self._camera(ask), "") in self.bindings else 404

    def _rufus_list(self, ask: Ask) -> Any:
        return {device for device in [self._camera(ask)] if (device, "") in self.bindings}

    def _quectel_bind(self, ask: Ask) -> Any:
        device, mode, standing = ask.device, MODES[ask.device], self._relation(ask)
        if device not in self.entered:
            return 5090
        if device in self.banned:
            return 5009
        if own := self._own(ask):
            return 5049 if own == "binding" else 6040
        if standing is not None and mode == "unique":
            return 5412
        self._hold(device, ask.who, self._place(ask)[1])
        return 200

    def _quectel_let_go(self, ask: Ask) -> Any:
        own = self._own(ask)
        if own is None:
            return 5052
        device, user = self._place(ask)
        if own == "share" and not user:
            binding = self.bindings[device, ""]
            binding.shares.discard(ask.who)
            binding.names.pop(ask.who, None)
            binding.connected.pop(ask.who, None)
        else:
            self._end(device, user)
        return 200, sum(place[0] == device and other.shared_by is None for place, other in self.bindings.items())

    def _quectel_offer(self, ask: Ask) -> Any:
        own, binding = self._own(ask), self._relation(ask)
        if own is None or binding is None:
            return 5052
        if own == "share":
            return 5135
        if ask.more == "replace":
            binding.series = self._next()
        self.codes.setdefault((ask.who, ask.device), []).append((binding.number, binding.series))
        return 200

    def _quectel_accept(self, ask: Ask) -> Any:
        """`more`: sharer, and position of the share code, from the last."""
        sharer, which = ask.more
        given = self.codes.get((sharer, ask.device), [])
        if which >= len(given) or ACCOUNTS[sharer] != ACCOUNTS[ask.who]:
            return 5136
        if own := self._own(ask):
            return 5049 if own == "binding" else 6040
        place = self._place(Ask("", sharer, ask.device))
        binding = self.bindings.get(place)
        if binding is None or binding.shared_by is not None or (binding.number, binding.series) != given[-1 - which]:
            return 5136
        if ask.device in self.banned:
            return 5009
        given_name = {ask.who: binding.names[sharer]} if sharer in binding.names else {}
        if place[1]:
            self.bindings[ask.device, ask.who] = Binding(ask.who, binding.number, shared_by=sharer, names=given_name)
        else:
            binding.shares.add(ask.who)
            binding.names |= given_name
        return 200

    def _quectel_rename(self, ask: Ask) -> Any:
        """`more`: the name, visible only to this user."""
        found = self._relation(ask)
        if found is None or self._own(ask) is None:
            return 5052
        found.names[ask.who] = ask.more
        return 200

    def _quectel_list(self, ask: Ask) -> Any:
        found = {device: self._relation(Ask("", ask.who, device)) for device in MODES}
        owned = {device: self._own(Ask("", ask.who, device)) for device in MODES}
        return {device: (owned[device], of.names.get(ask.who)) for device, of in found.items() if of and owned[device]}

    def _registered(self, ask: Ask, *statuses: str) -> Binding:
        """Return a customer's registration with one of these statuses, or raise `Problem`."""
        found = self.bindings.get((ask.device, ""))
        if found is None or found.holder != ask.who:
            raise Problem("device-not-exist")
        if found.status not in statuses:
            raise Problem("device-status-not-valid")
        return found

    def _nickname_taken(self, ask: Ask) -> bool:
        return any(
            binding.holder == ask.who
            and binding.status in ("active", "blocked")
            and str(binding.nickname).casefold() == ask.more.casefold()
            and device != ask.device
            for (device, _), binding in self.bindings.items()
        )

    def _asseco_register(self, ask: Ask) -> Any:
        standing = self.bindings.get((ask.device, ""))
        if ask.device in self.banned:
            return "device-status-not-valid"
        if standing is not None and standing.status != "unregistered":
            return "imei-not-unique"
        if self._nickname_taken(ask):
            return "nickname-not-unique"
        self._hold(ask.device, ask.who, status="active", nickname=ask.more)
        return 200

    def _asseco_unregister(self, ask: Ask) -> Any:
        found = self._registered(ask, "active", "blocked")
        found.status, found.connected = "unregistered", {}
        return 202

    def _asseco_block(self, ask: Ask) -> Any:
        found = self._registered(ask, "active")
        found.status, found.connected = "blocked", {}
        return 204

    def _asseco_unblock(self, ask: Ask) -> Any:
        found = self._registered(ask, "blocked")
        found.status = "active"
        return 204

    def _asseco_rename(self, ask: Ask) -> Any:
        found = self._registered(ask, "active", "blocked")
        if self._nickname_taken(ask):
            return "nickname-not-unique"
        found.nickname = ask.more
        return 204

    def _asseco_push(self, ask: Ask) -> Any:
        """`more`: the handle."""
        found = self._registered(ask, "active")
        if found.push == ask.more:
            return "valid-push-registration-exist"
        found.push = ask.more
        return 204

    def _asseco_list(self, ask: Ask) -> Any:
        return {
            device: (self.bindings[device, ""].status, self.bindings[device, ""].nickname)
            for device in PHONES
            if (device, "") in self.bindings and self.bindings[device, ""].holder == ask.who
        }

    def _remoteit_connect(self, ask: Ask) -> Any:
        found = self._relation(ask)
        if found is None or not self.reaches(ask):
            return "not shared"
        if ask.device in self.banned:
            return "banned"
        if ask.device in self.inactive:
            return "not active"
        number = self.made.get((ask.who, ask.device), 0)
        self.made[ask.who, ask.device] = number + 1
        self.leases[ask.who, ask.device] = found.connected[ask.who] = number
        return 200

    def _remoteit_stop(self, ask: Ask) -> Any:
        """`more`: the position of the caller's connection to the device, from the last."""
        number, found = self.made.get((ask.who, ask.device), 0) - 1 - ask.more, self._relation(ask)
        if number < 0 or found is None or found.connected.get(ask.who) != number:
            return 401
        del found.connected[ask.who], self.leases[ask.who, ask.device]
        return 200

    def _relay(self, ask: Ask) -> Any:
        """Return the reason for which the relay does not admit a client to the connection; "" if it does."""
        number, found = self.made.get((ask.who, ask.device), 0) - 1 - ask.more, self._relation(ask)
        if number < 0 or self.leases.get((ask.who, ask.device)) != number:
            return "NOT_FOUND"
        if found is None or not self.reaches(ask):
            return "NOT_SHARED"
        if found.connected.get(ask.who) != number:
            return "NOT_FOUND"
        if ask.device in self.banned:
            return "DEVICE_BANNED"
        if ask.device in self.inactive:
            return "DEVICE_INACTIVE"
        return "NOT_FOUND" if (ask.who, ask.device, number) in self.ended else ""

    def _remoteit_list(self, ask: Ask) -> Any:
        return {
            device: device not in self.banned | self.inactive
            for device in ADDRESSED
            if self.reaches(Ask("", ask.who, device))
        }

    def _vodlix_add(self, ask: Ask) -> Any:
        if PLAYER in self.banned:
            return "device_banned"
        self.entered.add(PLAYER)
        return 200

    def _vodlix_check(self, ask: Ask) -> Any:
        if PLAYER not in self.entered:
            return "device_not_found"
        return "device_banned" if PLAYER in self.banned else 200

    def _change(self, ask: Ask) -> Any:
        """`more`: ban, unban, deactivate or activate."""
        if ask.device not in self.entered:
            return 404
        if ask.more == "unban" and ask.device in self.kinds:
            return 409
        if ask.more == "ban":
            self.kinds.pop(ask.device, None)
        changed = self.banned if ask.more in ("ban", "unban") else self.inactive
        if ask.more in ("ban", "deactivate"):
            changed.add(ask.device)
        elif ask.device in changed:
            changed.discard(ask.device)
            self._resume(ask.device)
        return 200

    def _resume(self, device: str) -> None:
        self.ended |= {(*at, number) for at, number in self.leases.items() if at[1] == device}

    def _force_unbind(self, ask: Ask) -> Any:
        """End the owner's binding, or that of the user `who`."""
        several = MODES.get(ask.device) == "multi"
        found = self.bindings.get((ask.device, ask.who)) if several is bool(ask.who) else None
        if found is None or found.status == "unregistered":
            return 404
        if found.status is not None:
            found.status, found.connected = "unregistered", {}
        else:
            self._end(ask.device, ask.who)
        return 200

    def offered(self, device: str) -> str | None:
        """Return the user to whom a device is offered."""
        number, uid = self.offers.get(device, (0, None))
        found = self.bindings.get((device, ""))
        return uid if found is not None and found.number == number else None

    def _transfer(self, ask: Ask) -> Any:
        """`more`: offer, accept, decline or withdraw, for the user `who`."""
        device, found, to = ask.device, self.bindings.get((ask.device, "")), self.offered(ask.device)
        if device not in self.entered:
            return 404
        if ask.more == "offer" and MODES[device] == "multi":
            return 422
        if device in self.banned or found is None:
            return 409
        if ask.more == "offer":
            if to not in (None, ask.who) or found.holder == ask.who:
                return 409
            self.offers[device] = found.number, ask.who
            return 200
        if to is None:
            return 409
        if ask.more != "withdraw" and to != ask.who:
            return 404
        del self.offers[device]
        if ask.more == "accept":
            self._end(device, "")
            self._hold(device, ask.who)
        return 200

    def _stock(self, ask: Ask) -> Any:
        """`more`: lost, found, retire or return."""
        device, kind = ask.device, self.kinds.get(ask.device)
        if device not in self.entered:
            return 404
        if device in self.banned and (
            (kind is None and ask.more != "return") or (kind == "retired" and ask.more in ("lost", "found"))
        ):
            return 409
        if ask.more == "lost":
            self.banned.add(device)
            self.kinds[device] = "lost"
        elif ask.more == "found" and kind is not None:
            self._lift(device)
            self._resume(device)
        elif ask.more == "retire":
            self._end_all(device)
            self.banned.add(device)
            self.kinds[device] = "retired"
        elif ask.more == "return":
            self._end_all(device)
            if kind is not None:
                self._lift(device)
        return 200

    def _lift(self, device: str) -> None:
        self.banned.discard(device)
        del self.kinds[device]

    def _end_all(self, device: str) -> None:
        for place, found in list(self.bindings.items()):
            if place[0] == device and found.status is not None:
                found.status, found.connected = "unregistered", {}
            elif place[0] == device:
                del self.bindings[place]

    def _enter(self, ask: Ask) -> Any:
        created = ask.device not in self.entered
        self.entered.add(ask.device)
        return 200, int(created)
