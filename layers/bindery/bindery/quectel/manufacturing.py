"""Bulk import of manufacturing records (quectel)."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, Strict

from bindery.core.errors import Reason
from bindery.directory import bulk_import
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
from bindery.registry import devices, identity, items


class UnbindableDevice(BaseModel):
    """An import's row. A device without a device key cannot be bound."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    product_key: Identifier64
    serial: DeviceIdentifier
    device_key: OptionalIdentifier64 = None
    module_type: OptionalText128 = None
    data_center: Annotated[Annotated[str, Strict(), Field(**DATA_CENTER)] | None, Trimmed] = None


class ManufacturedDevice(UnbindableDevice):
    """A row with a valid device key."""

    device_key: Annotated[str, Strict(), Field(pattern=f"^{DEVICE_KEY}$")]


def enter(rows: Sequence[Any], *, dry_run: bool, unbindable: bool = False) -> Report:
    """Create devices of existing products, or replace their manufacturing records.

    Rows without a valid device key are errors unless `unbindable`.
    """
    model = UnbindableDevice if unbindable else ManufacturedDevice
    return bulk_import.run(rows, partial(_record, model), dry_run=dry_run)


def _record(model: type[UnbindableDevice], row: Mapping[str, Any]) -> Record:
    given = model.model_validate(row)
    device = identity.manufactured_device(given.product_key, given.serial)
    facts = devices.manufacturing(
        given.product_key, given.serial, given.device_key, given.module_type, given.data_center
    )
    product = Need(items.product(given.product_key), Reason.PRODUCT_UNKNOWN, "product_key: the product does not exist")
    return Record(items.device(device), facts, devices.manufactured(device, facts), product)
