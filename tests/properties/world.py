"""The installation of all proofs, and for each operation a request that succeeds in it.

The requests are those of events/, with a caller's credentials and values that only a running registry knows.
"""

import base64
import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from bindery.core import clock
from bindery.directory import users
from bindery.remoteit import login
from bindery.security import secrets
from tests.http_api import Response, invoke
from tests.openid import CUSTOMER, Bank
from tests.records import ADDRESS, CAMERA, DK, DOMAIN, PASSWORD, PK, SN, Caller, email, install, phone
from tests.sample_requests import CREDENTIALS, Event, sample
from tools import template
from tools.local import quectel_login

__all__ = ["ADDRESS", "CAMERA", "CREDENTIALS", "CUSTOMER", "DK", "DOMAIN", "PASSWORD", "PK", "SN", "Caller", "Event"]
__all__ += ["email", "phone"]


@dataclass
class World:
    """The created data and its callers."""

    ada: Caller
    ben: Caller
    """Another user of ada's account and domain."""
    cleo: Caller
    """A user of another account."""
    secret: str
    """A user of their user domain."""
    answers: dict[str, Response] = field(default_factory=dict)
    """By operation: the latest response of each prerequisite that was run."""

    def request(self, name: str, caller: Caller | None = None) -> Event:
        """Return the operation's sample request with a caller's credentials (default ada's) and this world's ids."""
        caller = caller or (self.ben if name in BENS else self.ada)
        event = sample(name, caller.headers.get(name.partition(".")[0]))
        change = CHANGES.get(name)
        return event if change is None else change(self, event, caller)


OPERATIONS = [
    function.name for function in template.http_functions() if not function.name.startswith(("admin.", "default."))
]
"""Every documented operation."""

BENS = ("quectel.share_device",)
"""Operations that ben performs; ada performs all others."""


def _login(world: World, event: Event, caller: Caller) -> Event:
    form = quectel_login.form(email(caller.uid), PASSWORD, DOMAIN, world.secret, random="a1B2c3D4e5F6g7H8")
    return event | {"body": base64.b64encode(urlencode(form).encode()).decode(), "isBase64Encoded": True}


def _phone_login(world: World, event: Event, caller: Caller) -> Event:
    number = phone(caller.uid).removeprefix("+44")
    return query(event, **quectel_login.query("44", number, PASSWORD, DOMAIN, world.secret, random="a1B2c3D4e5F6g7H8"))


def _offer(world: World, event: Event, caller: Caller) -> Event:
    return query(event, acceptingExpireAt=str(clock.now() + 3_600_000))


def _accept(world: World, event: Event, caller: Caller) -> Event:
    return query(event, shareCode=world.answers["quectel.share_info"].json()["data"])


def _stop(world: World, event: Event, caller: Caller) -> Event:
    return body(event, connectionid=world.answers["remoteit.connect_device"].json()["connectionid"])


CHANGES: dict[str, Callable[[World, Event, Caller], Event]] = {
    "rufus.get_device": lambda _, event, caller: path(event, {"deviceid": sample_device_id(caller)}),
    "rufus.unbind_device": lambda _, event, caller: path(event, {"deviceid": sample_device_id(caller)}),
    "rufus.open_session": lambda _, event, caller: body(event, deviceid=sample_device_id(caller)),
    "rufus.insert_passings": lambda here, event, _: body(
        event, token_session=here.answers["rufus.open_session"].json()["token_session"]
    ),
    "rufus.list_passings": lambda _, event, caller: path(event, {"deviceid": sample_device_id(caller)}),
    "quectel.email_pwd_login": _login,
    "quectel.phone_pwd_login": _phone_login,
    "quectel.share_info": _offer,
    "quectel.share_device": _accept,
    "remoteit.find_by_name": lambda _, event, caller: body(event, devicename=""),
    "remoteit.login": lambda _, event, caller: body(event, username=email(caller.uid), password=PASSWORD),
    "remoteit.login_by_authhash": lambda _, event, caller: body(
        event, username=email(caller.uid), authhash=login.authhash(users.show(caller.uid))
    ),
    "remoteit.check_token": lambda _, event, caller: path(event, {"token": caller.headers["remoteit"]["token"]}),
    "remoteit.stop_connection": _stop,
}
"""Values to insert into a sample request."""

_BOUND = ("quectel.bind_device_sn",)
_REGISTERED = ("asseco.register_owned_device",)
_ADDED = ("vodlix.add_device",)
BEFORE: dict[str, tuple[str, ...]] = {
    **{
        f"rufus.{name}": ("rufus.bind_device",)
        for name in ("get_device", "list_devices", "unbind_device", "open_session")
    },
    "rufus.insert_passings": ("rufus.bind_device", "rufus.open_session"),
    "rufus.list_passings": ("rufus.bind_device", "rufus.open_session", "rufus.insert_passings"),
    **{
        f"quectel.{name}": _BOUND
        for name in (
            *("device_info", "get_device_binding_info", "get_device_online_status", "get_device_business_attributes"),
            *("batch_control_device", "get_auth_key", "regenerate_auth_key", "set_device_info", "unbundling_device_dk"),
            *("share_info", "user_device_list"),
        )
    },
    "quectel.share_device": (*_BOUND, "quectel.share_info"),
    **{
        f"asseco.{name}": _REGISTERED
        for name in (
            *("get_device", "list_owned_devices", "unregister_device", "set_nickname", "set_push_handle"),
            "block_device",
        )
    },
    "asseco.unblock_device": (*_REGISTERED, "asseco.block_device"),
    "remoteit.stop_connection": ("remoteit.connect_device",),
    "vodlix.check_device": _ADDED,
    "vodlix.record_activity": _ADDED,
}
"""Prerequisites: the operations whose sample requests must run first, in this order, before an operation succeeds."""


def build(bank: Bank) -> World:
    """Create the world in an empty registry. The bank issues asseco's tokens."""
    secret, ada, ben, cleo = install(bank)
    return World(ada, ben, cleo, secret)


def run(world: World, name: str, caller: Caller | None = None) -> Response:
    """Run an operation's sample request after its prerequisites."""
    prepare(world, name, caller)
    return invoke(name, world.request(name, caller))


def prepare(world: World, name: str, caller: Caller | None = None) -> None:
    """Run an operation's prerequisites."""
    for earlier in BEFORE.get(name, ()):
        world.answers[earlier] = invoke(earlier, world.request(earlier, caller))


def body(event: Event, **members: Any) -> Event:
    """Return an event with these fields in its JSON body."""
    text = event.get("body") or "{}"
    given = json.loads(base64.b64decode(text) if event.get("isBase64Encoded") else text)
    return copy.deepcopy(event) | {"body": json.dumps(given | members), "isBase64Encoded": False}


def query(event: Event, **parameters: str) -> Event:
    """Return an event with these query parameters."""
    given = dict(parse_qsl(event.get("rawQueryString", ""), keep_blank_values=True))
    return copy.deepcopy(event) | {"rawQueryString": urlencode(given | parameters)}


def path(event: Event, parameters: Mapping[str, str]) -> Event:
    """Return an event with these path parameters."""
    return copy.deepcopy(event) | {"pathParameters": dict(parameters)}


def sample_device_id(caller: Caller) -> str:
    """Return the deviceid of the rufus sample request's device for the caller's company."""
    return secrets.device_id(caller.account, "Model X1", "DEVICE-123")
