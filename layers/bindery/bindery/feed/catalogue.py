"""All types of events, with the members of their `data`. docs/events.md and the JSON Schema are generated from it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class EventType(NamedTuple):
    """A type of events."""

    description: str
    members: Mapping[str, str]
    """Description of each member of `data`."""
    optional: frozenset[str] = frozenset()
    """Members that are not in every event."""


_DEVICE = {"device": "Id of the device in the admin API.", "api": "API to which the device belongs."}
_BINDING = {"binding": "Id of the binding."}
_HOLDER = {"holder": "Holder of the binding: `kind` (account, user or customer) and `id`; for a person a pseudonym."}
_USER = {"user": "User with whom the device is shared: `kind` and `id`, a pseudonym."}
_RECEIVER = {"user": "User to whom the device is offered: `kind` and `id`, a pseudonym."}
_OPERATOR = {"operator": "ARN of the operator."}
_REASON = {"reason": "Reason that the operator specified."}
_SUBJECT = {
    "subject": "What was changed: `kind` and `id`; for a person a pseudonym.",
    "user": "User of a bar, or customer of an issued device: `kind` and `id`, a pseudonym.",
}
_MEMBERS = {"members": "Names of the attributes."}
_ADDRESS = {"address": "SHA-256 of the service address, first 32 hexadecimal digits."}
_CONNECTION = {"connection": "SHA-256 of the connection's id, first 32 hexadecimal digits."}


def _device(description: str, *members: Mapping[str, str], optional: tuple[str, ...] = ()) -> EventType:
    return EventType(description, _joined(_DEVICE, *members), frozenset(optional))


def _operator(description: str, *members: Mapping[str, str]) -> EventType:
    return EventType(description, _joined(_SUBJECT, _OPERATOR, *members), frozenset({"user"}))


def _joined(*members: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType({name: text for part in members for name, text in part.items()})


TYPES: Mapping[str, EventType] = MappingProxyType(
    {
        "device.registered": _device(
            "A device was seen or manufactured for the first time, or again after its deletion."
        ),
        "device.bound": _device(
            "A device was bound.",
            _BINDING,
            _HOLDER,
            {"exclusive": "True if the device can have only one holder at a time."},
        ),
        "device.unbound": _device(
            "A binding ended, and with it its shares and connections.",
            _BINDING,
            _HOLDER,
            {
                "cause": "holder, evicted (another user bound the device), transferred (another user accepted an offer "
                "of it), returned, retired, operator, or erased (the holder was erased)."
            },
            _OPERATOR,
            _REASON,
            optional=("operator", "reason"),
        ),
        "device.renamed": _device("The holder of a binding or share renamed the device.", _BINDING, _HOLDER),
        "device.shared": _device(
            "The holder offered to share the device.",
            _BINDING,
            _HOLDER,
            {"until": "End of the share, if it is accepted (milliseconds)."},
        ),
        "device.share_accepted": _device(
            "A user accepted a share.", _BINDING, _HOLDER, _USER, {"until": "End of the share (milliseconds)."}
        ),
        "device.share_ended": _device(
            "A share ended.",
            _BINDING,
            _HOLDER,
            _USER,
            {
                "cause": "ended (by the user, or with the binding), expired, operator, erased, or with the binding "
                "transferred, returned or retired."
            },
            _OPERATOR,
            _REASON,
            optional=("operator", "reason"),
        ),
        "device.offered": _device(
            "The holder offered the device to another user.",
            _BINDING,
            _HOLDER,
            _RECEIVER,
            {"until": "End of the offer (milliseconds). It expires without an event."},
            _OPERATOR,
            optional=("operator",),
        ),
        "device.offer_ended": _device(
            "An offer ended. If it is accepted, the binding ends instead, and another begins.",
            _BINDING,
            _HOLDER,
            _RECEIVER,
            {"cause": "declined, withdrawn, or erased (the user was erased)."},
            _OPERATOR,
            optional=("operator",),
        ),
        "device.blocked": _device("A customer blocked a registered device.", _BINDING, _HOLDER),
        "device.unblocked": _device("A customer unblocked a registered device.", _BINDING, _HOLDER),
        "device.banned": _device(
            "An operator banned the device, which also ends what its connections carry.",
            _OPERATOR,
            _REASON,
            optional=("reason",),
        ),
        "device.unbanned": _device("An operator lifted the device's ban.", _OPERATOR),
        "device.lost": _device("An operator recorded that the device is lost. It cannot be used.", _OPERATOR, _REASON),
        "device.found": _device("An operator recorded that a lost device was found.", _OPERATOR),
        "device.retired": _device("An operator took the device out of use. It has no holder.", _OPERATOR, _REASON),
        "device.returned": _device(
            "An operator returned the device to stock, lost and retired ones too. It has no holder.", _OPERATOR, _REASON
        ),
        "device.disabled": _device("An operator prevented new bindings.", _OPERATOR),
        "device.enabled": _device("An operator allowed new bindings again.", _OPERATOR),
        "device.deactivated": _device("An operator prevented connections to the device.", _OPERATOR),
        "device.activated": _device("An operator allowed connections to the device again.", _OPERATOR),
        "device.address_assigned": _device("An operator assigned a service address.", _OPERATOR, _ADDRESS),
        "device.address_removed": _device("An operator removed a service address.", _OPERATOR, _ADDRESS),
        "device.key_issued": _device("An operator issued a device key, which replaces an earlier one.", _OPERATOR),
        "device.key_revoked": _device("An operator revoked the device's key.", _OPERATOR),
        "device.deleted": _device(
            "An operator deleted the device, which was not bound. It can be registered again.",
            _OPERATOR,
        ),
        "device.online": _device("The device connected.", _BINDING),
        "device.offline": _device("The device's connection ended.", _BINDING),
        "connection.opened": _device(
            "A user opened a connection to the device.",
            _CONNECTION,
            {
                "user": "User who opened it: `kind` and `id`, a pseudonym.",
                "until": "Latest end of the connection (milliseconds).",
            },
        ),
        "connection.ended": _device("A user's connection to the device ended or expired.", _CONNECTION),
        "operator.created": _operator("An operator created a record.", _MEMBERS),
        "operator.changed": _operator("An operator changed a record.", _MEMBERS),
        "operator.deleted": _operator("An operator deleted a record.", _MEMBERS),
        "operator.erased": _operator("An operator erased everything stored about a person.", _MEMBERS),
        "webhook.test": EventType(
            "A test delivery, which is not in the history.", MappingProxyType({"webhook": "Id of the webhook."})
        ),
    }
)
