"""quectel: end users bind manufactured devices by serial number (document 001, "Bind Device Using SN").

The outcome is in the envelope's `code`: the HTTP status is 200 for every answer of an operation, whatever went wrong.
"""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import BaseModel, Field, SerializeAsAny

from bindery import sessions
from bindery.faults import Fault, Reason
from bindery.sessions import Session
from bindery.wire import RETRY_AFTER, RETRY_LATER, Access, Answer, Call, Flaw, Problem, Refusal, Reply

REFUSALS = {
    Reason.TOKEN_MISSING: Refusal(200, 5106, "Please enter token"),
    Reason.TOKEN_INVALID: Refusal(200, 5032, "Token verification failed"),
    Reason.USER_DOMAIN_UNKNOWN: Refusal(200, 5015, "User domain does not exist"),
    Reason.SIGNATURE_INVALID: Refusal(200, 5420, "Signature verification failed"),
    Reason.EMAIL_UNKNOWN: Refusal(200, 5031, "Email not registered"),
    Reason.PASSWORD_WRONG: Refusal(200, 5012, "Incorrect user name or password"),
    Reason.LOGIN_SLOWED: Refusal(200, 5012, "Incorrect user name or password", RETRY_LATER),
    Reason.PRODUCT_KEY_MISSING: Refusal(200, 5066, "Please enter Product Key"),
    Reason.SERIAL_MISSING: Refusal(200, 5088, "Please enter device SN"),
    Reason.NAME_TOO_LONG: Refusal(200, 5333, "Device name exceeds length limit"),
    Reason.PARAMETER_MISSING: Refusal(200, 5048, "Device binding failed"),
    Reason.INVALID: Refusal(200, 5048, "Device binding failed"),
    Reason.MALFORMED: Refusal(200, 5048, "Device binding failed"),
    Reason.DOMAIN_ABNORMAL: Refusal(200, 5093, "Abnormal user domain"),
    Reason.ROLE_NOT_PERMITTED: Refusal(200, 5669, "Regular user has no permission to bind device"),
    Reason.PRODUCT_UNKNOWN: Refusal(200, 5553, "Product or device does not exist"),
    Reason.DOMAIN_NOT_AUTHORISED: Refusal(200, 5229, "User domain not authorized for this product"),
    Reason.PRODUCT_FORBIDDEN: Refusal(200, 5327, "No permission for this product"),
    Reason.HOME_MODE_OFF: Refusal(200, 5624, "Home mode not enabled"),
    Reason.FAMILY_MISSING: Refusal(200, 5636, "Please enter family ID"),
    Reason.FAMILY_FORBIDDEN: Refusal(200, 5041, "No permission"),
    Reason.SERIAL_UNKNOWN: Refusal(200, 5090, "Requested device SN invalid"),
    Reason.DEVICE_KEY_MISSING: Refusal(200, 5067, "Please enter Device Key"),
    Reason.DEVICE_KEY_MALFORMED: Refusal(200, 5361, "Incorrect DK format"),
    Reason.DATA_CENTER_MISMATCH: Refusal(200, 6083, "Bound device does not belong to current data center"),
    Reason.DEVICE_BANNED: Refusal(200, 5009, "Device verification failed"),
    Reason.ALREADY_BOUND: Refusal(200, 5049, "Device already bound"),
    Reason.SHARE_ACCEPTED: Refusal(200, 6040, "Already accepted device sharing"),
    Reason.BOUND_BY_ANOTHER: Refusal(200, 5412, "Product binding mode is unique, cannot bind repeatedly"),
    Reason.COMMON_LIST_FULL: Refusal(200, 5893, "Failed to add common device"),
    Reason.SERIAL_LOOKUP_FAILED: Refusal(200, 5089, "Device SN request failed", RETRY_AFTER),
    Reason.LOOKUP_FAILED: Refusal(200, 5314, "Device query failed in cloud platform", RETRY_AFTER),
    Reason.BINDING_FAILED: Refusal(200, 5048, "Device binding failed", RETRY_AFTER),
    Reason.UNAVAILABLE: Refusal(200, 5048, "Device binding failed", RETRY_AFTER),
    Reason.INTERNAL: Refusal(200, 5048, "Device binding failed"),
    Reason.NO_ROUTE: Refusal(404, 404, "Not found"),
    Reason.METHOD_NOT_ALLOWED: Refusal(405, 405, "Method not allowed"),
}
CREDENTIALS = frozenset({Reason.TOKEN_MISSING, Reason.TOKEN_INVALID})

_NAMED = {
    Problem("pk", Flaw.MISSING): Reason.PRODUCT_KEY_MISSING,
    Problem("sn", Flaw.MISSING): Reason.SERIAL_MISSING,
    Problem("deviceName", Flaw.TOO_LONG): Reason.NAME_TOO_LONG,
}
"""The parameters' problems that have a code of their own, in the order in which they are judged."""


class Envelope(BaseModel):
    """Every answer, refusals included."""

    code: int | str
    data: SerializeAsAny[Reply] | None = None
    ext_msg: str = Field(default="", serialization_alias="extMsg")
    msg: str = ""


def authenticate(call: Call, access: Access) -> Session:
    """The session token in the header `Authorization`, bare or after `Bearer `.

    Whether its user is still welcome is read with whatever else the request reads (`Session.confirm`).
    """
    credential = call.header("authorization")
    if credential is None:
        raise Fault(Reason.TOKEN_MISSING)
    scheme, _, token = credential.partition(" ")
    return sessions.verify(token.strip() if scheme.lower() == "bearer" else credential, "quectel")


def invalid(problems: Sequence[Problem], caller: Session) -> Fault:
    """The first problem that has a code of its own, else that of a malformed parameter.

    The user comes first: raises `TOKEN_INVALID`, or `LOOKUP_FAILED` when that could not be read.
    """
    caller.look_up(Reason.LOOKUP_FAILED)
    return Fault(next((reason for problem, reason in _NAMED.items() if problem in problems), Reason.INVALID))


def success(reply: Reply, call: Call) -> Answer:
    """The reply as the envelope's `data`, under code 200."""
    return Answer(reply.status, Envelope(code=200, data=reply).model_dump_json(by_alias=True), reply.headers())


def failure(fault: Fault, call: Call) -> Answer:
    """`{"code": …, "data": null, "extMsg": "", "msg": …}`."""
    refusal = REFUSALS[fault.reason]
    envelope = Envelope(code=refusal.code, msg=refusal.text)
    return Answer(refusal.status, envelope.model_dump_json(by_alias=True), refusal.headers_with(fault.detail))


class Login:
    """The dialect for whoever logs in: no token is needed, and all that is known of a caller is the IP address."""

    REFUSALS = REFUSALS
    CREDENTIALS: ClassVar[frozenset[Reason]] = frozenset()
    success = staticmethod(success)
    failure = staticmethod(failure)

    @staticmethod
    def authenticate(call: Call, access: Access) -> str:
        """Anybody."""
        return call.source_ip

    @staticmethod
    def invalid(problems: Sequence[Problem], caller: str) -> Fault:
        """What is missing or no text is judged as it would be if it were wrong, in the order of the checks."""
        names = {problem.parameter for problem in problems}
        return Fault(next((reason for name, reason in _LOGIN.items() if name in names), Reason.SIGNATURE_INVALID))


_LOGIN = {
    "userDomain": Reason.USER_DOMAIN_UNKNOWN,
    "random": Reason.SIGNATURE_INVALID,
    "signature": Reason.SIGNATURE_INVALID,
    "email": Reason.EMAIL_UNKNOWN,
    "pwd": Reason.PASSWORD_WRONG,
}
"""What each parameter of a login is checked for."""
