"""Settings keep the JSON type in which they were set."""

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Put
from bindery.directory import settings
from bindery.registry import items

pytestmark = pytest.mark.usefixtures("registry")


@pytest.mark.parametrize("value", [0, 1, "1", "", True, False])
def test_setting_of_an_earlier_version_keeps_its_type(value: settings.Setting) -> None:
    dynamodb.write(Put(items.setting(settings.DEVICE_MANAGEMENT), {"value": value}))
    found = settings.get(settings.DEVICE_MANAGEMENT)
    assert (found, type(found)) == (value, type(value))
