"""POST /api/v2/device_activity (the API's wider documentation)."""

from bindery.core.errors import Reason
from bindery.http.fields import DeviceIdentifier, OptionalText128, Text128
from bindery.http.messages import Access, Form
from bindery.http.operation import operation
from bindery.vodlix import dialect, video_devices

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError


class RecordActivity(Form):
    """The current screen. `content_info` requires the content's id and type."""

    mac_address: DeviceIdentifier
    current_screen: Text128
    content_id: OptionalText128 = Field(None, validate_default=True)
    content_type: OptionalText128 = Field(None, validate_default=True)

    @field_validator("content_id", "content_type")
    @classmethod
    def _required_on_its_screen(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("current_screen") == "content_info":
            raise PydanticCustomError("missing", "the screen of a content")
        return value


@operation(dialect, Access.WRITE, refuses=[Reason.DEVICE_UNKNOWN, Reason.DEVICE_BANNED])
def handler(request: RecordActivity, caller: str) -> dialect.Known:
    """Record what a device shows, replacing the previous record."""
    video_devices.record_activity(
        request.mac_address,
        screen=request.current_screen,
        content_id=request.content_id,
        content_type=request.content_type,
    )
    return dialect.Known(data=dialect.Device(mac_address=request.mac_address))
