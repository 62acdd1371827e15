"""One operation with its prerequisites, in a world that is built once for many tests."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

import pytest

from bindery.connectivity import service_addresses
from bindery.core import env
from bindery.directory import key_guesses
from bindery.registry import identity
from bindery.remoteit.dialect import Login
from bindery.security import oidc, passwords
from tests import moto_registry
from tests.http_api import Response, invoke
from tests.openid import Bank
from tests.properties import world
from tests.properties.world import BENS, Caller, Event, World
from tests.records import empty_registry
from tools import template
from tools.generate import roles

HEADERS = {
    "rufus": "api_key",
    "quectel": "authorization",
    "asseco": "authorization",
    "remoteit key": "developerkey",
    "remoteit token": "token",
}
"""By API or kind of credential: the header that carries it. quectel's login and the open APIs have none."""

_OWNING = {
    "rufus": "rufus.bind_device",
    "quectel": "quectel.bind_device_sn",
    "asseco": "asseco.register_owned_device",
    "vodlix": "vodlix.add_device",
}
"""The operation by which ada gets the device of an API's sample requests."""


def columns(name: str) -> list[str]:
    """Return the kinds of credentials that an operation accepts."""
    dialect = name.partition(".")[0]
    if name in ("quectel.email_pwd_login", "quectel.phone_pwd_login"):
        return ["quectel login"]
    if dialect == "remoteit":
        has_token = template.function(name).load().dialect is not Login
        return ["remoteit key", "remoteit token"] if has_token else ["remoteit key"]
    return [dialect]


def holds_tenants_data(name: str) -> bool:
    """True if an operation's role reaches items of tenants, besides API keys, failed guesses and settings."""
    patterns = {
        pattern for actions in roles.access()[name].values() for together in actions.values() for pattern in together
    }
    return not patterns <= {"key#*", "attempts#*", "setting#*"}


def is_open(column: str) -> bool:
    """True if the API has no credentials."""
    return column == column.partition(" ")[0] and not import_module(f"bindery.{column}.dialect").CREDENTIALS


class Stage:
    """One operation with its prerequisites, and the settings besides the registry that a condition may change."""

    def __init__(self, here: World, bank: Bank, patch: pytest.MonkeyPatch, name: str, column: str) -> None:
        self.here, self.bank, self.patch, self.name, self.column = here, bank, patch, name, column
        self.dialect = name.partition(".")[0]
        self.actor = here.ben if name in BENS else here.ada

    def request(self) -> Event:
        """Return the operation's own request."""
        return self.here.request(self.name)

    def with_credential(self, credential: str | None) -> Event:
        """Return the operation's own request with another credential, or without one."""
        made = self.request()
        header = HEADERS[self.column]
        others = {name: value for name, value in made["headers"].items() if name != header}
        return made | {"headers": others if credential is None else others | {header: credential}}

    def by(self, caller: Caller) -> Event:
        """Return the operation's own request for the same resources by another caller."""
        if self.column == "quectel login":
            return self.here.request(self.name, caller)
        if is_open(self.column):
            return self.request()
        return self.with_credential(caller.headers[self.dialect][HEADERS[self.column]])

    def owned(self) -> None:
        """Make ada the owner of the device."""
        owning = _OWNING.get(self.dialect)
        if owning is not None and owning not in world.BEFORE.get(self.name, ()):
            invoke(owning, self.here.request(owning))

    def shared(self) -> None:
        """Share ada's device with ben, and make it the remoteit device."""
        if self.name not in BENS:
            if self.dialect != "quectel":
                invoke(_OWNING["quectel"], self.here.request(_OWNING["quectel"]))
            else:
                self.owned()
            self.here.answers["quectel.share_info"] = invoke(
                "quectel.share_info", self.here.request("quectel.share_info")
            )
        invoke("quectel.share_device", self.here.request("quectel.share_device"))
        if self.dialect == "remoteit":
            service_addresses.withdraw(world.ADDRESS)
            service_addresses.assign(world.ADDRESS, identity.manufactured_device(world.PK, world.SN))
            connect = "remoteit.connect_device"
            self.here.answers[connect] = invoke(connect, self.here.request(connect))


@pytest.fixture(scope="module")
def built() -> Iterator[tuple[World, Bank, moto_registry.State]]:
    """Build the world once for all cells."""
    with empty_registry() as bank, pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_LN", 2)
        yield world.build(bank), bank, moto_registry.state()


@pytest.fixture
def stage(
    built: tuple[World, Bank, moto_registry.State], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, str], Stage]]:
    """Return a function that prepares an operation in the initial world."""
    here, bank, at_first = built
    published = list(bank.keys)

    def prepare(name: str, column: str) -> Stage:
        moto_registry.restore(at_first)
        key_guesses.clear_cache()
        here.answers.clear()
        world.prepare(here, name)
        return Stage(here, bank, monkeypatch, name, column)

    yield prepare
    bank.keys[:] = published
    monkeypatch.undo()
    env.clear_cache()
    oidc.clear_cache()


VOLATILE = frozenset(
    {
        *("apikey", "authKey", "auth_expiration", "auth_token", "connectionid", "creation_date", "deviceBindTime"),
        *("deviceBindTimeTs", "developer_key", "email", "expirationTime", "expirationsec", "guid", "hardwareid"),
        *("member_since", "proxy", "proxyserver", "pubsub_channel", "requested", "requestedAt", "service_authhash"),
        *("shareCode", "time", "timestamp", "token", "token_index", "token_session"),
    }
)
"""Fields that differ by caller or over time."""


def told(answer: Response, members: Mapping[str, Any] | None = None) -> tuple[int, Any]:
    """Return a response independent of time and caller, with its variable fields replaced by `members`."""
    changed = dict.fromkeys(VOLATILE) | dict(members or {})

    def keep(pairs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        return [(name, changed.get(name, value) if name in changed else value) for name, value in pairs]

    body = json.loads(answer.body or "null", object_pairs_hook=keep)
    if isinstance(body, list) and dict(body).get("code") == 200 and isinstance(dict(body)["data"], str):
        body = "a share code"
    return answer.status, body


def timeless(answer: Response) -> Response:
    """Return a vodlix response without its time and duration; other responses unchanged."""
    body = re.sub(r'"timestamp":\d+,"time":[\d.]+', '"timestamp":0,"time":0', answer.body)
    return Response(answer.status, answer.headers, body)


def refused(name: str, answer: Response) -> bool:
    return bool(answer.json()["code"] != 200) if name.startswith("quectel.") else answer.status >= 400
