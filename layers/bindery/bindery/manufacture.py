"""Manufacturing records of quectel devices, many at a time: what a factory made, before anyone can bind it."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, Strict

from bindery import devices, identity, imports
from bindery.bindings.serial import DEVICE_KEY
from bindery.directory import products
from bindery.faults import Reason
from bindery.fields import OptionalText64, OptionalText128, Text64, Text128
from bindery.imports import Need, Record, Report


class ManufacturedDevice(BaseModel):
    """A row of an import: the whole record. What it leaves out the device has not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    product_key: Text64
    serial: Text128
    device_key: Annotated[str, Strict(), Field(pattern=f"^{DEVICE_KEY}$")]
    module_type: OptionalText128 = None
    data_center: OptionalText64 = None


def enter(rows: Sequence[Any], *, dry_run: bool) -> Report:
    """Enter devices of products that exist, or replace their manufacturing records (`imports.run`).

    Who holds a device, its ban, whether it is disabled or active and its address stay as they are, whatever happens to
    them meanwhile.
    """
    return imports.run(rows, _record, dry_run=dry_run)


def _record(row: Mapping[str, Any]) -> Record:
    given = ManufacturedDevice.model_validate(row)
    device = identity.manufactured_device(given.product_key, given.serial)
    facts = devices.manufacturing(
        given.product_key, given.serial, given.device_key, given.module_type, given.data_center
    )
    product = Need(products.key(given.product_key), Reason.PRODUCT_UNKNOWN, "There is no such product")
    return Record(devices.key(device), facts, devices.manufactured(device, facts), product)
