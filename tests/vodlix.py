"""vodlix: requests of video devices, and parts of exact responses."""

import json
from collections.abc import Mapping
from typing import Any

from tests.http_api import Response
from tests.sample_requests import send

NOW = 1684581841_007
MAC = "A1B2C3D4E5F6"
DEVICE = f"vodlix#{MAC}"
FACTS = {
    "device_os": "iOS",
    "device_version": "14.5",
    "device_type": "Mobile",
    "app_version": "2.0",
    "app_name": "MyApp",
}
SAMPLE = {"mac_address": MAC, **FACTS}
ACTIVITY = {"mac_address": MAC, "current_screen": "content_info", "content_id": "1024", "content_type": "movie"}
HEAD = '{"status":200,"timestamp":1684581841,"time":0.583,"ip":"203.0.113.9","message":"Success",'


def add(body: Any = SAMPLE, headers: Mapping[str, str] | None = None, **changes: Any) -> Response:
    return send("vodlix.add_device", headers, body=body, **changes)


def check(body: Any) -> Response:
    return send("vodlix.check_device", body=body)


def record(body: Any) -> Response:
    return send("vodlix.record_activity", body=body)


def refusal(message: str, code: str) -> str:
    return (
        '{"status":400,"timestamp":1684581841,"time":0.583,"ip":"203.0.113.9",'
        f'"message":{json.dumps(message)},"error_code":"{code}","data":[]}}'
    )
