"""64 callers of every API and their requests, on an engine that supports parallel requests."""

import json
from collections.abc import Callable
from typing import Any

import boto3

from bindery.aws import dynamodb
from bindery.aws.attribute_values import decode
from bindery.aws.dynamodb import Delete, Key, Table
from bindery.connectivity import service_addresses
from bindery.core import env
from bindery.directory import accounts, api_keys, products, sessions, users
from bindery.directory.api_keys import Grant, Kind
from bindery.quectel import user_domains
from bindery.registry import devices, identity
from bindery.registry.bindings import Mode
from bindery.rufus import company_devices
from tests.concurrency import races
from tests.http_api import Response, admin, event, invoke
from tests.invariants import broken
from tests.openid import Bank
from tests.tables import everything, stored

CALLERS = 64
LASTS = 24 * 3600
"""Lifetime of credentials in seconds, longer than any proof runs."""

SN, DK, IMEI, MAC = "SN1", "ABCD1234", "990000862471854", "A1B2C3D4E5F6"
ADDRESS = "80:00:00:00:00:00:00:F1"
CAMERA = ("Camera", "CAMERA-1")


class Crowd:
    """Users of one account, each also a customer of the bank, a company for each, and a device of each product."""

    def __init__(self, bank: Bank) -> None:
        user_domains.create("domain")
        for mode in Mode:
            products.create(mode.name, name="Product", module_type="M", mode=mode)
            devices.manufacture(mode.name, SN, device_key=DK)
        accounts.create("acme", name="Acme")
        self.developer = api_keys.issue("acme", Kind.REMOTEIT, Grant.READ_WRITE, alias="d")
        self.companies, self.users, self.callers, self.customers = [], [], [], []
        for number in range(CALLERS):
            accounts.create(f"company{number}", name="Company")
            self.companies.append(api_keys.issue(f"company{number}", Kind.RUFUS, Grant.WRITE, alias="a", unbind=True))
            users.create(uid := f"user{number}", "acme", domain="domain")
            self.users.append(sessions.issue(uid, "quectel", LASTS)[0])
            self.callers.append(sessions.issue(uid, "remoteit", LASTS)[0])
            claims = bank.claims()
            self.customers.append(bank.token(sub=f"customer{number}", exp=claims["iat"] + LASTS))
        for account in ("acme", "company0"):
            accounts.spread(account, identity.PARTS)
        company_devices.bind("acme", *CAMERA, alias=None, firmware=None, kind=None, parts=identity.PARTS)
        service_addresses.assign(ADDRESS, camera())

    def at_once(self, ask: Callable[[int], Response]) -> list[Response]:
        """Call `ask` with each caller's number, all at the same time, and return the responses."""
        return races.at_once(ask, CALLERS)

    def bind(self, company: int) -> Response:
        body = '{"model": "Model X1", "serial_number": "DEVICE-123"}'
        headers = {"api_key": self.companies[company]}
        return invoke("rufus.bind_device", event("POST", "/v0/devices", headers=headers, body=body))

    def unbind(self, company: int, deviceid: str) -> Response:
        path, headers = f"/v0/devices/{deviceid}", {"api_key": self.companies[company]}
        asked = event("DELETE", path, headers=headers, path_parameters={"deviceid": deviceid})
        return invoke("rufus.unbind_device", asked)

    def quectel(self, user: int, method: str, name: str, operation: str, **query: str) -> Response:
        path, headers = f"/v2/binding/enduserapi/{name}", {"authorization": self.users[user]}
        return invoke(f"quectel.{operation}", event(method, path, headers=headers, query=query))

    def bind_sn(self, user: int, mode: Mode) -> Response:
        return self.quectel(user, "POST", "bindDeviceSn", "bind_device_sn", pk=mode.name, sn=SN)

    def let_go(self, user: int, mode: Mode) -> Response:
        return self.quectel(user, "DELETE", "unbundlingDeviceDk", "unbundling_device_dk", pk=mode.name, dk=DK)

    def offer(self, user: int, mode: Mode) -> str:
        answer = self.quectel(user, "POST", "shareInfo", "share_info", pk=mode.name, dk=DK)
        return str(answer.json()["data"])

    def accept(self, user: int, code: str) -> Response:
        return self.quectel(user, "POST", "shareDevice", "share_device", shareCode=code)

    def operator(self, mode: Mode, does: str) -> Response:
        device = identity.opaque(identity.manufactured_device(mode.name, SN))
        return admin("devices", "POST", f"devices/{device}/{does}", {"reason": "stolen"} if does == "ban" else None)

    def register(self, customer: int) -> Response:
        body = {"external-device-identifier": IMEI, "operating-system": "iOS 9.x", "nickname": "My Phone"}
        headers = {"authorization": f"bearer {self.customers[customer]}"}
        asked = event("POST", "/v1/device/owned-devices", headers=headers, body=json.dumps(body))
        return invoke("asseco.register_owned_device", asked)

    def delete_attempts(self) -> None:
        """Start a new day for the throttling."""
        for item in stored(Table.BINDINGS):
            if item["pk"].startswith("attempts#"):
                dynamodb.write(Delete(Key(Table.BINDINGS, item["pk"], item["sk"])))

    def unregister(self, customer: int) -> Response:
        path, headers = f"/v1/device/devices/{IMEI}/unregister", {"authorization": f"bearer {self.customers[customer]}"}
        asked = event("POST", path, headers=headers, path_parameters={"imei": IMEI})
        return invoke("asseco.unregister_device", asked)

    def remoteit(self, user: int, operation: str, path: str, **body: str) -> Response:
        headers = {"developerkey": self.developer, "token": self.callers[user]}
        asked = event("POST", path, headers=headers, body=json.dumps({"deviceaddress": ADDRESS, **body}))
        return invoke(f"remoteit.{operation}", asked)

    def connect(self, user: int) -> Response:
        return self.remoteit(user, "connect_device", "/apv/v27/device/connect")

    def stop(self, user: int, connection: str) -> Response:
        return self.remoteit(user, "stop_connection", "/apv/v27/device/connect/stop", connectionid=connection)

    def add(self, player: int) -> Response:
        names = ("device_os", "device_version", "device_type", "app_version", "app_name")
        body = {"mac_address": MAC} | dict.fromkeys(names, f"value {player}")
        return invoke("vodlix.add_device", event("POST", "/api/v2/device", body=json.dumps(body)))


def camera() -> str:
    """Return the device at the service address."""
    return identity.company_device("acme", *CAMERA)


def whole() -> list[dict[str, Any]]:
    """Return the bindings table, after checking all invariants and the index by holder."""
    tables = everything()
    assert broken(tables) == []
    held = [item for item in tables["BINDINGS"] if "holder" in item and "holder_sort" in item]
    pages = boto3.client("dynamodb").get_paginator("scan")
    name = env.read(Table.BINDINGS.value)
    index = [decode(item) for page in pages.paginate(TableName=name, IndexName="by_holder") for item in page["Items"]]
    assert sorted(index, key=_place) == sorted(held, key=_place)
    return tables["BINDINGS"]


def _place(item: dict[str, Any]) -> tuple[str, str]:
    return item["pk"], item["sk"]
