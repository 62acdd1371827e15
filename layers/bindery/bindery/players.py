"""vodlix: players add themselves, as often as they start (document 004)."""

from bindery import clock, devices, dynamo, identity
from bindery.directory import installation
from bindery.faults import Fault, Reason


def add(
    mac_address: str, *, device_os: str, device_version: str, device_type: str, app_version: str, app_name: str
) -> None:
    """Enter a player, or replace what was known of it: the last write stands whole.

    Its creation time and its ban stay. One write, of one unit while the facts come to less than about 800 bytes.
    Raises `REGISTRATION_DISABLED` unless the setting `device_management` is 1, and `DEVICE_BANNED`.
    """
    if not _enabled(installation.read(installation.DEVICE_MANAGEMENT)):
        raise Fault(Reason.REGISTRATION_DISABLED)
    facts: dict[str, str | int] = {
        "device_os": device_os,
        "device_version": device_version,
        "device_type": device_type,
        "app_version": app_version,
        "app_name": app_name,
        "added_at": clock.now(),
    }
    dynamo.write(devices.seen(identity.player_device(mac_address), "vodlix", facts))


def _enabled(device_management: installation.Setting) -> bool:
    # By its text: 1 and "1" are the enabled values, and true, which Python takes to equal 1, is "anything else".
    return str(device_management) == "1"
