"""Requests to every public operation, in order, on the demo data: successes and common refusals.

A story yields the name, operation and event of each case. Its actions between cases do not count for any case. An
operation that its API's story does not mention is measured once, at its end: its sample request must succeed.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

from bindery.core import clock
from bindery.directory import products, sessions, settings, tsl, users
from bindery.directory.settings import DEVICE_MANAGEMENT
from bindery.http import fallback
from bindery.quectel import families
from bindery.registry import devices, identity
from bindery.registry.bindings import Mode
from bindery.remoteit.login import authhash
from tests.http_api import Response
from tests.openid import Bank
from tests.records import TSL
from tests.sample_requests import Event, sample
from tools import template
from tools.local import demo, quectel_login

Case = tuple[str, str, Event]
Story = Iterator[Case]


class World:
    """The demo installation, and its callers' credentials."""

    def __init__(self, bank: Bank) -> None:
        demo.load()
        self.bank = bank
        self.last = Response(0, {}, "")

    def token(self, uid: str, dialect: str) -> str:
        return sessions.issue(uid, dialect, 600)[0]

    def sample(
        self, name: str, *, path: dict[str, str] | None = None, body: Any = None, query: Any = None, **headers: str
    ) -> Event:
        """Return an operation's sample event with valid credentials, and with the specified parts replaced."""
        match name.partition(".")[0]:
            case "rufus":
                known = {"api_key": demo._key("RUFUS_UNBIND_KEY")}
            case "quectel":
                known = {"authorization": self.token("ada", "quectel")}
            case "asseco":
                known = {"authorization": f"bearer {self.bank.token(sub=demo.CUSTOMERS[''])}"}
            case "remoteit":
                known = {"developerkey": demo._key("REMOTEIT_DEVELOPER_KEY"), "token": self.token("ada", "remoteit")}
            case _:
                known = {}
        return sample(name, known | headers, path=path, query=query, body=body)


def rufus(world: World) -> Story:
    bind = "rufus.bind_device"
    body = {"model": "Model X1", "serial_number": "DEVICE-123"}
    yield "refused: no key", bind, world.sample(bind, api_key="")
    yield "refused: unknown key", bind, world.sample(bind, api_key="ror-00000000000000000000")
    yield "refused: a key that reads", bind, world.sample(bind, api_key=demo._key("RUFUS_READ_KEY"))
    yield "refused: a parameter is missing", bind, world.sample(bind, body={"model": "Model X1"})
    yield "first bind, first use of the key that day", bind, world.sample(bind)
    deviceid = world.last.json()["deviceid"]
    yield "bound again", bind, world.sample(bind)
    yield "first bind", bind, world.sample(bind, body=body | {"serial_number": "DEVICE-124"})
    yield (
        "bound again, with all that can be said",
        bind,
        world.sample(bind, body=body | {"alias": "Hall", "firmware": "1.0.2", "type": "lamp"}),
    )
    device = identity.company_device("demo", "Model X1", "DEVICE-123")
    devices.ban(device, "stolen")
    yield "refused: banned", bind, world.sample(bind)
    devices.unban(device)
    at = {"deviceid": deviceid}
    yield "shown", "rufus.get_device", world.sample("rufus.get_device", path=at)
    yield "refused: unknown device", "rufus.get_device", world.sample("rufus.get_device", path={"deviceid": "0" * 64})
    yield "four of them", "rufus.list_devices", world.sample("rufus.list_devices")
    yield "four of them, by cursor", "rufus.list_devices", world.sample("rufus.list_devices", query={"cursor": ""})
    opened = "rufus.open_session"
    yield "success", opened, world.sample(opened, body=at)
    passings = world.sample("rufus.insert_passings")
    given = json.loads(passings["body"]) | {"token_session": world.last.json()["token_session"]}
    yield "two of them", "rufus.insert_passings", world.sample("rufus.insert_passings", body=given)
    yield "two again", "rufus.insert_passings", world.sample("rufus.insert_passings", body=given)
    yield "two of them", "rufus.list_passings", world.sample("rufus.list_passings", path=at)
    yield "refused: unknown session", "rufus.insert_passings", passings
    yield "refused: unknown device", opened, world.sample(opened)
    devices.ban(device, "stolen")
    yield "refused: banned", opened, world.sample(opened, body=at)
    yield "refused: banned", "rufus.insert_passings", world.sample("rufus.insert_passings", body=given)
    devices.unban(device)
    yield "unbound", "rufus.unbind_device", world.sample("rufus.unbind_device", path=at)
    yield "refused: unknown device", "rufus.unbind_device", world.sample("rufus.unbind_device", path=at)


def quectel(world: World) -> Story:
    bind = "quectel.bind_device_sn"
    yield "refused: no token", bind, world.sample(bind, authorization="")
    yield "refused: forged token", bind, world.sample(bind, authorization="forged")
    yield "refused: no serial number", bind, world.sample(bind, query={"pk": demo.PRODUCT_KEY})
    yield "refused: unknown product", bind, world.sample(bind, query={"pk": "unknown", "sn": "SN1"})
    yield "refused: unknown serial number", bind, world.sample(bind, query={"pk": demo.PRODUCT_KEY, "sn": "SN-NONE"})
    device = identity.manufactured_device(demo.PRODUCT_KEY, demo.SERIALS[""])
    devices.ban(device, "stolen")
    yield "refused: banned", bind, world.sample(bind)
    devices.unban(device)
    tsl.load(demo.PRODUCT_KEY, TSL)
    preview = "quectel.get_device_info_by_binding"
    yield "success", preview, world.sample(preview)
    yield "unique mode", bind, world.sample(bind)
    yield "refused: bound already", preview, world.sample(preview)
    yield "refused: bound already", bind, world.sample(bind)
    yield "refused: another's", bind, world.sample(bind, authorization=world.token("ben", "quectel"))
    for mode in (Mode.MULTI, Mode.ROTATING):
        products.create(mode.name, name="Product", module_type="FC41D", mode=mode)
        devices.manufacture(mode.name, "SN1", device_key="ABCD1234")
        query = {"pk": mode.name, "sn": "SN1"}
        yield f"{mode.name.lower()} mode", bind, world.sample(bind, query=query)
        yield (
            f"{mode.name.lower()} mode, after another",
            bind,
            world.sample(bind, query=query, authorization=world.token("ben", "quectel")),
        )
    users.set_home_mode("ada", True)
    families.create("home", "ada", rooms=["kitchen"])
    devices.manufacture(demo.PRODUCT_KEY, "SN3", device_key="ABCD1235")
    query = {"pk": demo.PRODUCT_KEY, "sn": "SN3"}
    yield "refused: no family", bind, world.sample(bind, query=query)
    yield "refused: another's family", bind, world.sample(bind, query=query | {"fid": "other"})
    yield "in home mode", bind, world.sample(bind, query=query | {"fid": "home", "frid": "kitchen"})
    users.set_home_mode("ada", False)
    for name in (
        *("device_info", "set_device_info", "user_device_list", "get_device_binding_info", "get_device_online_status"),
        *("get_device_business_attributes", "batch_control_device", "get_auth_key"),
    ):
        yield "success", f"quectel.{name}", world.sample(f"quectel.{name}")
    regenerate, keys = "quectel.regenerate_auth_key", {"pk": Mode.MULTI.name, "dk": "ABCD1234"}
    yield "success", regenerate, world.sample(regenerate, body=urlencode(keys))
    later = (clock.seconds() + 3600) * 1000
    offer = {"pk": demo.PRODUCT_KEY, "dk": "F4A1B2C3D4E1", "acceptingExpireAt": later, "coverMark": 1}
    yield "success", "quectel.share_info", world.sample("quectel.share_info", query=offer)
    code = {"shareCode": world.last.json()["data"]}
    share = world.sample("quectel.share_device", query=code, authorization=world.token("ben", "quectel"))
    yield "accepted", "quectel.share_device", share
    yield "refused: accepted already", "quectel.share_device", share
    yield "success", "quectel.unbundling_device_dk", world.sample("quectel.unbundling_device_dk")
    login = "quectel.email_pwd_login"
    form = quectel_login.form("ada@example.com", demo._password("ada"), demo.DOMAIN, demo._domain_secret())
    yield "success", login, world.sample(login, body=urlencode(form))
    form = quectel_login.form("ada@example.com", "a wrong password", demo.DOMAIN, demo._domain_secret())
    yield "refused: wrong password", login, world.sample(login, body=urlencode(form))
    query = quectel_login.query(*demo.PHONE, demo._password("cleo"), demo.DOMAIN, demo._domain_secret())
    yield "success", "quectel.phone_pwd_login", world.sample("quectel.phone_pwd_login", query=query)


def asseco(world: World) -> Story:
    register = "asseco.register_owned_device"
    body = json.loads(world.sample(register)["body"])
    yield "refused: no token", register, world.sample(register, authorization="")
    yield "refused: no identifier", register, world.sample(register, body=body | {"external-device-identifier": ""})
    device = identity.customer_device(body["external-device-identifier"])
    yield "success", register, world.sample(register)
    yield "refused: registered already", register, world.sample(register)
    another = body | {"external-device-identifier": "990000862471855"}
    yield "refused: nickname taken", register, world.sample(register, body=another)
    devices.ban(device, "stolen")
    yield "refused: banned", register, world.sample(register)
    devices.unban(device)
    for name in (
        *("get_device", "list_owned_devices", "set_nickname", "set_push_handle", "block_device", "unblock_device"),
        *("unregister_device", "list_issued_devices", "get_issued_device", "set_issued_nickname"),
        *("list_classifications", "get_classification"),
    ):
        yield "success", f"asseco.{name}", world.sample(f"asseco.{name}")
    yield "registered anew", register, world.sample(register)
    unknown = {"imei": "unknown"}
    for name in ("get_device", "unregister_device"):
        yield "refused: unknown device", f"asseco.{name}", world.sample(f"asseco.{name}", path=unknown)


def remoteit(world: World) -> Story:
    connect = "remoteit.connect_device"
    yield "refused: no developer key", connect, world.sample(connect, developerkey="")
    yield "refused: unknown developer key", connect, world.sample(connect, developerkey="unknown")
    yield "refused: forged token", connect, world.sample(connect, token="forged")
    yield "refused: no address", connect, world.sample(connect, body={})
    yield "refused: unknown address", connect, world.sample(connect, body={"deviceaddress": "80:00:00:00:00:00:00:FF"})
    theirs = {"deviceaddress": demo.ADDRESSES["REMOTEIT_DEVICE_ADDRESS_OTHER"]}
    yield "refused: another's device", connect, world.sample(connect, body=theirs)
    yield "first use of the key that day", connect, world.sample(connect)
    yield "connected again", connect, world.sample(connect)
    stop = {
        "deviceaddress": demo.ADDRESSES["REMOTEIT_DEVICE_ADDRESS"],
        "connectionid": world.last.json()["connectionid"],
    }
    yield "success", "remoteit.list_all", world.sample("remoteit.list_all")
    yield "success", "remoteit.stop_connection", world.sample("remoteit.stop_connection", body=stop)
    device = identity.company_device("demo", "Camera", "CAMERA-1")
    devices.deactivate(device)
    yield "refused: inactive", connect, world.sample(connect)
    devices.activate(device)
    devices.ban(device, "stolen")
    yield "refused: banned", connect, world.sample(connect)
    devices.unban(device)
    login = "remoteit.login"
    given = {"username": "ada@example.com", "password": demo._password("ada")}
    yield "success", login, world.sample(login, body=given, token="")
    yield "refused: wrong password", login, world.sample(login, body=given | {"password": "wrong"}, token="")
    by_authhash = "remoteit.login_by_authhash"
    given = {"username": "ada@example.com", "authhash": authhash(users.show("ada"))}
    yield "success", by_authhash, world.sample(by_authhash, body=given, token="")
    yield "refused: wrong authhash", by_authhash, world.sample(by_authhash, body=given | {"authhash": "0"}, token="")
    token = {"token": world.token("ada", "remoteit")}
    yield "success", "remoteit.check_token", world.sample("remoteit.check_token", path=token, token="")
    # Last, because tokens of one second are the same.
    for name in ("remoteit.get_user", "remoteit.logout"):
        yield "success", name, world.sample(name)


def vodlix(world: World) -> Story:
    add = "vodlix.add_device"
    yield "refused: a parameter is missing", add, world.sample(add, body={"mac_address": "A1B2C3D4E5F6"})
    yield "refused: unknown", "vodlix.check_device", world.sample("vodlix.check_device")
    configs = world.sample("vodlix.get_configs")
    yield "first request of the minute", "vodlix.get_configs", configs
    yield "success", "vodlix.get_configs", configs
    yield "first", add, world.sample(add)
    yield "again", add, world.sample(add)
    for name in ("check_device", "record_activity"):
        yield "success", f"vodlix.{name}", world.sample(f"vodlix.{name}")
    device = identity.video_device("A1B2C3D4E5F6")
    devices.ban(device, "stolen")
    yield "refused: banned", add, world.sample(add)
    devices.unban(device)
    settings.change(DEVICE_MANAGEMENT, 0)
    yield "refused: nobody may", add, world.sample(add)
    yield "refused: no such method", "default.no_route", world.sample("default.no_route")


_WRITTEN = {story.__name__: story for story in (rufus, quectel, asseco, remoteit, vodlix)}


def _whole(dialect: str) -> Callable[[World], Story]:
    """Return an API's story, if one is written, followed by the operations that it does not mention."""

    def story(world: World) -> Story:
        mentioned = set()
        for case, name, event in _WRITTEN[dialect](world) if dialect in _WRITTEN else ():
            mentioned.add(name)
            yield case, name, event
        for function in template.http_functions():
            if function.name.startswith(f"{dialect}.") and function.name not in mentioned:
                yield "success", function.name, world.sample(function.name)

    story.__name__ = dialect
    return story


STORIES = tuple(_whole(dialect) for dialect in dict.fromkeys(fallback.DIALECTS.values()))
