"""Settings: the default until an operator changes it, and values in the JSON type in which they were set."""

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Put, Table
from bindery.core.errors import Reason, Refused
from bindery.directory import settings
from bindery.registry import items
from tests.tables import stored

pytestmark = pytest.mark.usefixtures("registry")


@pytest.mark.parametrize("value", [0, 1, "1", "", True, False])
def test_setting_of_an_earlier_version_keeps_its_type(value: settings.Setting) -> None:
    dynamodb.write(Put(items.setting(settings.DEVICE_MANAGEMENT), {"value": value}))
    found = settings.get(settings.DEVICE_MANAGEMENT)
    assert (found, type(found)) == (value, type(value))


def test_unset_setting_has_its_default_and_no_item() -> None:
    assert settings.get("device_management") == 1
    assert stored(Table.DIRECTORY) == []


def test_unknown_setting_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        settings.change("device_managment", 0)
    assert caught.value.reason is Reason.NOT_FOUND
    assert stored(Table.DIRECTORY) == []
