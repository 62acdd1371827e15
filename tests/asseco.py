"""asseco: requests of a bank's customers, and exact responses."""

from typing import Any

from bindery.asseco import issued_devices
from bindery.asseco.owned_devices import Status
from bindery.aws import dynamodb
from bindery.registry import identity, items
from tests.http_api import Response
from tests.openid import CUSTOMER, Bank
from tests.sample_requests import send

IMEI = "990000862471854"
DEVICE = identity.customer_device(IMEI)
SAMPLE = {
    "external-device-identifier": IMEI,
    "operating-system": "iOS 9.x",
    "nickname": "My Phone",
    "brand-name": "Apple IPhone",
    "model-name": "IP-6S",
}

PUSH = {"push-platform": "apns", "pns-handle": "740f4707"}

REGISTERED = '{"id":"990000862471854","CreatedRecordStatus":"active"}'
UNREGISTERED = '{"id":"990000862471854","CreatedRecordStatus":"unregistered"}'
UNKNOWN = '{"problem":"device-not-exist","message":"The device does not exist"}'
STATUS_NOT_VALID = '{"problem":"device-status-not-valid","message":"The device\'s status does not allow this"}'
IMEI_NOT_UNIQUE = '{"problem":"imei-not-unique","message":"A device with this identifier is registered already"}'
NICKNAME_NOT_UNIQUE = '{"problem":"nickname-not-unique","message":"Another device of the customer has this nickname"}'
FORBIDDEN = '{"problem":"forbidden","message":"The access token does not have the scope that this needs"}'
IMEI_NOT_SET = '{"problem":"imei-not-set","message":"The device\'s identifier is not set"}'
NICKNAME_NOT_SET = '{"problem":"nickname-not-set","message":"The device\'s nickname is not set"}'
OPERATING_SYSTEM_NOT_SET = (
    '{"problem":"operating-system-not-set","message":"The device\'s operating system is not set"}'
)
PUSH_EXISTS = (
    '{"problem":"valid-push-registration-exist","message":"The device is registered with this push handle already"}'
)
MESSAGES = {
    "required": "A value is required",
    "max-length": "The value is too long",
    "unknown-enum": "The value is not one of those defined",
    "invalid-format": "The value does not have the format required",
}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"bearer {token}"}


def ask(
    bank: Bank, name: str, identifier: str = IMEI, body: Any = None, *, who: str = CUSTOMER, by: str = "device-id"
) -> Response:
    """Send a customer's request for one device or classification; `by` is the name of the path parameter."""
    return send(f"asseco.{name}", bearer(bank.token(sub=who)), path={by: identifier}, body=body)


def register(bank: Bank, body: Any, who: str = CUSTOMER) -> Response:
    return send("asseco.register_owned_device", bearer(bank.token(sub=who)), body=body)


def get(bank: Bank, identifier: str = IMEI, who: str = CUSTOMER, by: str = "imei") -> Response:
    return ask(bank, "get_device", identifier, who=who, by=by)


def unregister(bank: Bank, identifier: str = IMEI, who: str = CUSTOMER, by: str = "imei") -> Response:
    return ask(bank, "unregister_device", identifier, who=who, by=by)


def get_issued(bank: Bank, identifier: str) -> Response:
    return ask(bank, "get_issued_device", identifier)


def owned(bank: Bank, query: str = "") -> Response:
    return send("asseco.list_owned_devices", bearer(bank.token()), query=query)


def issued(bank: Bank, query: str = "") -> Response:
    return send("asseco.list_issued_devices", bearer(bank.token()), query=query)


def block(identifier: str = IMEI) -> None:
    owner = items.owner(identity.customer_device(identifier))
    dynamodb.write(owner.update(set={"status": Status.BLOCKED}))


def card(device_id: str, **members: Any) -> None:
    issued_devices.enter(CUSTOMER, device_id=device_id, kind="payment-card", **{"card_status": "valid", **members})
