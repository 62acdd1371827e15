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
    **{f"/v2/{service}/enduserapi/": "quectel" for service in ("enduser", "sms", "family", "quecauth", "mobilepush")},
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
    "/v2/enduser/enduserapi/phonePwdLogin": ("POST",),
    "/v2/enduser/enduserapi/refreshToken": ("PUT",),
    "/v2/enduser/enduserapi/userInfo": ("GET",),
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
    "/v2/binding/enduserapi/getDeviceBindingInfo": ("GET",),
    "/v2/enduser/enduserapi/getDeviceBindingInfo": ("GET",),
    "/v2/binding/enduserapi/getDeviceOnlineStatus": ("GET",),
    "/v2/enduser/enduserapi/getDeviceOnlineStatus": ("GET",),
    "/v2/enduser/enduserapi/getProductList": ("GET",),
    "/v2/binding/enduserapi/getProductList": ("GET",),
    "/v2/binding/enduserapi/productTSL": ("GET",),
    "/v2/enduser/enduserapi/productTSL": ("GET",),
    "/v2/binding/enduserapi/getDeviceBusinessAttributes": ("GET",),
    "/v2/enduser/enduserapi/getDeviceBusinessAttributes": ("GET",),
    "/v2/binding/enduserapi/batchControlDevice": ("POST",),
    "/v2/enduser/enduserapi/batchControlDevice": ("POST",),
    "/v2/binding/enduserapi/getAuthKey": ("POST",),
    "/v2/enduser/enduserapi/getAuthKey": ("POST",),
    "/v2/binding/enduserapi/regenerateAuthKey": ("POST",),
    "/v2/enduser/enduserapi/regenerateAuthKey": ("POST",),
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
    "/apv/v27/device/find/by/name": ("POST",),
    "/apv/v23.5/device/find/by/name": ("POST",),
    "/apv/v27/device/count": ("GET",),
    "/apv/v23.5/device/count": ("GET",),
    "/apv/v27/device/metadata/list/me": ("GET",),
    "/apv/v23.5/device/metadata/list/me": ("GET",),
    "/apv/v27/device/name": ("POST",),
    "/apv/v23.5/device/name": ("POST",),
    "/apv/v27/developer/device/delete/registered/{address}": ("POST",),
    "/apv/v23.5/developer/device/delete/registered/{address}": ("POST",),
    "/apv/v27/device/connect/stop": ("POST",),
    "/apv/v23.5/device/connect/stop": ("POST",),
    "/api/v2/device": ("POST",),
    "/api/base/configs": ("GET",),
    "/api/v2/device_check": ("POST",),
    "/api/v2/device_activity": ("POST",),
}

_PATHS = {re.compile(re.sub(r"\\{[^/]+\\}", "[^/]+", re.escape(path))): methods for path, methods in ROUTES.items()}
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_LITERALS = frozenset("/".join((*DIALECTS, *ROUTES)).split("/"))
_WORD = re.compile(r"(?=.{1,32}\Z)[a-z]+([A-Z_-][a-z]+)*|v[0-9]{1,2}(\.[0-9]{1,2})?")
_SEGMENTS = 8
_NO_DIALECT = Answer(404, '{"message":"Not Found"}')


def api(path: str) -> str | None:
    """Return the API of a path."""
    return next((name for prefix, name in DIALECTS.items() if path.startswith(prefix)), None)


def pattern(method: str, path: str) -> str:
    """Return a request line for the log: `{}` replaces what could be an id or a secret, `...` the ninth segment on."""
    segments = path.removeprefix("/").split("/")
    shown = [segment if segment in _LITERALS or _WORD.fullmatch(segment) else "{}" for segment in segments]
    more = ["..."] if len(shown) > _SEGMENTS else []
    return f"{method if method in _METHODS else '{}'} /{'/'.join(shown[:_SEGMENTS] + more)}"


def methods(path: str) -> tuple[str, ...]:
    """Return the methods of a path."""
    return next((methods for pattern, methods in _PATHS.items() if pattern.fullmatch(path)), ())


def refuse(event: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return and log the Lambda response to an event that no operation handles."""
    call = Call(event)
    method = event["requestContext"]["http"]["method"]
    if method == "OPTIONS" and call.header("origin") and call.header("access-control-request-method"):
        # A preflight request. API Gateway adds the CORS headers for allowed origins, without which browsers stop here.
        return respond(Answer(204, ""), call, name, None)
    path = event["rawPath"]
    allowed = methods(path)
    reason = Reason.METHOD_NOT_ALLOWED if allowed else Reason.NO_ROUTE
    name_of_api = api(path)
    # Imported only now: a request needs at most one dialect.
    found: Dialect[Any] | None = import_module(f"bindery.{name_of_api}.dialect") if name_of_api else None
    answer = found.failure(Refused(reason), call) if found else _NO_DIALECT
    if allowed:
        answer = answer._replace(headers={**answer.headers, "Allow": ", ".join(allowed)})
    unmatched = pattern(method, path)
    return respond(answer, call, name, reason, api=name_of_api, unmatched=unmatched)
