"""GET /v2/binding/enduserapi/getDeviceBusinessAttributes (the API's wider documentation)."""

from typing import Annotated

from bindery.core.errors import Reason
from bindery.directory.sessions import Session
from bindery.http.fields import Identifier64, Trimmed
from bindery.http.messages import Access, Query, Reply
from bindery.http.operation import operation
from bindery.quectel import device_properties, dialect

from pydantic import Field, Strict


class GetDeviceBusinessAttributes(Query):
    """A device of the user, query types (1 module, 2 properties, 3 location) and codes, separated by commas."""

    pk: Identifier64
    dk: dialect.DeviceKey
    type: Annotated[Annotated[str, Strict(), Field(pattern="^[123](, ?[123])*$")] | None, Trimmed] = None
    code_list: Annotated[Annotated[str, Strict(), Field(pattern="^[ -~]*$", max_length=2048)] | None, Trimmed] = Field(
        default=None, alias="codeList"
    )


class Attribute(Reply):
    """A property's last value, as text, and when the device reported it, in milliseconds."""

    ab_id: int = Field(serialization_alias="abId")
    resource_code: str = Field(serialization_alias="resourceCode")
    resource_value: str = Field(serialization_alias="resourceValce")
    name: str
    type: str = "PROPERTY"
    sub_type: str = Field(serialization_alias="subType")
    data_type: str = Field(serialization_alias="dataType")
    create_time: str = Field(serialization_alias="createTime")


class DeviceData(Reply):
    """The device. It reports nothing about its module, but clients rely on an object here."""

    device_key: str = Field(serialization_alias="deviceKey")
    product_key: str = Field(serialization_alias="productKey")


class BusinessAttributes(Reply):
    """Properties that the device reported last. It does not report its location."""

    customize_tsl_info: list[Attribute] = Field(serialization_alias="customizeTslInfo")
    device_data: DeviceData = Field(serialization_alias="deviceData")
    device_locate_info: None = Field(default=None, serialization_alias="deviceLocateInfo")


@operation(dialect, Access.READ, refuses=[*dialect.OWN_DEVICE, Reason.QUERY_TYPE_MISSING])
def handler(request: GetDeviceBusinessAttributes, caller: Session) -> BusinessAttributes:
    """Return the properties that the device reported, in the order of the TSL. Without `type`, of every type."""
    found = device_properties.find(caller, request.pk, request.dk, request.type, request.code_list)
    return BusinessAttributes(
        customize_tsl_info=[
            Attribute(
                ab_id=each.described["id"],
                resource_code=each.described["code"],
                resource_value=each.value,
                name=each.described["name"],
                sub_type=each.described["subType"],
                data_type=each.described["dataType"],
                create_time=str(each.reported_at),
            )
            for each in found
        ],
        device_data=DeviceData(device_key=request.dk, product_key=request.pk),
    )
