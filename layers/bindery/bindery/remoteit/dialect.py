"""Format of the remoteit API (document 003)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple, Self, cast

from pydantic import BaseModel, ConfigDict, Field

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Batch, Key, Read
from bindery.core.errors import Reason, Refused
from bindery.directory import api_keys, sessions
from bindery.directory.api_keys import ApiKey, Kind
from bindery.directory.sessions import Session
from bindery.directory.users import User
from bindery.http.messages import RETRY_AFTER, RETRY_LATER, Access, Answer, Call, ErrorRow, Problem, Reply, named
from bindery.registry import items
from bindery.remoteit import logouts

REFUSALS = {
    Reason.KEY_MISSING: ErrorRow(401, 401, "missing developer key"),
    Reason.KEY_UNKNOWN: ErrorRow(401, 401, "invalid developer key"),
    Reason.KEY_THROTTLED: ErrorRow(401, 401, "invalid developer key", RETRY_LATER),
    Reason.TOKEN_MISSING: ErrorRow(401, 401, "missing api token"),
    Reason.TOKEN_INVALID: ErrorRow(401, 401, "invalid api token"),
    Reason.RATE_EXCEEDED: ErrorRow(429, 429, "rate limit exceeded", RETRY_LATER),
    Reason.PASSWORD_WRONG: ErrorRow(401, 401, "[0102] The username or password are invalid"),
    Reason.LOGIN_THROTTLED: ErrorRow(401, 401, "[0102] The username or password are invalid", RETRY_LATER),
    Reason.PARAMETER_MISSING: ErrorRow(400, 400, "missing {parameters}"),
    Reason.INVALID: ErrorRow(400, 400, "invalid {parameters}"),
    Reason.MALFORMED: ErrorRow(400, 400, "malformed request body: a JSON object is expected"),
    Reason.NOT_SHARED: ErrorRow(
        403, 403, "[0405] {address} is not available for public access and is not shared with you."
    ),
    Reason.DEVICE_BANNED: ErrorRow(403, 403, "the device is banned"),
    Reason.DEVICE_INACTIVE: ErrorRow(404, 404, "the device is not active"),
    Reason.NOT_FOUND: ErrorRow(401, 401, "missing or invalid deviceaddress or connectionid"),
    Reason.SERVICE_UNKNOWN: ErrorRow(404, 404, "[0861] no such service"),
    Reason.NO_ROUTE: ErrorRow(404, 404, "not found"),
    Reason.METHOD_NOT_ALLOWED: ErrorRow(405, 405, "method not allowed"),
    Reason.INTERNAL: ErrorRow(500, 500, "internal server error"),
    Reason.UNAVAILABLE: ErrorRow(503, 503, "service unavailable, try again", RETRY_AFTER),
    Reason.CONFLICT: ErrorRow(503, 503, "service unavailable, try again", RETRY_AFTER),
}
CREDENTIALS = frozenset(
    {
        Reason.KEY_MISSING,
        Reason.KEY_UNKNOWN,
        Reason.KEY_THROTTLED,
        Reason.TOKEN_MISSING,
        Reason.TOKEN_INVALID,
        Reason.RATE_EXCEEDED,
    }
)


class ErrorBody(BaseModel):
    """An error response."""

    model_config = ConfigDict(defer_build=True)

    status: str = "false"
    reason: str
    code: str = "GENERAL_ERROR"


class Done(Reply):
    """The request succeeded."""

    succeeded: str = Field(default="true", serialization_alias="status")


class Caller(NamedTuple):
    """A developer key and a session, possibly of different accounts."""

    developer_key: Key[items.ApiKey]
    session: Session
    source_ip: str
    credential: str
    """The developer key as presented."""

    @classmethod
    def of(cls, credential: str, token: str, source_ip: str) -> Self:
        """Return a caller with these credentials. Raises `TOKEN_INVALID`."""
        return cls(api_keys.presented(credential), sessions.verify(token, "remoteit"), source_ip, credential)

    def confirm(self, *more: Key[Any]) -> tuple[User, ApiKey, Batch]:
        """Return the user, the API key, and the items at `more`.

        Raises `KEY_UNKNOWN`, `KEY_THROTTLED`, `TOKEN_INVALID` and `RATE_EXCEEDED`.
        """
        found = dynamodb.get_many([Read(self.developer_key), *self.session.reads(), *map(Read, more)])
        key = api_keys.authenticate(found[self.developer_key], Kind.REMOTEIT, self.source_ip)
        user = self.session.confirm(found)
        logouts.check(self.session, found[items.user(user.uid)])
        return user, key, found

    def record(self) -> items.User:
        """`confirm`, and return the user's record."""
        _, _, found = self.confirm()
        return cast("items.User", found[items.user(self.session.uid)])


def written(milliseconds: int) -> str:
    """Format a time (ISO 8601, UTC, whole seconds)."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).isoformat()


def written_in_english(milliseconds: int) -> str:
    """Format a time (UTC) as in `5/6/2020T8:59 PM`."""
    at = datetime.fromtimestamp(milliseconds // 1000, UTC)
    half = "AM" if at.hour < 12 else "PM"
    return f"{at.month}/{at.day}/{at.year}T{at.hour % 12 or 12}:{at.minute:02} {half}"


def authenticate(call: Call, access: Access) -> Caller:
    """Return the credentials. Raises `KEY_MISSING`, `TOKEN_MISSING` and `TOKEN_INVALID`."""
    credential = _credential(call)
    token = call.header("token")
    if token is None:
        raise Refused(Reason.TOKEN_MISSING)
    return Caller.of(credential, token, call.source_ip)


def invalid(problems: Sequence[Problem], caller: Caller) -> Refused:
    """Confirm the credentials and return the refusal."""
    caller.confirm()
    return named(problems)


def success(reply: Reply, call: Call) -> Answer:
    """Return the reply's members that are not None."""
    return Answer(reply.status, reply.model_dump_json(exclude_none=True), reply.headers())


def failure(fault: Refused, call: Call) -> Answer:
    """Return `{"status":"false","reason":…,"code":"GENERAL_ERROR"}`."""
    row = REFUSALS[fault.reason]
    envelope = ErrorBody(reason=row.text.format_map(fault.detail))
    return Answer(row.status, envelope.model_dump_json(), row.headers_with(fault.detail))


class Developer(NamedTuple):
    """A developer key, as presented."""

    credential: str
    source_ip: str

    def confirm(self) -> ApiKey:
        """Return the API key. Raises `KEY_UNKNOWN`, `KEY_THROTTLED` and `RATE_EXCEEDED`."""
        return api_keys.authenticate(dynamodb.get(api_keys.presented(self.credential)), Kind.REMOTEIT, self.source_ip)

    def user_of(self, token: str) -> items.User | None:
        """`confirm`, and return the user of a session token if it is valid."""
        try:
            return Caller.of(self.credential, token, self.source_ip).record()
        except Refused as refused:
            if refused.reason is not Reason.TOKEN_INVALID:
                raise
        # A forged token is refused before the developer key was read.
        self.confirm()
        return None


class Login:
    """Dialect of logins, which have no session."""

    REFUSALS = REFUSALS
    CREDENTIALS: ClassVar[frozenset[Reason]] = CREDENTIALS - {Reason.TOKEN_MISSING, Reason.TOKEN_INVALID}
    success = staticmethod(success)
    failure = staticmethod(failure)

    @staticmethod
    def authenticate(call: Call, access: Access) -> Developer:
        """Return the credential. Raises `KEY_MISSING`."""
        return Developer(_credential(call), call.source_ip)

    @staticmethod
    def invalid(problems: Sequence[Problem], caller: Developer) -> Refused:
        """Confirm the credential and return the refusal."""
        caller.confirm()
        return named(problems)


def _credential(call: Call) -> str:
    credential = call.header("developerkey", "apikey")
    if credential is None:
        raise Refused(Reason.KEY_MISSING)
    return credential
