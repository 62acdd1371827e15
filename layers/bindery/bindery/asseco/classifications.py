"""Classifications (asseco): the API's enumerations."""

from collections.abc import Mapping
from typing import NamedTuple

from bindery.asseco.issued_devices import Capability, CardKind, CardStatus, Kind
from bindery.asseco.owned_devices import IdentifierKind, PushPlatform, Status
from bindery.core.errors import Reason, Refused


class Classification(NamedTuple):
    """An enumeration of the API."""

    schema_id: str
    name: str
    description: str
    values: Mapping[str, str]


ALL = (
    Classification(
        "device-kinds",
        "Device Kinds",
        "What the bank issues",
        {
            Kind.PAYMENT_CARD: "Payment card",
            Kind.SMART_CARD: "Smart card",
            Kind.OTP_TOKEN: "Token that makes one-time passwords",
        },
    ),
    Classification(
        "device-capabilities",
        "Device Capabilities",
        "What a device can do",
        {
            Capability.HMAC: "Message authentication codes (HMAC)",
            Capability.PKI: "Public key cryptography (PKI)",
            Capability.SECURE_ELEMENT: "Secure element",
            Capability.MAGNETIC_STRIPE: "Magnetic stripe",
            Capability.PUSH: "Push notifications",
            Capability.TELEPHONY: "Telephony",
            Capability.SMS: "Text messages (SMS)",
            Capability.ICC: "Integrated circuit card (ICC)",
            Capability.NFC: "Near-field communication (NFC)",
            Capability.DISPLAY: "Display",
        },
    ),
    Classification(
        "device-statuses",
        "Device Statuses",
        "What a device is good for",
        {
            Status.ACTIVE: "Active",
            Status.BLOCKED: "Blocked",
            Status.UNREGISTERED: "Unregistered",
        },
    ),
    Classification(
        "card-statuses",
        "Card Statuses",
        "What a payment card is good for",
        {
            CardStatus.INACTIVE: "Not activated",
            CardStatus.VALID: "Valid",
            CardStatus.EXPIRED: "Expired",
            CardStatus.BLOCKED: "Blocked",
            CardStatus.REPORTED_AS_LOST: "Reported as lost",
        },
    ),
    Classification(
        "card-kinds",
        "Card Kinds",
        "What a payment card is, as a rule: a bank may have others",
        {
            CardKind.DEBIT_CARD: "Debit card",
            CardKind.CREDIT_CARD: "Credit card",
            CardKind.PREPAID_CARD: "Prepaid card",
            CardKind.CHARGE_CARD: "Charge card",
            CardKind.STORED_VALUE_CARD: "Stored-value card",
        },
    ),
    Classification(
        "device-id-kinds",
        "Device ID Kinds",
        "What the identifier of an owned device is",
        {
            IdentifierKind.IMEI: "International Mobile Equipment Identity (IMEI)",
            IdentifierKind.APP_ID: "Id of an installed app",
        },
    ),
    Classification(
        "push-platforms",
        "Push Platforms",
        "Whose push notifications a device receives",
        {
            PushPlatform.APNS: "Apple Push Notification service (APNs)",
            PushPlatform.GCM: "Google Cloud Messaging (GCM)",
            PushPlatform.WNS: "Windows Push Notification Services (WNS)",
            PushPlatform.MPNS: "Microsoft Push Notification Service (MPNS)",
        },
    ),
)

_BY_ID = {classification.schema_id: classification for classification in ALL}


def find(schema_id: str) -> Classification:
    """Return a classification by id. Raises `NOT_FOUND`."""
    if schema_id not in _BY_ID:
        raise Refused(Reason.NOT_FOUND)
    return _BY_ID[schema_id]
