"""GET /api/base/configs (document 004)."""

from bindery.directory import settings
from bindery.http.messages import Access, Reply, Request
from bindery.http.operation import operation
from bindery.vodlix import dialect

from pydantic import BaseModel


class GetConfigs(Request):
    """No parameters."""


class Configs(BaseModel):
    """1 means enabled, anything else disabled."""

    device_management: settings.Setting


class Configured(Reply):
    """The settings, also under the name `configs` that related clients read."""

    data: Configs
    configs: Configs

    def headers(self) -> dict[str, str]:
        """Allow caching for a minute."""
        return {"Cache-Control": "max-age=60"}


@operation(dialect, Access.READ)
def handler(request: GetConfigs, caller: str) -> Configured:
    """Return the settings for devices."""
    configs = Configs(device_management=settings.cached(settings.DEVICE_MANAGEMENT))
    return Configured(data=configs, configs=configs)
