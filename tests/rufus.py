"""rufus: two companies with API keys, and requests with them."""

from typing import Any

from bindery.directory import accounts, api_keys
from bindery.directory.api_keys import Grant, Kind
from bindery.rufus import company_devices
from tests.http_api import Response
from tests.sample_requests import send

KEY = "ror-ae4fc6c19681a20fad30"
READER = "ror-00000000000000000001"
UNBINDER = "ror-00000000000000000002"
OTHER = "ror-00000000000000000003"
SAMPLE = {"model": "Model X1", "serial_number": "DEVICE-123"}


def install() -> None:
    """Create the companies acme, with three keys, and other."""
    for account in ("acme", "other"):
        accounts.create(account, name=account)
    api_keys.issue("acme", Kind.RUFUS, Grant.READ_WRITE, alias="all", chosen=KEY)
    api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias="reader", chosen=READER)
    api_keys.issue("acme", Kind.RUFUS, Grant.WRITE, alias="unbinder", unbind=True, chosen=UNBINDER)
    api_keys.issue("other", Kind.RUFUS, Grant.READ_WRITE, alias="other", unbind=True, chosen=OTHER)


def bound(serial: str = "DEVICE-123", account: str = "acme", **given: Any) -> str:
    """Bind a device without a request, and return its deviceid."""
    return company_devices.bind(account, "Model X1", serial, **{"alias": None, "firmware": None, "kind": None, **given})


def bind(body: Any = None, key: str = KEY, *, header: str = "api_key") -> Response:
    return send("rufus.bind_device", {header: key}, body=SAMPLE if body is None else body)


def get(deviceid: str, key: str = READER) -> Response:
    return send("rufus.get_device", {"api_key": key}, path={"deviceid": deviceid})


def unbind(deviceid: str, key: str = UNBINDER) -> Response:
    return send("rufus.unbind_device", {"api_key": key}, path={"deviceid": deviceid})


def page(query: Any = "", key: str = READER) -> Response:
    return send("rufus.list_devices", {"api_key": key}, query=query)
