"""Translate requests of the model (`tests.properties.model`) to real requests, and real responses to outcomes."""

import json
from collections.abc import Callable
from typing import Any

from bindery.aws import dynamodb
from bindery.connectivity import leases, service_addresses
from bindery.core.errors import Refused
from bindery.directory import accounts, products, sessions
from bindery.registry import devices, identity
from bindery.registry.bindings import Mode
from bindery.security import secrets
from tests.concurrency.schedules import Request
from tests.http_api import Response, admin
from tests.openid import Bank
from tests.properties import world
from tests.properties.model import ACCOUNTS, ADDRESSED, COMPANIES, MODES, NAMES, PHONES, PLAYER, Ask, Model
from tests.sample_requests import send
from tests.tables import Tables

LASTS = 24 * 3600
"""Lifetime of credentials in seconds, longer than any proof runs."""

MODEL, SERIAL = world.CAMERA
SN, DK = "SN1", "ABCD1234"
ADDRESSES = {device: f"80:00:00:00:00:00:01:{number:02X}" for number, device in enumerate(ADDRESSED)} | {
    "acme/camera": world.ADDRESS
}
OF_OPERATORS = ("change", "transfer", "stock", "force_unbind", "enter")
REASONS = {"ban": "stolen", "lost": "left in a taxi", "retire": "broken", "return": "refunded"}
"""Reasons of operators' requests."""
OPERATIONS = {
    "quectel_bind": "quectel.bind_device_sn",
    "quectel_let_go": "quectel.unbundling_device_dk",
    "quectel_offer": "quectel.share_info",
    "quectel_accept": "quectel.share_device",
    "quectel_rename": "quectel.set_device_info",
    "quectel_list": "quectel.user_device_list",
    "asseco_register": "asseco.register_owned_device",
    "asseco_list": "asseco.list_owned_devices",
    "asseco_rename": "asseco.set_nickname",
    "asseco_push": "asseco.set_push_handle",
}


class Asking:
    """The world of the model, and the values that its callers have received so far."""

    def __init__(self, bank: Bank) -> None:
        self._world = world.build(bank)
        # The camera, bound in the first part, is in the second when it is bound again.
        accounts.spread("acme", 2)
        self.keys = {
            **{device: identity.company_device(account, MODEL, SERIAL) for device, account in COMPANIES.items()},
            **{device: identity.manufactured_device(device.upper(), SN) for device in MODES},
            **{device: identity.customer_device(device) for device in PHONES},
            PLAYER: identity.video_device("A1B2C3D4E5F6"),
        }
        self._callers = {uid: getattr(self._world, uid) for uid in ACCOUNTS}
        for uid, caller in self._callers.items():
            token = bank.token(sub=caller.customer, exp=bank.claims()["iat"] + LASTS)
            caller.headers["asseco"] = {"authorization": f"bearer {token}"}
            caller.headers["quectel"] = {"authorization": sessions.issue(uid, "quectel", LASTS)[0]}
            caller.headers["remoteit"]["token"] = sessions.issue(uid, "remoteit", LASTS)[0]
        for device, mode in MODES.items():
            products.create(device.upper(), name="Product", module_type="M", mode=Mode[mode.upper()])
        for device in ("unique", "rotating", "multi"):
            devices.manufacture(device.upper(), SN, device_key=DK)
        dynamodb.write(devices.seen(self.keys["phone"], "asseco"))
        for device in ADDRESSED[1:]:
            service_addresses.assign(ADDRESSES[device], self.keys[device])
        self.forget()

    def customers(self) -> dict[str, str]:
        """Return the holders that the users are as bank customers, by uid."""
        return {uid: identity.customer_holder(caller.customer) for uid, caller in self._callers.items()}

    def forget(self) -> None:
        """Start over."""
        self.codes: dict[tuple[str, str], list[str]] = {}
        """By sharer and device: every share code."""
        self.connections: dict[tuple[str, str], list[tuple[str, str]]] = {}
        """By caller and device: the id and the label of every connection."""

    def ask(self, ask: Ask) -> Response:
        """Make a request without storing values from the response; `learn` does that."""
        dialect, _, what = ask.what.partition("_")
        asks: dict[str, Callable[[str, Ask], Response]] = {
            "rufus": self._rufus,
            "quectel": self._quectel,
            "asseco": self._asseco,
            "remoteit": self._remoteit,
            "vodlix": self._vodlix,
        }
        return asks[dialect](what, ask) if dialect in asks else self._operator(ask)

    def request(self, ask: Ask) -> Request:
        """Return the same request for the scheduler."""
        return Request(str(ask), lambda: self.ask(ask), operator=ask.what in OF_OPERATORS)

    def learn(self, ask: Ask, answer: Response) -> None:
        """Store the values of a response that later requests refer to."""
        given = answer.json() if answer.body else {}
        if ask.what == "quectel_offer" and given["code"] == 200:
            self.codes.setdefault((ask.who, ask.device), []).append(given["data"])
        if ask.what == "remoteit_connect" and answer.status == 200:
            label = given["connection"]["proxyserver"].partition(".")[0]
            self.connections.setdefault((ask.who, ask.device), []).append((given["connectionid"], label))

    def _connection(self, ask: Ask) -> tuple[str, str]:
        made = self.connections.get((ask.who, ask.device), [])
        return made[-1 - ask.more] if ask.more < len(made) else ("0" * 8, "nobody")

    def _rufus(self, what: str, ask: Ask) -> Response:
        headers = self._callers[ask.who].headers["rufus"]
        if what == "bind":
            return send("rufus.bind_device", headers, body={"model": MODEL, "serial_number": SERIAL})
        if what == "list":
            return send("rufus.list_devices", headers, query="")
        deviceid = secrets.device_id(ACCOUNTS[ask.who], MODEL, SERIAL)
        return send(f"rufus.{what}_device", headers, path={"deviceid": deviceid})

    def _quectel(self, what: str, ask: Ask) -> Response:
        query = {"pk": ask.device.upper(), "dk": DK}
        if what == "bind":
            query["sn"] = SN
        elif what == "offer":
            query["coverMark"] = "1" if ask.more == "replace" else "2"
        elif what == "rename":
            query["deviceName"] = ask.more
        elif what == "accept":
            sharer, which = ask.more
            codes = self.codes.get((sharer, ask.device), [])
            query = {"shareCode": codes[-1 - which] if which < len(codes) else "nonsense"}
        elif what == "list":
            query = {}
        return send(OPERATIONS[ask.what], self._callers[ask.who].headers["quectel"], query=query)

    def _asseco(self, what: str, ask: Ask) -> Response:
        bodies = {
            "register": {"external-device-identifier": ask.device, "operating-system": "iOS 9.x", "nickname": ask.more},
            "rename": {"nickname": ask.more},
            "push": {"push-platform": "apns", "pns-handle": ask.more},
        }
        parts = {"path": {"device-id": ask.device}} if what not in ("register", "list") else {}
        parts |= {"body": bodies[what]} if what in bodies else {"query": {}}
        operation = OPERATIONS.get(ask.what, f"asseco.{what}_device")
        return send(operation, self._callers[ask.who].headers["asseco"], **parts)

    def _remoteit(self, what: str, ask: Ask) -> Response:
        headers = self._callers[ask.who].headers["remoteit"]
        if what == "list":
            return send("remoteit.list_all", headers)
        body = {"deviceaddress": ADDRESSES[ask.device]}
        if what == "connect":
            return send("remoteit.connect_device", headers, body=body)
        return send("remoteit.stop_connection", headers, body=body | {"connectionid": self._connection(ask)[0]})

    def _vodlix(self, what: str, _: Ask) -> Response:
        names = ("device_os", "device_version", "device_type", "app_version", "app_name")
        body = {"mac_address": "A1B2C3D4E5F6"} | dict.fromkeys(names, "value")
        return send(f"vodlix.{what}_device", body=body)

    def _operator(self, ask: Ask) -> Response:
        if ask.what == "relay":
            try:
                leases.admit(self._connection(ask)[1], "203.0.113.9")
            except Refused as fault:
                return Response(0, {}, json.dumps(fault.reason.name))
            return Response(200, {}, '""')
        if ask.what == "enter":
            row = {"product_key": ask.device.upper(), "serial": SN, "device_key": DK}
            return admin("devices", "POST", "devices/import", {"rows": [row]})
        path = f"devices/{identity.opaque(self.keys[ask.device])}"
        if ask.what == "force_unbind":
            query = {"uid": ask.who} if ask.who else ""
            return admin("devices", "POST", f"{path}/unbind", {"reason": "lost"}, query=query)
        body = {"offer": {"to": ask.who}, "accept": {"uid": ask.who}, "decline": {"uid": ask.who}}.get(ask.more)
        if ask.more in REASONS:
            body = {"reason": REASONS[ask.more]}
        return admin("devices", "POST", f"{path}/{ask.more}", body)

    def held(self, tables: Tables) -> Any:
        """Return the holders according to the tables, in the same form as `held_by`."""
        labels = {key: device for device, key in self.keys.items()}
        uids = {item["pseudonym"]: item["uid"] for item in tables["DIRECTORY"] if item["sk"] == "user"}
        customers = {caller.customer: uid for uid, caller in self._callers.items()}
        found = {}
        for item in tables["BINDINGS"]:
            if item["pk"] in labels and (item["sk"] == "owner" or item["sk"].startswith("user#")):
                _, holder = identity.holder_parts(item["holder"])
                user = "" if item["sk"] == "owner" else holder
                found[labels[item["pk"]], user] = (
                    customers.get(holder, holder),
                    item.get("status"),
                    item.get("nickname"),
                    item.get("by"),
                    set(item.get("shares", {})),
                    {uids[caller] for caller in item.get("leases", {})},
                )
        return found

    def flagged(self, tables: Tables) -> Any:
        """Return the existing, banned and inactive devices according to the tables, then those lost or retired."""
        labels = {key: device for device, key in self.keys.items()}
        known = [item for item in tables["DEVICES"] if item["pk"] in labels]
        kinds = {labels[item["pk"]]: item["ban_kind"] for item in known if "ban_kind" in item}
        names = ("pk", "banned_at", "inactive")
        return [*({labels[item["pk"]] for item in known if name in item} for name in names), kinds]

    def offered(self, tables: Tables) -> dict[str, str]:
        """Return the users to whom devices are offered according to the tables."""
        labels = {key: device for device, key in self.keys.items()}
        return {
            labels[item["pk"]]: item["offer"]["to"]
            for item in tables["BINDINGS"]
            if item["pk"] in labels and "offer" in item
        }


def said(ask: Ask, answer: Response) -> Any:
    """Return the outcome of a response in the form of the model."""
    given = answer.json() if answer.body else {}
    if ask.what in LISTS and answer.status == 200:
        return LISTS[ask.what](given, ask)
    if ask.what == "relay":
        return given
    if ask.what == "enter":
        return answer.status, given["created"]
    if ask.what == "remoteit_connect" and answer.status in (403, 404):
        return next(word for word in ("not shared", "banned", "not active") if word in given["reason"])
    if ask.what == "quectel_let_go" and given["code"] == 200:
        return 200, given["data"]["bindingSum"]
    if ask.what.startswith("quectel"):
        return given["code"]
    return given.get("problem") or given.get("error_code") or answer.status


LISTS: dict[str, Callable[[Any, Ask], Any]] = {
    "rufus_list": lambda given, ask: {f"{ACCOUNTS[ask.who]}/{shown['model'].lower()}" for shown in given["result"]},
    "quectel_list": lambda given, _: {
        shown["productKey"].lower(): (
            "share" if shown["shareCode"] else "binding",
            shown["deviceName"] if shown["deviceName"] in NAMES else None,
        )
        for shown in given["data"]["list"]
    },
    "asseco_list": lambda given, _: {shown["imei"]: (shown["status"], shown["nickname"]) for shown in given["devices"]},
    "remoteit_list": lambda given, _: {
        next(device for device, address in ADDRESSES.items() if address == shown["deviceaddress"]): (
            shown["devicestate"] == "active"
        )
        for shown in given["devices"]
    },
}


def held_by(model: Model) -> Any:
    """Return the holders according to the model."""
    return {
        place: (held.holder, held.status, held.nickname, held.shared_by, held.shares, set(held.connected))
        for place, held in model.bindings.items()
    }
