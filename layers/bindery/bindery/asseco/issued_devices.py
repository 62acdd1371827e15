"""Issued devices (asseco): payment cards and authentication devices."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from bindery import directory
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.aws.expressions import equals, exists
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import bulk_import
from bindery.http.fields import (
    ID,
    STORED,
    Customer,
    Identifier128,
    OptionalIdentifier128,
    OptionalText128,
    OptionalText512,
    Text64,
)
from bindery.registry import items

_MASK = "*#xX\u2022\u25cf\u2026\u2217"

_UNMASKED = str.maketrans("", "", _MASK)


def _no_card_number(value: str) -> str:
    # Check the segments of a URL separately: they are often the parts of a date.
    for part in value.split("/") if "://" in value else [value]:
        # Ignore separators, such as spaces, punctuation and invisible characters. Count the digits of any script.
        row = "".join("0" if char.isdigit() else char for char in part if char.isalnum() or char in _MASK)
        # A masked number may show twelve digits: the first eight and the last four.
        if "0" * 12 in row or "0" * 13 in row.translate(_UNMASKED):
            raise PydanticCustomError("card_number", "twelve digits in a row may be a card number")
    return value


Nickname = Annotated[Text64, AfterValidator(_no_card_number)]


class Kind(StrEnum):
    """Kind of an issued device."""

    PAYMENT_CARD = "payment-card"
    SMART_CARD = "smart-card"
    OTP_TOKEN = "otp-token"  # noqa: S105 (not a password)


class Capability(StrEnum):
    """Capability of an issued device."""

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
    """Status of an issued device."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    UNREGISTERED = "unregistered"


class CardStatus(StrEnum):
    """Status of a payment card."""

    INACTIVE = "inactive"
    VALID = "valid"
    EXPIRED = "expired"
    BLOCKED = "blocked"
    REPORTED_AS_LOST = "reported-as-lost"


class CardKind(StrEnum):
    """Kind of card. Banks may use others."""

    DEBIT_CARD = "debit-card"
    CREDIT_CARD = "credit-card"
    PREPAID_CARD = "prepaid-card"
    CHARGE_CARD = "charge-card"
    STORED_VALUE_CARD = "stored-value-card"


class IssuedDevice(BaseModel):
    """An issued device."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device_id: Identifier128
    kind: Kind
    holder_id: OptionalIdentifier128 = None
    """Set if the holder is not the customer."""
    capabilities: list[Capability] = []
    status: Status = Status.ACTIVE

    # Set by the customer. Operators do not enter it, and imports keep it.
    _nickname: str | None = PrivateAttr(None)

    @property
    def nickname(self) -> str | None:
        """Return the nickname."""
        return self._nickname

    @model_validator(mode="after")
    def _holds_no_card_number(self, info: ValidationInfo) -> Self:
        if info.context is STORED:
            return self
        for value in self.__dict__.values():
            if isinstance(value, str):
                _no_card_number(value)
        return self


class PaymentCard(IssuedDevice):
    """A payment card, valid through its expiration date."""

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


class IssuedTo(BaseModel):
    """Identity in an import row."""

    model_config = ConfigDict(defer_build=True)

    customer: Customer
    device_id: Annotated[str, Field(**ID)]


def enter(customer: str, **members: Any) -> None:
    """Create or replace a device, except its nickname. Raises `INVALID`, also for card numbers."""
    try:
        device = _model(members.get("kind")).model_validate(members)
    except ValidationError as error:
        problems = (": ".join([*map(str, found["loc"]), found["msg"]]) for found in error.errors())
        # Not chained: pydantic's error shows the refused values.
        raise Refused(Reason.INVALID, problems="; ".join(problems)) from None
    dynamodb.write(_record(customer, device).write)


def import_rows(rows: Sequence[Mapping[str, Any]], *, dry_run: bool) -> bulk_import.Report:
    """Create or replace devices, given a `customer` and the members for `enter` in each row."""
    return bulk_import.run(rows, _from_row, dry_run=dry_run)


def find(customer: str, device_id: str) -> IssuedDevice:
    """Return a customer's device. Raises `DEVICE_UNKNOWN`."""
    item = dynamodb.get(items.issued_device(customer, device_id))
    if item is None:
        raise Refused(Reason.DEVICE_UNKNOWN)
    return _from_item(customer, item)


def list_devices(customer: str) -> list[IssuedDevice]:
    """Return a customer's devices, by id."""
    found = dynamodb.query(items.issued_devices(customer), consistent=True)
    return [_from_item(customer, item) for item in found]


class Page(NamedTuple):
    """A page, and the cursor of the next."""

    devices: list[IssuedDevice]
    cursor: str | None


def list_page(customer: str, limit: int, cursor: str | None) -> Page:
    """Return a page of a customer's devices."""
    found = dynamodb.page(items.issued_devices(customer), limit, cursor)
    return Page([_from_item(customer, item) for item in found.items], found.cursor)


def change(
    customer: str, device_id: str, *, status: Status | None = None, card_status: CardStatus | None = None
) -> IssuedDevice:
    """Change and return a device. Raises `NOT_FOUND` and `INVALID` (not a card)."""
    changes: items.IssuedDevice = {}
    if status is not None:
        changes["status"] = status
    if card_status is not None:
        changes["card_status"] = card_status
    key = items.issued_device(customer, device_id)
    directory.change(key, changes, directory.EXISTS if card_status is None else _IS_CARD)
    return _from_item(customer, directory.show(key))


def held_for_others(customer: str) -> Iterator[items.IssuedDevice]:
    """Yield other customers' devices that this one holds, by the index."""
    return dynamodb.query(items.issued_to_others(customer), round_trips=_ROUND_TRIPS)


def names_holder(item: items.IssuedDevice, customer: str) -> bool:
    """Return True if a device names this customer as its holder."""
    return item.get("collection") == items.issued_to_others(customer).value


def remove_holder(item: items.IssuedDevice) -> None:
    """Remove the holder's id and name. Raises `CONFLICT`."""
    removed: items.IssuedDevice = {"holder_id": None}
    if "cardholder_name" in item:
        removed["cardholder_name"] = None
    unchanged = equals("holder_id", item["holder_id"]).raises(Reason.CONFLICT)
    dynamodb.write(items.key_of(Table.DIRECTORY, item).update(set=removed, remove=["collection"], when=unchanged))


def rename(customer: str, device_id: str, nickname: str) -> None:
    """Set the nickname. Raises `DEVICE_UNKNOWN`."""
    changes: items.IssuedDevice = {"nickname": nickname}
    directory.change(items.issued_device(customer, device_id), changes, _IS_ISSUED)


_ROUND_TRIPS = 50
_IS_ISSUED = exists().raises(Reason.DEVICE_UNKNOWN)
_IS_CARD = exists("card_status").raises(
    lambda found: Reason.INVALID if found else Reason.NOT_FOUND,
    detail="The customer has no payment card of this id.",
)


def _record(customer: str, device: IssuedDevice) -> bulk_import.Record:
    key = items.issued_device(customer, device.device_id)
    facts = cast("items.IssuedDevice", device.model_dump(mode="json"))
    stored = facts
    if device.holder_id is not None:
        collection = items.issued_to_others(device.holder_id).value
        if collection != items.issued_to_others(customer).value:
            stored = facts | {"collection": collection}
    # A device that is no longer a card, or no longer held by another customer, loses those attributes.
    others = [name for name in (*PaymentCard.model_fields, "collection") if name not in stored]
    return bulk_import.Record(key, facts, key.update(set=stored, remove=others))


def _from_row(row: Mapping[str, Any]) -> bulk_import.Record:
    ids = IssuedTo.model_validate(row)
    members = {name: value for name, value in row.items() if name != "customer"}
    return _record(ids.customer, _model(row.get("kind")).model_validate(members))


def _model(kind: object) -> type[IssuedDevice]:
    return PaymentCard if kind == Kind.PAYMENT_CARD else IssuedDevice


def _from_item(customer: str, item: items.IssuedDevice) -> IssuedDevice:
    stored: Mapping[str, object] = item
    model = _model(item["kind"])
    device = model.model_validate({name: stored[name] for name in model.model_fields}, context=STORED)
    device._nickname = item.get("nickname")
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
