"""Conditions of a request: another caller, or an invalid credential.

Each function takes the world with the operation's prerequisites, changes it if the condition concerns the registry, and
returns the request. `column` is the kind of credential.
"""

import base64
import time
from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode

from bindery.aws import dynamodb
from bindery.core import clock, env
from bindery.directory import accounts, api_keys, sessions, users
from bindery.directory.api_keys import Grant, Kind
from bindery.quectel import domain_secrets
from bindery.registry import devices, identity, items
from bindery.security import oidc
from tests.openid import public, rsa_key
from tests.properties import world
from tests.properties.staging import Stage, is_open
from tests.properties.world import Event

_KINDS = {"rufus": Kind.RUFUS, "remoteit key": Kind.REMOTEIT}
_AUDIENCES = {"quectel": "quectel", "remoteit token": "remoteit"}


def no_credential(stage: Stage) -> Event:
    if stage.column == "quectel login":
        return _signed(stage.request(), None)
    return stage.request() if is_open(stage.column) else stage.with_credential(None)


def malformed(stage: Stage) -> Event:
    if stage.column == "quectel login":
        return _signed(stage.request(), "no signature")
    if is_open(stage.column):
        made = stage.request()
        return made | {"headers": made["headers"] | {"authorization": "Bearer a.b.c", "api_key": "ror-0"}}
    return stage.with_credential("bearer a.b" if stage.column == "asseco" else "a.b")


def expired(stage: Stage) -> Event:
    if stage.column in _KINDS:
        return stage.with_credential(_key(stage, expires_at=clock.now() - 1))
    if stage.column == "asseco":
        late = int(time.time()) - oidc.LEEWAY - 1
        return stage.with_credential(f"bearer {stage.bank.token(sub=stage.actor.customer, exp=late)}")
    return stage.with_credential(sessions.issue(stage.actor.uid, _AUDIENCES[stage.column], -1)[0])


def revoked(stage: Stage) -> Event:
    if stage.column in _KINDS:
        key = _key(stage)
        api_keys.revoke(api_keys.id_of(key))
        return stage.with_credential(key)
    made = stage.request()
    if stage.column == "quectel login":
        domain_secrets.replace(world.DOMAIN)
    elif stage.column == "asseco":
        stage.bank.keys[:] = [public("key-2", rsa_key("key-2"))]
        oidc.clear_cache()
    else:
        users.revoke_sessions(stage.actor.uid)
    return made


def of_another_api(stage: Stage) -> Event:
    known = stage.actor.headers
    others = {
        "rufus": known["remoteit"]["developerkey"],
        "quectel": known["remoteit"]["token"],
        "asseco": f"bearer {known['quectel']['authorization']}",
        "remoteit key": known["rufus"]["api_key"],
        "remoteit token": known["quectel"]["authorization"],
    }
    return stage.with_credential(others[stage.column])


def read_only(stage: Stage) -> Event:
    if stage.column in _KINDS:
        key = _key(stage)
        # remoteit keys could be read-only in earlier versions.
        dynamodb.write(items.api_key(api_keys.id_of(key)).update(set={"grant": Grant.READ}))
        return stage.with_credential(key)
    stage.patch.setenv("READ_SCOPE", "device.read")
    stage.patch.setenv("WRITE_SCOPE", "device.write")
    env.clear_cache()
    return stage.with_credential(f"bearer {stage.bank.token(sub=stage.actor.customer, scope='openid device.read')}")


def another_account(stage: Stage) -> Event:
    stage.owned()
    return stage.by(stage.here.cleo)


def another_user(stage: Stage) -> Event:
    stage.owned()
    return stage.by(stage.here.ben)


def shared_user(stage: Stage) -> Event:
    stage.shared()
    return stage.by(stage.here.ben)


def disabled_account(stage: Stage) -> Event:
    made = stage.request()
    if stage.column == "remoteit token":
        # The key belongs to another, enabled account, so the response concerns the token.
        made["headers"]["developerkey"] = stage.here.cleo.headers["remoteit"]["developerkey"]
    accounts.set_enabled(stage.actor.account, False)
    return made


def disabled_user(stage: Stage) -> Event:
    users.set_enabled(stage.actor.uid, False)
    return stage.request()


def banned_device(stage: Stage) -> Event:
    if not stage.name.startswith("quectel."):
        # quectel's devices exist before they are bound.
        stage.owned()
    devices.ban(
        {
            "rufus": identity.company_device("acme", "Model X1", "DEVICE-123"),
            "quectel": identity.manufactured_device(world.PK, world.SN),
            "asseco": identity.customer_device("990000862471854"),
            "remoteit": identity.company_device("acme", *world.CAMERA),
            "vodlix": identity.video_device("A1B2C3D4E5F6"),
        }[stage.dialect],
        "stolen",
    )
    return stage.request()


CONDITIONS: dict[str, Callable[[Stage], Event]] = {
    condition.__name__.replace("_", " "): condition
    for condition in (
        *(no_credential, malformed, expired, revoked, of_another_api, read_only, another_account, another_user),
        *(shared_user, disabled_account, disabled_user, banned_device),
    )
}
"""The rows of the matrix."""


def _key(stage: Stage, *, expires_at: int | None = None) -> str:
    kind = _KINDS[stage.column]
    return api_keys.issue(stage.actor.account, kind, Grant.READ_WRITE, alias="another", expires_at=expires_at)


def _signed(event: Event, signature: str | None) -> Event:
    in_body = "body" in event
    form = dict(parse_qsl(base64.b64decode(event["body"]).decode() if in_body else event["rawQueryString"]))
    del form["signature"]
    text = urlencode(form if signature is None else form | {"signature": signature})
    return event | ({"body": base64.b64encode(text.encode()).decode()} if in_body else {"rawQueryString": text})
