"""GET /v2/binding/enduserapi/getDeviceInfoByBinding: what an app asks before it binds a device.

From the API's wider documentation.
"""

from typing import Annotated

from pydantic import Field

from bindery.core.errors import Reason
from bindery.directory.sessions import Session
from bindery.http.fields import Identifier64, Trimmed
from bindery.http.messages import Access, Query, Reply
from bindery.http.operation import operation
from bindery.quectel import dialect, user_devices


class GetDeviceInfoByBinding(Query):
    """A product, and the device of it if the app knows which."""

    pk: Identifier64
    dk: Annotated[dialect.DeviceKey | None, Trimmed] = None


class BindingDeviceInfo(Reply):
    """What the product says of binding. Logos and Bluetooth are nothing that we know of."""

    active_bluetooth: bool = Field(default=False, serialization_alias="activeBluetooth")
    binding_mode: int = Field(serialization_alias="bindingMode")
    product_logo: str = Field(default="", serialization_alias="productLogo")
    product_name: str = Field(serialization_alias="productName")


@operation(
    dialect,
    Access.READ,
    refuses=[
        Reason.PRODUCT_KEY_MISSING,
        Reason.DEVICE_KEY_MALFORMED,
        Reason.LOOKUP_FAILED,
        Reason.PRODUCT_UNKNOWN,
        Reason.ALREADY_BOUND,
        Reason.SHARE_ACCEPTED,
    ],
)
def handler(request: GetDeviceInfoByBinding, caller: Session) -> BindingDeviceInfo:
    """Show the product, unless the user has the device already."""
    product = user_devices.bindable(caller, request.pk, request.dk)
    return BindingDeviceInfo(binding_mode=product["mode"], product_name=product["name"])
