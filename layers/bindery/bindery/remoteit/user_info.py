"""Description of a user (remoteit), which the logins return."""

import uuid
from datetime import UTC, datetime

from pydantic import Field

from bindery.http.messages import Reply
from bindery.registry import items
from bindery.remoteit.login import LoggedIn, authhash
from bindery.security import secrets


class UserInfo(Reply):
    """A session and its user. Members of services that do not exist here are empty, and plans have a fixed value."""

    succeeded: str = Field(default="true", serialization_alias="status")
    token: str
    token_index: str
    email: str
    guid: str
    service_token: str = ""
    service_level: str = "BASIC"
    storage_plan: str = "FREE"
    secondary_auth: str = ""
    auth_token: str
    auth_expiration: int
    service_authhash: str
    commerical_setting: str = "FREE"
    apikey: str
    developer_key: str
    language: str = "en"
    developer_plan: str = ""
    portal_plan: str = "free_plan"
    portal_plan_expires: str = "2038-01-01 00:00:00"
    service_features: str = ""
    announcements: tuple[()] = ()
    member_since: str
    index: str = "true"
    pubsub_channel: str
    aws_identity: str = ""


def describe(session: LoggedIn, credential: str) -> UserInfo:
    """Describe a session and its user to an application with this developer key."""
    token, user = session.token, session.user
    return UserInfo(
        token=token,
        token_index=str(uuid.UUID(secrets.fingerprint(token)[:32], version=4)).upper(),
        email=address(user),
        guid=guid(user),
        auth_token=token,
        auth_expiration=session.expires_at,
        service_authhash=authhash(user),
        apikey=credential,
        developer_key=credential,
        member_since=f"{datetime.fromtimestamp(user['created_at'] // 1000, UTC):%Y-%m-%d %H:%M:%S}",
        pubsub_channel=guid(user),
    )


def address(user: items.User) -> str:
    """Return a user's email address, or "" without one."""
    return user.get("email") or ""


def guid(user: items.User) -> str:
    """Return a user's id in this API."""
    return secrets.guid(user["uid"])
