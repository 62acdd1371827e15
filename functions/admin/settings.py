"""/admin/v1/settings: what operators set for the whole installation."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from bindery.directory import settings
from bindery.operators.resource import Asked, Page, PathId, Resource

handler = Resource("settings")


class NewValue(Asked):
    """A value, which keeps its JSON type and every character that it has."""

    model_config = ConfigDict(str_strip_whitespace=False)

    value: (
        StrictBool | Annotated[StrictInt, Field(ge=-(2**53), le=2**53)] | Annotated[StrictStr, Field(max_length=1024)]
    )


class Setting(BaseModel):
    """A setting, and what it is when nobody set it."""

    name: str
    value: settings.Setting
    default: settings.Setting


def _read(name: str) -> Setting:
    return Setting(name=name, value=settings.read(name), default=settings.default(name))


@handler.app.get("/admin/v1/settings")
def page() -> Page[Setting]:
    """List all settings: one read for each."""
    return Page(items=[_read(name) for name in settings.names()])


@handler.app.get("/admin/v1/settings/<name>")
def show(name: PathId) -> Setting:
    """Show a setting."""
    return _read(name)


@handler.app.put("/admin/v1/settings/<name>")
def change(name: PathId, new: NewValue) -> Setting:
    """Change a setting: every request that comes in after this follows it."""
    settings.change(name, new.value)
    return _read(name)
