import pytest

from bindery.directory import accounts, keys
from bindery.directory.keys import Grant, Kind
from bindery.dynamo import Table
from tests.http_api import event, invoke
from tests.tables import items

pytestmark = pytest.mark.usefixtures("registry")


def test_the_documents_sample_binds_the_device():
    accounts.create("acme", name="Acme")
    key = keys.issue("acme", Kind.RUFUS, Grant.WRITE, alias="demo", chosen="ror-ae4fc6c19681a20fad30")
    request = event(
        "POST", "/v0/devices", headers={"api_key": key}, body='{"model": "Model X1", "serial_number":"DEVICE-123"}'
    )
    answer = invoke("rufus.bind_device", request)
    assert answer.status == 201
    assert answer.body.startswith('{"description":"Device binded succesfully","deviceid":"')
    assert invoke("rufus.bind_device", request).body == answer.body
    assert len(items(Table.BINDINGS)) == 1
