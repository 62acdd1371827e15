"""asseco: payment cards and authentication devices that a bank issued to its customers (document 002).

Operators enter them, customers see their status. Full card numbers have no place here: none is accepted.
"""

import re
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from bindery import clock, dynamo, identity
from bindery.dynamo import Item, Key, Put, Table
from bindery.faults import Fault, Reason
from bindery.fields import OptionalText128, OptionalText512, Text128

_CARD_NUMBER = re.compile(r"\d(?:[\s.\-\u2010-\u2015]{0,2}\d){11}")
"""Twelve digits in a row, in groups or not."""


class Kind(StrEnum):
    """What was issued."""

    PAYMENT_CARD = "payment-card"
    SMART_CARD = "smart-card"
    OTP_TOKEN = "otp-token"  # noqa: S105 (no password)


class Capability(StrEnum):
    """What an issued device can do."""

    HMAC = "hmac"
    PKI = "pki"
    SECURE_ELEMENT = "secure-element"
    MAGNETIC_STRIPE = "magnetic-stripe"
    PUSH = "push"
    TELEPHONY = "telephony"
    SMS = "sms"
    ICC = "icc"
    NFC = "nfc"
    DISPLAY = "display"


class Status(StrEnum):
    """What an issued device is good for."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    UNREGISTERED = "unregistered"


class CardStatus(StrEnum):
    """What a payment card is good for."""

    INACTIVE = "inactive"
    VALID = "valid"
    EXPIRED = "expired"
    BLOCKED = "blocked"
    REPORTED_AS_LOST = "reported-as-lost"


class IssuedDevice(BaseModel):
    """A device as an operator enters it and its customer sees it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device_id: Text128
    kind: Kind
    holder_id: OptionalText128 = None
    """Who holds it, if that is another than the customer."""
    capabilities: list[Capability] = []
    status: Status = Status.ACTIVE

    @model_validator(mode="after")
    def _holds_no_card_number(self) -> Self:
        if any(isinstance(value, str) and _CARD_NUMBER.search(value) for value in self.__dict__.values()):
            raise ValueError("twelve digits in a row may be a card number")
        return self


class PaymentCard(IssuedDevice):
    """A payment card, and what no other device has. The expiration date is the last day on which it is good."""

    masked_card_number: OptionalText128 = None
    is_primary: bool | None = None
    card_status: CardStatus
    cardholder_name: OptionalText128 = None
    delivery_date: date | None = None
    activation_date: date | None = None
    expiration_date: date | None = None
    card_kind: OptionalText128 = None
    card_brand: OptionalText128 = None
    card_image_url: OptionalText512 = None


def enter(customer: str, **members: Any) -> None:
    """Enter a device issued to a customer, with the members of `IssuedDevice` or `PaymentCard`, or replace it.

    Raises `INVALID` with what is wrong in its detail; a text in which twelve digits stand in a row is.
    """
    try:
        device = _model(members.get("kind")).model_validate(members)
    except ValidationError as error:
        wrong = (": ".join([*map(str, found["loc"]), found["msg"]]) for found in error.errors())
        # Not chained: the error itself would show the values that were refused.
        raise Fault(Reason.INVALID, problems="; ".join(wrong)) from None
    dynamo.write(Put(_key(customer, device.device_id), device.model_dump(mode="json")))


def find(customer: str, device_id: str) -> IssuedDevice:
    """A device issued to a customer. Raises `DEVICE_UNKNOWN`: there is none, or it was issued to another."""
    item = dynamo.get(_key(customer, device_id))
    if item is None:
        raise Fault(Reason.DEVICE_UNKNOWN)
    return _read(customer, item)


def issued(customer: str) -> list[IssuedDevice]:
    """The devices issued to a customer by id: as many as two round trips bring, some thousands."""
    key = _key(customer, "")
    found = dynamo.query(
        key.table, "#pk = :pk AND begins_with(#sk, :issued)", {":pk": key.pk, ":issued": key.sk}, consistent=True
    )
    return [_read(customer, item) for item in found]


def _key(customer: str, device_id: str) -> Key:
    return Key(Table.DIRECTORY, identity.customer_holder(customer), f"issued#{identity.canonical(device_id)}")


def _model(kind: object) -> type[IssuedDevice]:
    return PaymentCard if kind == Kind.PAYMENT_CARD else IssuedDevice


def _read(customer: str, item: Item) -> IssuedDevice:
    """What was entered, as it is today: a card whose last day has passed is expired, unless it is worse than that."""
    model = _model(item["kind"])
    device = model.model_validate({name: item[name] for name in model.model_fields})
    today: dict[str, str] = {}
    if device.holder_id is None:
        today["holder_id"] = customer
    if (
        isinstance(device, PaymentCard)
        and device.expiration_date is not None
        and device.expiration_date < datetime.fromtimestamp(clock.seconds(), UTC).date()
        and device.card_status in (CardStatus.INACTIVE, CardStatus.VALID)
    ):
        today["card_status"] = CardStatus.EXPIRED
    return device.model_copy(update=today)
