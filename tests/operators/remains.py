"""Data about people and devices that several tests of operators' requests create, show or erase."""

from collections import Counter
from typing import Any

from bindery.aws.dynamodb import Table
from bindery.registry import identity
from bindery.vodlix import video_devices
from tests.http_api import admin
from tests.tables import stored

MAC = "A1:B2:C3:D4:E5:F6"
PLAYER = {"device_os": "iOS", "device_version": "14.5", "device_type": "Mobile", "app_version": "2", "app_name": "App"}


def player() -> str:
    """Add a video device, and return its key."""
    video_devices.add(MAC, **PLAYER)
    return identity.video_device(MAC)


def export(uid: str) -> dict[str, Any]:
    """Return what is exported of a user."""
    answer = admin("privacy", "GET", f"privacy/{uid}")
    assert answer.status == 200
    return dict(answer.json())


def erase(uid: str) -> dict[str, int]:
    """Erase a user as the command line does. Return the number of deleted records of each kind, without zeros."""
    removed: Counter[str] = Counter()
    for _ in range(100):
        answer = admin("privacy", "DELETE", f"privacy/{uid}")
        if answer.status == 404 and removed:
            break
        assert answer.status == 200, answer
        removed.update(answer.json()["removed"])
        if answer.json()["complete"]:
            break
    return {kind: count for kind, count in removed.items() if count}


def left(text: str) -> list[dict[str, Any]]:
    """Return all items that contain a text, except acts and history."""
    tables = (Table.DEVICES, Table.BINDINGS, Table.DIRECTORY)
    found = [item for table in tables for item in stored(table) if not str(item.get("sk", "")).startswith("act#")]
    return [item for item in found if text in str(item)]
