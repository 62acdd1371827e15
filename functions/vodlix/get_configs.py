"""GET /api/base/configs: whether players may add themselves (document 004)."""

from pydantic import BaseModel

from bindery.directory import settings
from bindery.http.messages import Access, Reply, Request
from bindery.http.operation import operation
from bindery.vodlix import dialect


class GetConfigs(Request):
    """Nothing is asked."""


class Configs(BaseModel):
    """1 means enabled, anything else disabled; the value is shown as the operator set it."""

    device_management: settings.Setting


class Configured(Reply):
    """The settings, and the same again under the name that related clients read."""

    data: Configs
    configs: Configs

    def headers(self) -> dict[str, str]:
        """Players ask whenever they start; a minute late is early enough."""
        return {"Cache-Control": "max-age=60"}


@operation(dialect, Access.READ)
def handler(request: GetConfigs, caller: str) -> Configured:
    """Show the settings that players go by."""
    configs = Configs(device_management=settings.read(settings.DEVICE_MANAGEMENT))
    return Configured(data=configs, configs=configs)
