"""asseco: payment cards and authentication devices that a bank issued to its customers (document 002).

Operators enter them, customers see their status and give them nicknames. Full card numbers have no place here: none is
accepted.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, Self

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
from bindery.aws.dynamodb import Condition, Item, Key, Table, Update
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
from bindery.registry import identity

_MASK = "*#xX\u2022\u25cf\u2026\u2217"
"""What stands for digits that are not shown, and so parts those that are: asterisks, hashes, bullets, an ellipsis."""

_UNMASKED = str.maketrans("", "", _MASK)


def _no_card_number(value: str) -> str:
    # Folders of a URL are words apart: they are often a date.
    for word in value.split("/") if "://" in value else [value]:
        # What else is no letter only parts groups: blanks, marks, what cannot be seen. Digits are of any script.
        row = "".join("0" if char.isdigit() else char for char in word if char.isalnum() or char in _MASK)
        # Twelve may be shown of a number that is masked, its first eight and last four.
        if "0" * 12 in row or "0" * 13 in row.translate(_UNMASKED):
            raise PydanticCustomError("card_number", "twelve digits in a row may be a card number")
    return value


Nickname = Annotated[Text64, AfterValidator(_no_card_number)]
"""What a customer may call an issued device."""


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


class CardKind(StrEnum):
    """What a payment card is, as far as the API knows; a bank may have others."""

    DEBIT_CARD = "debit-card"
    CREDIT_CARD = "credit-card"
    PREPAID_CARD = "prepaid-card"
    CHARGE_CARD = "charge-card"
    STORED_VALUE_CARD = "stored-value-card"


class IssuedDevice(BaseModel):
    """A device as an operator enters it and its customer sees it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device_id: Identifier128
    kind: Kind
    holder_id: OptionalIdentifier128 = None
    """Who holds it, if that is another than the customer."""
    capabilities: list[Capability] = []
    status: Status = Status.ACTIVE

    # The customer's own, which no operator enters and no import replaces.
    _nickname: str | None = PrivateAttr(None)

    @property
    def nickname(self) -> str | None:
        """What its customer calls it."""
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


class IssuedTo(BaseModel):
    """What names an issued device to operators: the customer as the issuer does, and an id that can stand in a path."""

    model_config = ConfigDict(defer_build=True)

    customer: Customer
    device_id: Annotated[str, Field(**ID)]


def enter(customer: str, **members: Any) -> None:
    """Enter a device issued to a customer, with the members of `IssuedDevice` or `PaymentCard`, or replace it.

    The nickname that its customer gave it stays. Raises `INVALID` with what is wrong in its detail; a text in which
    twelve digits stand in a row is.
    """
    try:
        device = _model(members.get("kind")).model_validate(members)
    except ValidationError as error:
        wrong = (": ".join([*map(str, found["loc"]), found["msg"]]) for found in error.errors())
        # Not chained: the error itself would show the values that were refused.
        raise Refused(Reason.INVALID, problems="; ".join(wrong)) from None
    dynamodb.write(_record(customer, device).write)


def import_rows(rows: Sequence[Mapping[str, Any]], *, dry_run: bool) -> bulk_import.Report:
    """Enter devices, or replace them whole: each row has a `customer` beside what `enter` takes.

    See `bulk_import.run`. The device's id must be one that can stand in a path.
    """
    return bulk_import.run(rows, _read_row, dry_run=dry_run)


def find(customer: str, device_id: str) -> IssuedDevice:
    """A device issued to a customer. Raises `DEVICE_UNKNOWN`: there is none, or it was issued to another."""
    item = dynamodb.get(_key(customer, device_id))
    if item is None:
        raise Refused(Reason.DEVICE_UNKNOWN)
    return _read(customer, item)


def issued(customer: str) -> list[IssuedDevice]:
    """The devices issued to a customer by id: as many as two round trips bring, some thousands."""
    found = dynamodb.query(Table.DIRECTORY, _ISSUED, _values(customer), consistent=True)
    return [_read(customer, item) for item in found]


class Page(NamedTuple):
    """Part of the devices issued to a customer, and where the next part begins (None: this was the last)."""

    devices: list[IssuedDevice]
    cursor: str | None


def page(customer: str, limit: int, cursor: str | None) -> Page:
    """Part of the devices issued to a customer, by id. Raises `INVALID`: the cursor is none."""
    found = dynamodb.page(Table.DIRECTORY, _ISSUED, _values(customer), limit=limit, cursor=cursor)
    return Page([_read(customer, item) for item in found.items], found.cursor)


def change(customer: str, device_id: str, **members: Any) -> IssuedDevice:
    """Change a device's `status`, a payment card's `card_status`, or both, and return what its customer sees now.

    Raises `NOT_FOUND`, and `INVALID` for a card status of what is no payment card.
    """
    key = _key(customer, device_id)
    directory.change(key, members, _IS_CARD if "card_status" in members else directory.EXISTS)
    return _read(customer, directory.show(key))


def held_for_others(customer: str) -> Iterator[Item]:
    """Yield the devices issued to other customers that name this one as their holder, as the index shows them."""
    listed = {":list": _held_by(customer)}
    return dynamodb.query(Table.DIRECTORY, "#list = :list", listed, index=directory.BY_LIST, round_trips=_ROUND_TRIPS)


def names_holder(item: Item, customer: str) -> bool:
    """True if a device's record names this customer as the holder of another customer's device."""
    return item.get("list") == _held_by(customer)


def remove_holder(item: Item) -> None:
    """Remove the holder's id and the cardholder's name from another customer's device: its customer holds it now.

    Raises `CONFLICT` if the holder has changed since the record was read.
    """
    personal = [name for name in ("holder_id", "cardholder_name") if name in item]
    dynamodb.write(
        Update(
            Key(Table.DIRECTORY, item["pk"], item["sk"]),
            f"SET {', '.join(f'#{name} = :none' for name in personal)} REMOVE #list",
            {":none": None},
            Condition(
                expression="#holder_id = :holder_id",
                values={":holder_id": item["holder_id"]},
                otherwise=Reason.CONFLICT,
            ),
        )
    )


def rename(customer: str, device_id: str, nickname: str) -> None:
    """Give a customer's device a nickname (`Nickname`), which need not be one of a kind. Raises `DEVICE_UNKNOWN`."""
    directory.change(_key(customer, device_id), {"nickname": nickname}, _IS_ISSUED)


_ROUND_TRIPS = 50
_ISSUED = "#pk = :pk AND begins_with(#sk, :issued)"
_IS_ISSUED = Condition(expression="attribute_exists(#pk)", otherwise=Reason.DEVICE_UNKNOWN)
_IS_CARD = Condition(
    expression="attribute_exists(#card_status)",
    otherwise=lambda found: Reason.INVALID if found else Reason.NOT_FOUND,
    detail={"detail": "The customer has no payment card of this id."},
)


def _values(customer: str) -> Item:
    key = _key(customer, "")
    return {":pk": key.pk, ":issued": key.sk}


def _record(customer: str, device: IssuedDevice) -> bulk_import.Record:
    key, facts = _key(customer, device.device_id), device.model_dump(mode="json")
    stored = facts
    if device.holder_id is not None and _held_by(device.holder_id) != _held_by(customer):
        stored = facts | {"list": _held_by(device.holder_id)}
    expression = "SET " + ", ".join(f"#{name} = :{name}" for name in stored)
    # What a card alone has goes if it is none any more; what is not the operators', the nickname, stays.
    if others := [f"#{name}" for name in (*PaymentCard.model_fields, "list") if name not in stored]:
        expression += f" REMOVE {', '.join(others)}"
    return bulk_import.Record(
        key, facts, Update(key, expression, {f":{name}": value for name, value in stored.items()})
    )


def _held_by(holder: str) -> str:
    """Partition of the index by list that holds other customers' devices which name this holder."""
    return identity.join("held", identity.canonical(holder))


def _read_row(row: Mapping[str, Any]) -> bulk_import.Record:
    ids = IssuedTo.model_validate(row)
    members = {name: value for name, value in row.items() if name != "customer"}
    return _record(ids.customer, _model(row.get("kind")).model_validate(members))


def _key(customer: str, device_id: str) -> Key:
    return Key(Table.DIRECTORY, identity.customer_holder(customer), f"issued#{identity.canonical(device_id)}")


def _model(kind: object) -> type[IssuedDevice]:
    return PaymentCard if kind == Kind.PAYMENT_CARD else IssuedDevice


def _read(customer: str, item: Item) -> IssuedDevice:
    """What was entered, as it is today: a card whose last day has passed is expired, unless it is worse than that."""
    model = _model(item["kind"])
    device = model.model_validate({name: item[name] for name in model.model_fields}, context=STORED)
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
