"""404 and 405 responses, in the error format of the path's API. `make generate` writes `ROUTES`."""

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from bindery.core.errors import Reason, Refused
from bindery.http.messages import Answer, Call
from bindery.http.operation import Dialect, respond

DIALECTS = {
    "/v0/": "rufus",
    "/v2/binding/enduserapi/": "quectel",
    "/v2/enduser/enduserapi/": "quectel",
    "/v1/device/": "asseco",
    "/apv/v27/": "remoteit",
    "/apv/v23.5/": "remoteit",
    "/api/": "vodlix",
}

ROUTES = {
    "/v0/devices": ("GET", "POST"),
    "/v0/devices/{deviceid}": ("DELETE", "GET"),
    "/v0/sessions": ("POST",),
    "/v0/passings": ("POST",),
    "/v0/devices/{deviceid}/passings": ("GET",),
    "/v2/binding/enduserapi/bindDeviceSn": ("POST",),
    "/v2/enduser/enduserapi/emailPwdLogin": ("POST",),
    "/v2/binding/enduserapi/userDeviceList": ("GET",),
    "/v2/enduser/enduserapi/userDeviceList": ("GET",),
    "/v2/binding/enduserapi/deviceInfo": ("GET",),
    "/v2/enduser/enduserapi/deviceInfo": ("GET",),
    "/v2/binding/enduserapi/getDeviceInfoByBinding": ("GET",),
    "/v2/enduser/enduserapi/getDeviceInfoByBinding": ("GET",),
    "/v2/binding/enduserapi/setDeviceInfo": ("PUT",),
    "/v2/enduser/enduserapi/setDeviceInfo": ("PUT",),
    "/v2/binding/enduserapi/unbundlingDeviceDk": ("DELETE",),
    "/v2/enduser/enduserapi/unbundlingDeviceDk": ("DELETE",),
    "/v2/binding/enduserapi/shareInfo": ("POST",),
    "/v2/enduser/enduserapi/shareInfo": ("POST",),
    "/v2/binding/enduserapi/shareDevice": ("POST",),
    "/v2/enduser/enduserapi/shareDevice": ("POST",),
    "/v1/device/owned-devices": ("GET", "POST"),
    "/v1/device/devices/{imei}": ("GET",),
    "/v1/device/owned-devices/{device-id}": ("GET",),
    "/v1/device/devices/{imei}/unregister": ("POST",),
    "/v1/device/owned-devices/{device-id}/unregister": ("POST",),
    "/v1/device/owned-devices/{device-id}/nickname": ("PUT",),
    "/v1/device/owned-devices/{device-id}/push-notification-handle": ("PUT",),
    "/v1/device/owned-devices/{device-id}/block": ("POST",),
    "/v1/device/owned-devices/{device-id}/unblock": ("POST",),
    "/v1/device/issued-devices": ("GET",),
    "/v1/device/issued-devices/{device-id}": ("GET",),
    "/v1/device/issued-devices/{device-id}/nickname": ("PUT",),
    "/v1/device/classifications": ("GET",),
    "/v1/device/classifications/{schema-id}": ("GET",),
    "/apv/v27/device/connect": ("POST",),
    "/apv/v23.5/device/connect": ("POST",),
    "/apv/v27/user/login": ("POST",),
    "/apv/v23.5/user/login": ("POST",),
    "/apv/v27/user/login/authhash": ("POST",),
    "/apv/v23.5/user/login/authhash": ("POST",),
    "/apv/v27/user/logout": ("POST",),
    "/apv/v23.5/user/logout": ("POST",),
    "/apv/v27/user/token/{token}": ("GET",),
    "/apv/v23.5/user/token/{token}": ("GET",),
    "/apv/v27/user/info": ("POST",),
    "/apv/v23.5/user/info": ("POST",),
    "/apv/v27/device/list/all": ("GET",),
    "/apv/v23.5/device/list/all": ("GET",),
    "/apv/v27/device/connect/stop": ("POST",),
    "/apv/v23.5/device/connect/stop": ("POST",),
    "/api/v2/device": ("POST",),
    "/api/base/configs": ("GET",),
    "/api/v2/device_check": ("POST",),
    "/api/v2/device_activity": ("POST",),
}

_PATHS = {re.compile(re.sub(r"\\{[^/]+\\}", "[^/]+", re.escape(path))): methods for path, methods in ROUTES.items()}
_NO_DIALECT = Answer(404, '{"message":"Not Found"}')


def dialect(path: str) -> Dialect[Any] | None:
    """Return a path's dialect, imported only now: a request needs at most one."""
    for prefix, name in DIALECTS.items():
        if path.startswith(prefix):
            found: Dialect[Any] = import_module(f"bindery.{name}.dialect")
            return found
    return None


def methods(path: str) -> tuple[str, ...]:
    """Return the methods of a path."""
    return next((methods for pattern, methods in _PATHS.items() if pattern.fullmatch(path)), ())


def refuse(event: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return and log the Lambda response to an event that no operation handles."""
    call = Call(event)
    path = event["rawPath"]
    allowed = methods(path)
    reason = Reason.METHOD_NOT_ALLOWED if allowed else Reason.NO_ROUTE
    found = dialect(path)
    answer = found.failure(Refused(reason), call) if found else _NO_DIALECT
    if allowed:
        answer = answer._replace(headers={**answer.headers, "Allow": ", ".join(allowed)})
    return respond(answer, call, name, reason)
