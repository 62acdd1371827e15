"""Requests that match no route: paths with `//` or a trailing `/`, preflight requests, and 404 and 405 responses.

`make generate` writes `ROUTES`.
"""

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

from bindery.aws import functions
from bindery.core.errors import Reason, Refused
from bindery.http.messages import NO_HEADERS, Answer, Call
from bindery.http.operation import Dialect, logger, respond

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
    "/v0/devices": {"GET": "rufus.list_devices", "POST": "rufus.bind_device"},
    "/v0/devices/{deviceid}": {"DELETE": "rufus.unbind_device", "GET": "rufus.get_device"},
    "/v0/sessions": {"POST": "rufus.open_session"},
    "/v0/passings": {"POST": "rufus.insert_passings"},
    "/v0/devices/{deviceid}/passings": {"GET": "rufus.list_passings"},
    "/v2/binding/enduserapi/bindDeviceSn": {"POST": "quectel.bind_device_sn"},
    "/v2/enduser/enduserapi/emailPwdLogin": {"POST": "quectel.email_pwd_login"},
    "/v2/enduser/enduserapi/phonePwdLogin": {"POST": "quectel.phone_pwd_login"},
    "/v2/enduser/enduserapi/refreshToken": {"PUT": "quectel.refresh_token"},
    "/v2/enduser/enduserapi/userInfo": {"GET": "quectel.user_info"},
    "/v2/binding/enduserapi/userDeviceList": {"GET": "quectel.user_device_list"},
    "/v2/enduser/enduserapi/userDeviceList": {"GET": "quectel.user_device_list"},
    "/v2/binding/enduserapi/deviceInfo": {"GET": "quectel.device_info"},
    "/v2/enduser/enduserapi/deviceInfo": {"GET": "quectel.device_info"},
    "/v2/binding/enduserapi/getDeviceInfoByBinding": {"GET": "quectel.get_device_info_by_binding"},
    "/v2/enduser/enduserapi/getDeviceInfoByBinding": {"GET": "quectel.get_device_info_by_binding"},
    "/v2/binding/enduserapi/setDeviceInfo": {"PUT": "quectel.set_device_info"},
    "/v2/enduser/enduserapi/setDeviceInfo": {"PUT": "quectel.set_device_info"},
    "/v2/binding/enduserapi/unbundlingDeviceDk": {"DELETE": "quectel.unbundling_device_dk"},
    "/v2/enduser/enduserapi/unbundlingDeviceDk": {"DELETE": "quectel.unbundling_device_dk"},
    "/v2/binding/enduserapi/shareInfo": {"POST": "quectel.share_info"},
    "/v2/enduser/enduserapi/shareInfo": {"POST": "quectel.share_info"},
    "/v2/binding/enduserapi/shareDevice": {"POST": "quectel.share_device"},
    "/v2/enduser/enduserapi/shareDevice": {"POST": "quectel.share_device"},
    "/v2/binding/enduserapi/getDeviceBindingInfo": {"GET": "quectel.get_device_binding_info"},
    "/v2/enduser/enduserapi/getDeviceBindingInfo": {"GET": "quectel.get_device_binding_info"},
    "/v2/binding/enduserapi/getDeviceOnlineStatus": {"GET": "quectel.get_device_online_status"},
    "/v2/enduser/enduserapi/getDeviceOnlineStatus": {"GET": "quectel.get_device_online_status"},
    "/v2/enduser/enduserapi/getProductList": {"GET": "quectel.get_product_list"},
    "/v2/binding/enduserapi/getProductList": {"GET": "quectel.get_product_list"},
    "/v2/binding/enduserapi/productTSL": {"GET": "quectel.product_tsl"},
    "/v2/enduser/enduserapi/productTSL": {"GET": "quectel.product_tsl"},
    "/v2/binding/enduserapi/getDeviceBusinessAttributes": {"GET": "quectel.get_device_business_attributes"},
    "/v2/enduser/enduserapi/getDeviceBusinessAttributes": {"GET": "quectel.get_device_business_attributes"},
    "/v2/binding/enduserapi/batchControlDevice": {"POST": "quectel.batch_control_device"},
    "/v2/enduser/enduserapi/batchControlDevice": {"POST": "quectel.batch_control_device"},
    "/v2/binding/enduserapi/getAuthKey": {"POST": "quectel.get_auth_key"},
    "/v2/enduser/enduserapi/getAuthKey": {"POST": "quectel.get_auth_key"},
    "/v2/binding/enduserapi/regenerateAuthKey": {"POST": "quectel.regenerate_auth_key"},
    "/v2/enduser/enduserapi/regenerateAuthKey": {"POST": "quectel.regenerate_auth_key"},
    "/v1/device/owned-devices": {"GET": "asseco.list_owned_devices", "POST": "asseco.register_owned_device"},
    "/v1/device/devices/{imei}": {"GET": "asseco.get_device"},
    "/v1/device/owned-devices/{device-id}": {"GET": "asseco.get_device"},
    "/v1/device/devices/{imei}/unregister": {"POST": "asseco.unregister_device"},
    "/v1/device/owned-devices/{device-id}/unregister": {"POST": "asseco.unregister_device"},
    "/v1/device/owned-devices/{device-id}/nickname": {"PUT": "asseco.set_nickname"},
    "/v1/device/owned-devices/{device-id}/push-notification-handle": {"PUT": "asseco.set_push_handle"},
    "/v1/device/owned-devices/{device-id}/block": {"POST": "asseco.block_device"},
    "/v1/device/owned-devices/{device-id}/unblock": {"POST": "asseco.unblock_device"},
    "/v1/device/issued-devices": {"GET": "asseco.list_issued_devices"},
    "/v1/device/issued-devices/{device-id}": {"GET": "asseco.get_issued_device"},
    "/v1/device/issued-devices/{device-id}/nickname": {"PUT": "asseco.set_issued_nickname"},
    "/v1/device/classifications": {"GET": "asseco.list_classifications"},
    "/v1/device/classifications/{schema-id}": {"GET": "asseco.get_classification"},
    "/apv/v27/device/connect": {"POST": "remoteit.connect_device"},
    "/apv/v23.5/device/connect": {"POST": "remoteit.connect_device"},
    "/apv/v27/user/login": {"POST": "remoteit.login"},
    "/apv/v23.5/user/login": {"POST": "remoteit.login"},
    "/apv/v27/user/login/authhash": {"POST": "remoteit.login_by_authhash"},
    "/apv/v23.5/user/login/authhash": {"POST": "remoteit.login_by_authhash"},
    "/apv/v27/user/logout": {"POST": "remoteit.logout"},
    "/apv/v23.5/user/logout": {"POST": "remoteit.logout"},
    "/apv/v27/user/token/{token}": {"GET": "remoteit.check_token"},
    "/apv/v23.5/user/token/{token}": {"GET": "remoteit.check_token"},
    "/apv/v27/user/info": {"POST": "remoteit.get_user"},
    "/apv/v23.5/user/info": {"POST": "remoteit.get_user"},
    "/apv/v27/device/list/all": {"GET": "remoteit.list_all"},
    "/apv/v23.5/device/list/all": {"GET": "remoteit.list_all"},
    "/apv/v27/device/find/by/name": {"POST": "remoteit.find_by_name"},
    "/apv/v23.5/device/find/by/name": {"POST": "remoteit.find_by_name"},
    "/apv/v27/device/count": {"GET": "remoteit.count_devices"},
    "/apv/v23.5/device/count": {"GET": "remoteit.count_devices"},
    "/apv/v27/device/metadata/list/me": {"GET": "remoteit.list_metadata"},
    "/apv/v23.5/device/metadata/list/me": {"GET": "remoteit.list_metadata"},
    "/apv/v27/device/name": {"POST": "remoteit.rename_device"},
    "/apv/v23.5/device/name": {"POST": "remoteit.rename_device"},
    "/apv/v27/developer/device/delete/registered/{address}": {"POST": "remoteit.delete_device"},
    "/apv/v23.5/developer/device/delete/registered/{address}": {"POST": "remoteit.delete_device"},
    "/apv/v27/device/connect/stop": {"POST": "remoteit.stop_connection"},
    "/apv/v23.5/device/connect/stop": {"POST": "remoteit.stop_connection"},
    "/api/v2/device": {"POST": "vodlix.add_device"},
    "/api/base/configs": {"GET": "vodlix.get_configs"},
    "/api/v2/device_check": {"POST": "vodlix.check_device"},
    "/api/v2/device_activity": {"POST": "vodlix.record_activity"},
}

_PATHS = {path: re.compile(re.sub(r"\\\{[^/]+\\\}", "([^/]+)", re.escape(path))) for path in ROUTES}
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_LITERALS = frozenset("/".join((*DIALECTS, *ROUTES)).split("/"))
_WORD = re.compile(r"(?=.{1,32}\Z)[a-z]+([A-Z_-][a-z]+)*|v[0-9]{1,2}(\.[0-9]{1,2})?")
_SEGMENTS = 8
_NO_DIALECT = Answer(404, '{"message":"Not Found"}')


class Match(NamedTuple):
    """The route of a path."""

    path: str
    operations: Mapping[str, str]
    """Operations by method."""
    parameters: Mapping[str, str]


def match(path: str) -> Match | None:
    """Return the route of a path. A route without parameters comes first."""
    for route in [path] if path in ROUTES else ROUTES:
        if found := _PATHS[route].fullmatch(path):
            names = re.findall(r"\{([^/]+)\}", route)
            return Match(route, ROUTES[route], dict(zip(names, found.groups(), strict=True)))
    return None


def without_extra_slashes(path: str) -> str:
    """Return a path with one `/` for each `//`, and none at its end."""
    return re.sub("/+", "/", path).removesuffix("/") or "/"


def pattern(method: str, path: str) -> str:
    """Return a request line for the log: `{}` replaces what could be an id or a secret, `...` the ninth segment on."""
    segments = path.removeprefix("/").split("/")
    shown = [segment if segment in _LITERALS or _WORD.fullmatch(segment) else "{}" for segment in segments]
    more = ["..."] if len(shown) > _SEGMENTS else []
    return f"{method if method in _METHODS else '{}'} /{'/'.join(shown[:_SEGMENTS] + more)}"


def handle(event: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the Lambda response to an event that matches no route."""
    call = Call(event)
    method, path = event["requestContext"]["http"]["method"], event["rawPath"]
    if method == "OPTIONS" and call.header("origin") and call.header("access-control-request-method"):
        # A preflight request. API Gateway adds the CORS headers for allowed origins, without which browsers stop here.
        return respond(Answer(204, ""), call, name, None)
    plain = without_extra_slashes(path)
    found = match(plain)
    if found is None:
        return _refuse(call, name, Reason.NO_ROUTE, path)
    if plain == path or method not in found.operations:
        return _refuse(call, name, Reason.METHOD_NOT_ALLOWED, plain, {"Allow": ", ".join(found.operations)})
    try:
        # The operation logs the request.
        return functions.invoke(found.operations[method], _routed(event, method, plain, found))
    except Exception as error:
        logger.exception("an operation could not be invoked", extra={"request_id": call.request_id})
        return _refuse(call, name, error.reason if isinstance(error, Refused) else Reason.INTERNAL, plain)


def _routed(event: Mapping[str, Any], method: str, path: str, found: Match) -> dict[str, Any]:
    """Return the event that API Gateway sends for a route."""
    key = f"{method} {found.path}"
    context = event["requestContext"]
    routed = {
        **event,
        "routeKey": key,
        "rawPath": path,
        "requestContext": {**context, "routeKey": key, "http": {**context["http"], "path": path}},
    }
    return routed | ({"pathParameters": dict(found.parameters)} if found.parameters else {})


def _refuse(
    call: Call, name: str, reason: Reason, path: str, headers: Mapping[str, str] = NO_HEADERS
) -> dict[str, Any]:
    """Return and log a refusal in the error format of the path's API."""
    api = next((api for prefix, api in DIALECTS.items() if re.sub("/+", "/", path).startswith(prefix)), None)
    # Imported only now: a request needs at most one dialect.
    dialect: Dialect[Any] | None = import_module(f"bindery.{api}.dialect") if api else None
    answer = dialect.failure(Refused(reason), call) if dialect else _NO_DIALECT
    answer = answer._replace(headers={**answer.headers, **headers})
    unmatched = pattern(call.event["requestContext"]["http"]["method"], path)
    return respond(answer, call, name, reason, api=api, unmatched=unmatched)
