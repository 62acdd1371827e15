"""Video devices (vodlix), which add themselves at each start."""

from typing import cast

from bindery.aws import dynamodb
from bindery.aws.expressions import absent, exists
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import settings
from bindery.registry import devices, identity, items


def add(
    mac_address: str, *, device_os: str, device_version: str, device_type: str, app_version: str, app_name: str
) -> None:
    """Add a device, or replace its facts. Raises `REGISTRATION_DISABLED` and `DEVICE_BANNED`."""
    if not _enabled(settings.cached(settings.DEVICE_MANAGEMENT)):
        raise Refused(Reason.REGISTRATION_DISABLED)
    facts: items.Device = {
        "device_os": device_os,
        "device_version": device_version,
        "device_type": device_type,
        "app_version": app_version,
        "app_name": app_name,
        "added_at": clock.now(),
    }
    dynamodb.write(devices.seen(identity.video_device(mac_address), "vodlix", facts))


def check(mac_address: str) -> None:
    """Check a device. Raises `DEVICE_UNKNOWN` and `DEVICE_BANNED`."""
    found = dynamodb.get(items.device(identity.video_device(mac_address)))
    if obstacle := _obstacle(found or {}):
        raise Refused(obstacle)


def record_activity(mac_address: str, *, screen: str, content_id: str | None, content_type: str | None) -> None:
    """Replace a device's activity. Raises `DEVICE_UNKNOWN` and `DEVICE_BANNED`."""
    activity: items.Device = {
        "current_screen": screen,
        "content_id": content_id,
        "content_type": content_type,
        "active_at": clock.now(),
    }
    not_banned = exists() & absent("banned_at")
    dynamodb.write(
        items.device(identity.video_device(mac_address)).update(
            set=activity,
            when=not_banned.raises(lambda found: _obstacle(cast("items.Device", found)) or Reason.INTERNAL),
        )
    )


def _obstacle(device: items.Device) -> Reason | None:
    if not device:
        return Reason.DEVICE_UNKNOWN
    return Reason.DEVICE_BANNED if devices.banned(device) else None


def _enabled(device_management: settings.Setting) -> bool:
    # Compare as text: 1 and "1" enable, but true, which equals 1 in Python, does not.
    return str(device_management) == "1"
