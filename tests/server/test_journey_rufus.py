"""The rufus API as a company's client uses it: bind, show, list, rename, connect and unbind devices."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.server.servers import Server

CAMERA = {"model": "Camera", "serial_number": "CAMERA-1"}
"""A demo device that has a service address."""
LAMPS = [{"model": "Journey Lamp", "serial_number": f"LAMP-{number}"} for number in range(5)]


class Company:
    """A client of one company, with its demo keys."""

    def __init__(self, server: Server, suffix: str = "") -> None:
        self.http = httpx.Client(base_url=server.url, timeout=30)
        self.demo, self.suffix = server.environment, suffix

    def ask(self, key: str, method: str, path: str = "", **given: Any) -> httpx.Response:
        headers = {"api_key": self.demo[f"RUFUS_{key}_KEY{self.suffix}"]}
        return self.http.request(method, f"/v0/devices{path}", headers=headers, **given)

    def bind(self, **device: str) -> str:
        answer = self.ask("API", "POST", json=device)
        assert answer.status_code == 201, answer.text
        deviceid: str = answer.json()["deviceid"]
        return deviceid

    def get(self, deviceid: str) -> httpx.Response:
        return self.ask("READ", "GET", f"/{deviceid}")

    def unbind(self, deviceid: str, key: str = "UNBIND") -> httpx.Response:
        return self.ask(key, "DELETE", f"/{deviceid}")

    def listed(self, limit: int = 2) -> list[dict[str, Any]]:
        """Return all devices, following the pagination until `has_more` is false."""
        found: list[dict[str, Any]] = []
        for page in range(1, 1000):
            answer = self.ask("READ", "GET", params={"page": page, "limit": limit}).json()
            found += answer["result"]
            if not answer["pagination"]["has_more"]:
                break
        assert answer["pagination"] == {"page": page, "limit": limit, "total": len(found), "has_more": False}
        return found

    def connect(self) -> httpx.Response:
        headers = {
            "developerkey": self.demo[f"REMOTEIT_DEVELOPER_KEY{self.suffix}"],
            "token": self.demo[f"REMOTEIT_TOKEN{self.suffix}"],
        }
        body = {"deviceaddress": self.demo[f"REMOTEIT_DEVICE_ADDRESS{self.suffix}"], "wait": "true"}
        return self.http.post("/apv/v27/device/connect", headers=headers, json=body)


@pytest.fixture
def company(server: Server) -> Iterator[Company]:
    client = Company(server)
    with client.http:
        yield client


@pytest.fixture
def other(server: Server) -> Iterator[Company]:
    client = Company(server, "_OTHER")
    with client.http:
        yield client


def test_devices_are_bound_shown_listed_renamed_and_unbound(company: Company) -> None:
    before = company.listed()
    bound = [company.bind(**lamp, alias="new") for lamp in LAMPS]
    assert [device["deviceid"] for device in company.listed(limit=3)] == [
        *(device["deviceid"] for device in before),
        *bound,
    ]

    shown = company.get(bound[0])
    assert shown.status_code == 200
    first = shown.json()["result"]
    assert (first["alias"], first["firmware"], first["sessions"], first["last_seen"]) == ("new", None, 0, None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["creation_date"])

    assert company.bind(**LAMPS[0], alias="hall", firmware="2.0") == bound[0]
    assert company.get(bound[0]).json()["result"] == first | {"alias": "hall", "firmware": "2.0"}

    assert company.unbind(bound[0], "API").status_code == company.unbind(bound[0], "READ").status_code == 403
    for deviceid in bound:
        answer = company.unbind(deviceid)
        assert (answer.status_code, answer.text) == (
            200,
            f'{{"description":"Device unbinded succesfully","deviceid":"{deviceid}"}}',
        )
        assert company.get(deviceid).status_code == company.unbind(deviceid).status_code == 404
    assert company.listed() == before

    assert company.bind(**LAMPS[0]) == bound[0]
    again = company.get(bound[0]).json()["result"]
    assert (again["alias"], again["firmware"]) == (None, None)
    assert again["creation_date"] > first["creation_date"]
    company.unbind(bound[0])


def test_same_serial_number_of_two_companies_is_two_devices(company: Company, other: Company) -> None:
    ours, theirs = company.bind(**LAMPS[0], alias="ours"), other.bind(**LAMPS[0], alias="theirs")
    assert ours != theirs
    unknown = company.get("0" * 64)
    assert (unknown.status_code, unknown.text) == (404, '{"description":"Device not found"}')
    assert (company.get(theirs).text, other.get(ours).text) == (unknown.text, unknown.text)
    assert company.unbind(theirs).text == f'{{"description":"Device not found","deviceid":"{theirs}"}}'
    assert theirs not in str(company.listed(limit=5000))
    assert ours not in str(other.listed(limit=5000))
    assert company.unbind(ours).status_code == 200
    assert other.get(theirs).json()["result"]["alias"] == "theirs"
    assert other.unbind(theirs).status_code == 200


def test_device_can_be_connected_only_while_bound(company: Company) -> None:
    deviceid = company.bind(**CAMERA)
    try:
        assert company.connect().status_code == 200
        assert company.unbind(deviceid).status_code == 200
        refused = company.connect()
        assert (refused.status_code, "[0405]" in refused.text) == (403, True)
    finally:
        assert company.bind(**CAMERA) == deviceid
    assert company.connect().status_code == 200
