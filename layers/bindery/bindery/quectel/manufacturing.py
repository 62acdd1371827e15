"""Manufacturing records of quectel devices, many at a time: what a factory made, before anyone can bind it."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, Strict

from bindery.core.errors import Reason
from bindery.directory import bulk_import, products
from bindery.directory.bulk_import import Need, Record, Report
from bindery.http.fields import (
    DATA_CENTER,
    DeviceIdentifier,
    Identifier64,
    OptionalIdentifier64,
    OptionalText128,
    Trimmed,
)
from bindery.quectel.binding import DEVICE_KEY
from bindery.registry import devices, identity


class UnbindableDevice(BaseModel):
    """A row of an import: the whole record. What it leaves out the device has not, so that it may be of no use."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    product_key: Identifier64
    serial: DeviceIdentifier
    device_key: OptionalIdentifier64 = None
    module_type: OptionalText128 = None
    data_center: Annotated[Annotated[str, Strict(), Field(**DATA_CENTER)] | None, Trimmed] = None


class ManufacturedDevice(UnbindableDevice):
    """A row of an import, of a device with a device key by which it can be bound."""

    device_key: Annotated[str, Strict(), Field(pattern=f"^{DEVICE_KEY}$")]


def enter(rows: Sequence[Any], *, dry_run: bool, unbindable: bool = False) -> Report:
    """Enter devices of products that exist, or replace their manufacturing records (`bulk_import.run`).

    A row whose device key is missing or malformed is an error, or with `unbindable` a device that nobody can bind.

    Who holds a device, its ban, whether it is disabled or active and its address stay as they are, whatever happens to
    them meanwhile.
    """
    model = UnbindableDevice if unbindable else ManufacturedDevice
    return bulk_import.run(rows, partial(_record, model), dry_run=dry_run)


def _record(model: type[UnbindableDevice], row: Mapping[str, Any]) -> Record:
    given = model.model_validate(row)
    device = identity.manufactured_device(given.product_key, given.serial)
    facts = devices.manufacturing(
        given.product_key, given.serial, given.device_key, given.module_type, given.data_center
    )
    product = Need(products.key(given.product_key), Reason.PRODUCT_UNKNOWN, "product_key: the product does not exist")
    return Record(devices.key(device), facts, devices.manufactured(device, facts), product)
