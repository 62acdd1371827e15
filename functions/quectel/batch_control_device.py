"""POST /v2/binding/enduserapi/batchControlDevice (the API's wider documentation)."""

from typing import Annotated

from bindery.core.errors import Reason
from bindery.directory.sessions import Session
from bindery.http.fields import Digits, Identifier64, Trimmed
from bindery.http.messages import Access, Body, Reply
from bindery.http.operation import operation
from bindery.quectel import control, dialect
from bindery.quectel.control import Failure, Kind, Target, Ticket

from pydantic import BaseModel, ConfigDict, Field, Strict


class Addressee(BaseModel):
    """A device of the user."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    product_key: Identifier64 = Field(alias="productKey")
    device_key: dialect.DeviceKey = Field(alias="deviceKey")


class BatchControlDevice(Body):
    """A command of a type (1 passthrough, 2 properties, 3 service) to devices of the user."""

    type: Annotated[Kind, Digits]
    data: Annotated[str, Trimmed, Strict(), Field(max_length=4096)]
    device_list: Annotated[list[Addressee], Field(min_length=1, max_length=control.DEVICE_LIMIT)] = Field(
        alias="deviceList"
    )


class Device(Reply):
    """A device, by its product key and device key."""

    product_key: str = Field(serialization_alias="productKey")
    device_key: str = Field(serialization_alias="deviceKey")


class Sent(Reply):
    """A device that got the command, and the command's ticket."""

    data: Device
    ticket: str


class NotSent(Reply):
    """A device that did not get the command, and the reason."""

    data: Device
    msg: str


class Outcome(Reply):
    """Each device is in one of the lists."""

    success_list: list[Sent] = Field(serialization_alias="successList")
    failure_list: list[NotSent] = Field(serialization_alias="failureList")


@operation(
    dialect,
    Access.WRITE,
    refuses=[
        Reason.COMMAND_TYPE_MISSING,
        Reason.COMMAND_TYPE_UNKNOWN,
        Reason.COMMAND_MISSING,
        Reason.COMMAND_TOO_LONG,
        Reason.DEVICES_MISSING,
        Reason.TOO_MANY_DEVICES,
        Reason.LOOKUP_FAILED,
    ],
)
def handler(request: BatchControlDevice, caller: Session) -> Outcome:
    """Send a command to devices that are online. Values of properties are checked against the TSL."""
    targets = [Target(each.product_key, each.device_key) for each in request.device_list]
    outcomes = control.send(caller, request.type, request.data, targets)
    told = [
        (Device(product_key=target.product_key, device_key=target.device_key), outcome)
        for target, outcome in zip(targets, outcomes, strict=True)
    ]
    return Outcome(
        success_list=[Sent(data=device, ticket=ticket) for device, ticket in told if isinstance(ticket, Ticket)],
        failure_list=[NotSent(data=device, msg=why) for device, why in told if isinstance(why, Failure)],
    )
