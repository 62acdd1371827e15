"""vodlix: players add themselves, as often as they start (document 004)."""

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Condition, Item, Update
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import settings
from bindery.registry import devices, identity


def add(
    mac_address: str, *, device_os: str, device_version: str, device_type: str, app_version: str, app_name: str
) -> None:
    """Enter a player, or replace what was known of it: the last write stands whole.

    Its creation time, its ban and its latest activity stay. One write, of one unit while facts and activity come to
    less than about 800 bytes. Raises `REGISTRATION_DISABLED` unless the setting `device_management` is 1, and
    `DEVICE_BANNED`.
    """
    if not _enabled(settings.read(settings.DEVICE_MANAGEMENT)):
        raise Refused(Reason.REGISTRATION_DISABLED)
    facts: dict[str, str | int] = {
        "device_os": device_os,
        "device_version": device_version,
        "device_type": device_type,
        "app_version": app_version,
        "app_name": app_name,
        "added_at": clock.now(),
    }
    dynamodb.write(devices.seen(identity.player_device(mac_address), "vodlix", facts))


def check(mac_address: str) -> None:
    """Look whether a player is known and not banned: one read. Raises `DEVICE_UNKNOWN` and `DEVICE_BANNED`."""
    if unfit := _unfit(dynamodb.get(devices.key(identity.player_device(mac_address))) or {}):
        raise Refused(unfit)


def record_activity(mac_address: str, *, screen: str, content_id: str | None, content_type: str | None) -> None:
    """Enter what a player shows now, in the place of what it showed before: the last write stands whole.

    One write, of one unit like that of `add`. Raises `DEVICE_UNKNOWN` and `DEVICE_BANNED`.
    """
    activity = {
        "current_screen": screen,
        "content_id": content_id,
        "content_type": content_type,
        "active_at": clock.now(),
    }
    dynamodb.write(
        Update(
            devices.key(identity.player_device(mac_address)),
            "SET " + ", ".join(f"#{name} = :{name}" for name in activity),
            {f":{name}": value for name, value in activity.items()},
            Condition(
                expression="attribute_exists(#pk) AND attribute_not_exists(#banned_at)",
                otherwise=lambda player: _unfit(player) or Reason.INTERNAL,
            ),
        )
    )


def _unfit(player: Item) -> Reason | None:
    """Why a player as its record says ({} for none) cannot go on."""
    if not player:
        return Reason.DEVICE_UNKNOWN
    return Reason.DEVICE_BANNED if devices.banned(player) else None


def _enabled(device_management: settings.Setting) -> bool:
    # By its text: 1 and "1" are the enabled values, and true, which Python takes to equal 1, is "anything else".
    return str(device_management) == "1"
