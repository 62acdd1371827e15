"""GET /apv/v27/device/metadata/list/me (the API's wider documentation)."""

from collections.abc import Mapping

from bindery.connectivity import access
from bindery.http.messages import Access, Reply, Request
from bindery.http.operation import operation
from bindery.remoteit import dialect

from pydantic import BaseModel, ConfigDict, Field


class ListMetadata(Request):
    """No parameters."""


class Metadata(BaseModel):
    """A service's device, and texts that only the vendor's own applications set."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    hardwareid: str
    status_a: str = Field(default="", serialization_alias="statusA")
    status_b: str = Field(default="", serialization_alias="statusB")
    status_c: str = Field(default="", serialization_alias="statusC")
    status_d: str = Field(default="", serialization_alias="statusD")
    status_e: str = Field(default="", serialization_alias="statusE")
    category_a: str = Field(default="", serialization_alias="categoryA")
    category_b: str = Field(default="", serialization_alias="categoryB")
    category_c: str = Field(default="", serialization_alias="categoryC")
    category_d: str = Field(default="", serialization_alias="categoryD")
    category_e: str = Field(default="", serialization_alias="categoryE")


class Devices(Reply):
    """The services' metadata, by service address."""

    succeeded: str = Field(default="true", serialization_alias="status")
    devices: Mapping[str, Metadata]


@operation(dialect, Access.READ)
def handler(request: ListMetadata, caller: dialect.Caller) -> Devices:
    """Return the metadata of the services that `list/all` lists."""
    user, _, _ = caller.confirm()
    services = access.list_services(user)
    return Devices(devices={service.address: Metadata(hardwareid=service.hardware) for service in services})
