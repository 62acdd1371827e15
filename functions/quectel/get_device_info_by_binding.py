"""GET /v2/binding/enduserapi/getDeviceInfoByBinding (the API's wider documentation)."""

from typing import Annotated

from bindery.core.errors import Reason
from bindery.directory.sessions import Session
from bindery.http.fields import Identifier64, Trimmed
from bindery.http.messages import Access, Query, Reply
from bindery.http.operation import operation
from bindery.quectel import dialect, user_devices

from pydantic import Field


class GetDeviceInfoByBinding(Query):
    """A product, and optionally one of its devices."""

    pk: Identifier64
    dk: Annotated[dialect.DeviceKey | None, Trimmed] = None


class BindingDeviceInfo(Reply):
    """The product. `activeBluetooth` is always false, and `productLogo` empty."""

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
    """Return the product. Refused if the user has the device already."""
    product = user_devices.bindable_product(caller, request.pk, request.dk)
    return BindingDeviceInfo(binding_mode=product["mode"], product_name=product["name"])
