import pytest

from bindery.asseco import issued_devices
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.connectivity import service_addresses
from bindery.directory import api_keys, users
from bindery.directory.accounts import KeyKind
from bindery.directory.api_keys import Grant
from bindery.operators import privacy
from bindery.quectel import domain_secrets, user_domains
from bindery.registry import devices, identity
from bindery.security import passwords
from tests.tables import everything, stored
from tools.local import demo

pytestmark = pytest.mark.usefixtures("engine")


@pytest.mark.parametrize(
    ("module", "function"),
    [
        (api_keys, "issue"),
        (users, "create"),
        (devices, "manufacture"),
        (service_addresses, "assign"),
        (issued_devices, "enter"),
    ],
)
def test_interrupted_load_is_resumed(monkeypatch: pytest.MonkeyPatch, module, function):
    real = getattr(module, function)
    calls = []

    def cut_short(*given, **named):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(module, function, cut_short)
        with pytest.raises(KeyboardInterrupt):
            demo.load()
    demo.load()
    found = stored(Table.DIRECTORY)
    kinds = ["account", "key", "user", "product", "address", "issued", "domain"]
    counted = {kind: sum(kind in (item["sk"].partition("#")[0]) for item in found) for kind in kinds}
    assert counted == {"account": 2, "key": 8, "user": 3, "product": 1, "address": 5, "issued": 2, "domain": 1}
    before = everything()
    demo.load()
    assert everything() == before


def test_changes_to_the_demo_data_are_kept():
    demo.load()
    api_keys.revoke(api_keys.id_of(demo.DOCUMENTED["RUFUS_API_KEY"]))
    users.set_home_mode("ada", True)
    devices.ban(identity.manufactured_device(demo.PRODUCT_KEY, demo.SERIALS[""]), "stolen")
    api_keys.issue("demo", KeyKind.RUFUS, Grant.READ, alias="mine")
    before = everything()
    demo.load()
    assert everything() == before


def test_older_registry_gets_logins_and_keeps_its_data(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(demo, "_enter_logins", lambda: None)
        demo.load()
    dynamodb.write(dynamodb.Delete(demo._LOGINS_LOADED))
    privacy.erase("ben")
    users.create("mine", "demo-other", email="cleo@example.com")
    demo.load()
    assert passwords.verify(demo._password("ada"), users.show("ada")["password"])
    assert domain_secrets.of(user_domains.show(demo.DOMAIN)) == demo._domain_secret()
    emails = {item["uid"]: item["email"] for item in stored(Table.DIRECTORY) if item["sk"] == "user"}
    assert emails == {"ada": "ada@example.com", "cleo": "cleo@example.com", "mine": "cleo@example.com"}
