"""A quectel installation for the tests: its users, ways to make a request fail, and its exact responses."""

from typing import Any

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Table
from bindery.core import clock
from bindery.directory import accounts, products, sessions, users
from bindery.quectel import families, sharing, user_domains
from bindery.quectel.sharing import Cover
from bindery.registry import devices, identity, items
from bindery.registry.bindings import Mode
from tests import moto_registry
from tests.http_api import Response, admin
from tests.sample_requests import send
from tests.tables import stored

PK, SN, DK = "p11uRP", "D1Q22HK2B001234", "8415D0A31B2C"
DEVICE = identity.manufactured_device(PK, SN)
ME, OTHER, THIRD = "C31489", "C31490", "C-3#1"

TEXTS = {
    5004: "Phone number not registered",
    5009: "Device verification failed",
    5012: "Incorrect user name or password",
    5015: "User domain does not exist",
    5031: "Email not registered",
    5032: "Token verification failed",
    5041: "No permission",
    5048: "Device binding failed",
    5049: "Device already bound",
    5052: "Device not bound",
    5054: "Device information modification failed",
    5066: "Please enter Product Key",
    5067: "Please enter Device Key",
    5070: "Please enter type",
    5071: "Type error, types are 1: Passthrough 2: Property 3: Service",
    5074: "Please enter device control command",
    5075: "Device control command length cannot exceed 4096",
    5088: "Please enter device SN",
    5089: "Device SN request failed",
    5090: "Requested device SN invalid",
    5093: "Abnormal user domain",
    5106: "Please enter token",
    5114: "DMP business attribute query failed",
    5193: "TSL query failed",
    5229: "User domain not authorized for this product",
    5311: "Please enter device list",
    5312: "Total number of devices in list exceeds range",
    5314: "Device query failed in cloud platform",
    5327: "No permission for this product",
    5333: "Device name exceeds length limit",
    5340: "Batch control devices failed",
    5361: "Incorrect DK format",
    5412: "Product binding mode is unique, cannot bind repeatedly",
    5420: "Signature verification failed",
    5471: "Please enter query type for property identifiers",
    5553: "Product or device does not exist",
    5624: "Home mode not enabled",
    5636: "Please enter family ID",
    5669: "Regular user has no permission to bind device",
    5893: "Failed to add common device",
    6040: "Already accepted device sharing",
    6083: "Bound device does not belong to current data center",
}


class World:
    """Installation in which the request of `ME` succeeds until a test changes something."""

    def __init__(self, mode: Mode = Mode.UNIQUE) -> None:
        self.parameters: dict[str, Any] = {"pk": PK, "sn": SN}
        self.facts: dict[str, Any] = {"device_key": DK}
        moto_registry.prepare(("quectel", mode), lambda: self._enter(mode))
        self.token: str | None = token(ME)

    def _enter(self, mode: Mode) -> None:
        accounts.create("smart", name="Smart")
        user_domains.create("E.DM.1")
        for uid in (ME, OTHER, THIRD):
            users.create(uid, "smart", domain="E.DM.1")
        products.create(PK, name="Smart lock", module_type="BC26", mode=mode)
        families.create("F1", ME, members=[OTHER], rooms=["R1"])
        families.create("F2", OTHER, rooms=["R1", "R2"])
        self.manufacture()

    def manufacture(self, **facts: Any) -> None:
        self.facts |= facts
        devices.manufacture(PK, SN, **self.facts)

    def at_home(self) -> None:
        users.set_home_mode(ME, True)
        self.parameters.setdefault("fid", "F1")

    def ask(self) -> Response:
        return bind(self.token, **self.parameters)


def token(uid: str, lifetime: int = 7200) -> str:
    return sessions.issue(uid, "quectel", lifetime)[0]


def bind(authorization: str | None, query: str | None = None, **parameters: Any) -> Response:
    return call("bind_device_sn", authorization, query or parameters)


def call(name: str, authorization: str | None, query: str | dict[str, Any]) -> Response:
    return send(f"quectel.{name}", {"authorization": authorization or ""}, query=query)


def ask(uid: str, name: str, **parameters: Any) -> Response:
    """Call an operation as a user."""
    return call(name, token(uid), parameters)


def as_user(uid: str, **parameters: Any) -> Response:
    return bind(token(uid), **{"pk": PK, "sn": SN, **parameters})


def refusal(code: int) -> str:
    return f'{{"code":{code},"data":null,"extMsg":"","msg":"{TEXTS[code]}"}}'


def refused(answer: Response, code: int) -> None:
    assert (answer.status, answer.body) == (200, refusal(code))


def succeeded(answer: Response) -> dict[str, str]:
    assert answer.status == 200
    given: dict[str, Any] = answer.json()
    assert list(given) == ["code", "data", "extMsg", "msg"]
    assert (given["code"], given["extMsg"], given["msg"]) == (200, "", "")
    assert list(given["data"]) == ["authKey", "dk", "moduleType", "pk"]
    return dict(given["data"])


def login_failures() -> list[int]:
    """Return the numbers of failed logins that are counted for a name."""
    return [item["failures"] for item in stored(Table.BINDINGS) if item["sk"] == "attempts"]


def owner() -> dict[str, Any]:
    (found,) = [item for item in stored(Table.BINDINGS) if item["sk"] == "owner"]
    assert "holder" in found
    return found


def places() -> dict[str, dict[str, Any]]:
    """Return the device items of users by uid. Each user has at most one."""
    found = [item for item in stored(Table.BINDINGS) if item["sk"].startswith("device#")]
    assert len({item["pk"] for item in found}) == len(found)
    return {item["pk"].removeprefix("user#"): item for item in found}


def session(uid: str) -> sessions.Session:
    return sessions.verify(token(uid), "quectel")


def share(by: str, uid: str, until: int, *, pk: str = PK, dk: str = DK) -> None:
    """Share a user's device with another user, who accepts. Then set the end of the share to `until`."""
    later = clock.seconds() + 1000
    code = sharing.offer(
        session(by), pk, dk, accepting_until=(later - 1) * 1000, sharing_until=later * 1000, cover=Cover.ADD
    )
    sharing.accept(session(uid), code, None)
    for item in stored(Table.BINDINGS):
        place = Key(Table.BINDINGS, item["pk"], item["sk"])
        if item.get("expires_at") == later:
            dynamodb.write(place.update(set={"expires_at": until}))
        if item.get("shares", {}).get(uid) == later:
            after = item["shares"] | {uid: until}
            dynamodb.write(place.update(set={"shares": after}))


def common(fid: str) -> set[str]:
    found = dynamodb.get(items.family(fid))
    assert found is not None
    return found.get("common", set())  # type: ignore[no-any-return]


def fill(fid: str, count: int = families.COMMON_LIMIT) -> None:
    fillers = {f"quectel#{PK}#filler-{number}" for number in range(count)}
    dynamodb.write(items.family(fid).update(add={"common": fillers}))


def imported(world: World, **facts: Any) -> None:
    """Import the device as an operator who intends a device that cannot be bound."""
    world.facts |= facts
    rows = [{"product_key": PK, "serial": SN, **world.facts}]
    answer = admin("devices", "POST", "devices/import", {"rows": rows, "unbindable": True})
    assert (answer.status, answer.json()["errors"]) == (200, [])


def no_device_key(world: World) -> None:
    imported(world, device_key=None)


def bad_device_key(world: World) -> None:
    imported(world, device_key="84:15")


def other_data_center(world: World) -> None:
    world.manufacture(data_center="elsewhere")


def disabled(world: World) -> None:
    assert admin("devices", "POST", f"devices/{identity.opaque(DEVICE)}/disable").json()["enabled"] is False
