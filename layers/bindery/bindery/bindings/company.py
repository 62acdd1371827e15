"""rufus: a company binds a device that it names itself (document 000).

A device is (account, model, serial), so nobody else can hold it; binding it again is a retry or a re-install.
"""

from bindery import clock, devices, dynamo, identity, keyring
from bindery.bindings import record
from bindery.dynamo import Condition, Update
from bindery.faults import Reason


def bind(
    account: str,
    model: str,
    serial: str,
    *,
    alias: str | None,
    firmware: str | None,
    kind: str | None,
    used: Update | None = None,
) -> str:
    """Bind a device to an account and return its deviceid. What is given replaces what an earlier bind gave.

    One transaction of two items, so that a ban and a bind never cross; `used` (of the `ApiKey`) goes along with it.
    Raises `DEVICE_BANNED`.
    """
    model, serial = identity.canonical(model), identity.canonical(serial)
    device = identity.company_device(account, model, serial)
    given = {
        name: value for name, value in {"alias": alias, "firmware": firmware, "type": kind}.items() if value is not None
    }
    facts = {"holder": identity.account_holder(account), "model": model, "serial": serial, **given}
    now = clock.now()
    dynamo.transact(
        [
            devices.seen(device, "rufus", {"model": model, "serial": serial}),
            Update(
                record.owner(device),
                "SET #binding = if_not_exists(#binding, :binding), #bound_at = if_not_exists(#bound_at, :now), "
                "#since = if_not_exists(#since, :since), #connected = if_not_exists(#connected, :nobody), "
                + ", ".join(f"#{name} = :{name}" for name in facts),
                {":binding": record.new_id(), ":now": now, ":since": record.since("rufus", now), ":nobody": {}}
                | {f":{name}": value for name, value in facts.items()},
                Condition(
                    expression="attribute_not_exists(#holder) OR #holder = :holder", otherwise=Reason.BOUND_BY_ANOTHER
                ),
            ),
        ],
        aside=used,
    )
    return keyring.device_id(account, model, serial)
