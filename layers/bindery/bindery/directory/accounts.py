"""Accounts: the tenants (a company, a bank, a platform)."""

from bindery import clock, dynamo
from bindery.dynamo import Condition, Item, Key, Put, Table, Update
from bindery.faults import Fault, Reason


def key(account: str) -> Key:
    """Where an account stands in the directory."""
    return Key(Table.DIRECTORY, f"account#{account}", "account")


def api_key(hashed: str) -> Key:
    """Where the API key with this SHA-256 stands in the directory, whichever account it is of."""
    return Key(Table.DIRECTORY, f"key#{hashed}", "key")


def create(account: str, *, name: str) -> None:
    """Open an account. Raises `ALREADY_EXISTS`."""
    dynamo.write(
        Put(
            key(account),
            {"account": account, "name": name, "enabled": True, "live_keys": {}, "created_at": clock.now()},
            Condition(expression="attribute_not_exists(#pk)", otherwise=Reason.ALREADY_EXISTS),
        )
    )


def set_enabled(account: str, enabled: bool) -> None:
    """Open or close an account, and with it, in the same write, every key of it. Raises `NOT_FOUND`.

    A key carries its account's state, so that a request needs to read the key alone; users are checked against the
    account itself. Raises `UNAVAILABLE` if a key was issued or revoked meanwhile: nothing has changed then.
    """
    record = dynamo.get(key(account))
    if record is None:
        raise Fault(Reason.NOT_FOUND)
    dynamo.transact(
        [
            Update(
                key(account),
                "SET #enabled = :enabled",
                {":enabled": enabled},
                Condition(
                    expression="#live_keys = :live_keys",
                    values={":live_keys": record["live_keys"]},
                    otherwise=Reason.UNAVAILABLE,
                ),
            ),
            *(
                Update(api_key(hashed), "SET #account_enabled = :enabled", {":enabled": enabled})
                for hashed in record["live_keys"]
            ),
        ]
    )


def enabled(record: Item | None) -> bool:
    """Whether an account's record is one under which callers may authenticate."""
    return record is not None and bool(record["enabled"])
