"""Settings: a default until an operator says otherwise, in the JSON type that they said it in."""

import pytest

from bindery import dynamo
from bindery.directory import installation
from bindery.dynamo import Put, Table
from bindery.faults import Fault, Reason
from tests.tables import items

pytestmark = pytest.mark.usefixtures("registry")


@pytest.mark.parametrize("value", [0, 1, "1", "", True, False])
def test_setting_of_an_earlier_version_keeps_its_type(value: installation.Setting) -> None:
    dynamo.write(Put(installation.key(installation.DEVICE_MANAGEMENT), {"value": value}))
    found = installation.read(installation.DEVICE_MANAGEMENT)
    assert (found, type(found)) == (value, type(value))


def test_a_setting_that_nobody_set_has_its_default_and_no_item() -> None:
    assert installation.read("device_management") == 1
    assert items(Table.DIRECTORY) == []


def test_there_are_no_other_settings() -> None:
    with pytest.raises(Fault) as caught:
        installation.change("device_managment", 0)
    assert caught.value.reason is Reason.NOT_FOUND
    assert items(Table.DIRECTORY) == []
