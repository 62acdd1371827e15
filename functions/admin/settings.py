"""/admin/v1/settings: settings of the installation."""

from typing import Annotated

from bindery.directory import settings
from bindery.operators.resource import Page, PathId, RequestBody, Resource

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

handler = Resource("settings")


class NewValue(RequestBody):
    """A value. It keeps its JSON type and is not trimmed."""

    model_config = ConfigDict(str_strip_whitespace=False)

    value: (
        StrictBool | Annotated[StrictInt, Field(ge=-(2**53), le=2**53)] | Annotated[StrictStr, Field(max_length=1024)]
    )


class Setting(BaseModel):
    """A setting and its default."""

    name: str
    value: settings.Setting
    default: settings.Setting


def _get(name: str) -> Setting:
    return Setting(name=name, value=settings.get(name), default=settings.default(name))


@handler.app.get("/admin/v1/settings")
def list_settings() -> Page[Setting]:
    """List all settings."""
    return Page(items=[_get(name) for name in settings.names()])


@handler.app.get("/admin/v1/settings/<name>")
def show(name: PathId) -> Setting:
    """Show a setting."""
    return _get(name)


@handler.app.put("/admin/v1/settings/<name>")
def change(name: PathId, new: NewValue) -> Setting:
    """Change a setting. Requests use the new value within a minute."""
    settings.change(name, new.value)
    return _get(name)
