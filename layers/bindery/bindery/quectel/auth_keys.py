"""quectel: the `authKey` with which a device authenticates. Also raises `TOKEN_INVALID` and `LOOKUP_FAILED`."""

from bindery.aws import dynamodb
from bindery.aws.expressions import equals
from bindery.connectivity import device_connections, presence
from bindery.core.errors import Reason, Refused
from bindery.directory.sessions import Session
from bindery.quectel import user_devices
from bindery.registry import bindings, items
from bindery.registry.bindings import Mode
from bindery.security import secrets


def get(session: Session, product_key: str, device_key: str) -> str:
    """Return the key of the user's binding. Raises `DEVICE_NOT_BOUND`, and `NOT_OWNER` for a share."""
    return user_devices.auth_key(_own(session, product_key, device_key))


def regenerate(session: Session, product_key: str, device_key: str) -> str:
    """Replace the key of the user's binding, and disconnect the device that uses it.

    Shares have keys of their own, and keep them. Raises `DEVICE_NOT_BOUND`, `NOT_OWNER` for a share, and `CONFLICT`.
    """
    held = _own(session, product_key, device_key)
    key_id, device = bindings.new_id(), held["device"]
    # Derive the key before the write, as in a bind request.
    auth_key = secrets.auth_key(key_id)
    binding = items.user_binding(device, session.uid) if held["mode"] == Mode.MULTI else items.owner(device)
    entry = items.user_device(session.uid, product_key, device_key)
    same = equals("binding", held["binding"]).raises(Reason.DEVICE_NOT_BOUND)
    ending = presence.ending(device, held["binding"])
    dynamodb.transact(
        [
            *ending.writes,
            binding.update(set={"key_id": key_id, "credential": secrets.fingerprint(auth_key)}, when=same),
            entry.update(set={"key_id": key_id}, when=user_devices.still_held(held)),
        ]
    )
    device_connections.disconnect(ending.last, "revoked")
    return auth_key


def _own(session: Session, product_key: str, device_key: str) -> items.UserDevice:
    _, held, _ = user_devices.get_own(session, product_key, device_key)
    if held["kind"] == "share":
        raise Refused(Reason.NOT_OWNER)
    return held
