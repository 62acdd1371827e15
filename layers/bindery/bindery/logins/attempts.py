"""Failed logins: counted for each name and the network it is tried from, so that guessing a password gets slow.

The fifth failure of a day (UTC) makes the next attempt wait a second, each further one twice as long, a quarter of an
hour at most; a success forgets them. What comes too early is refused unseen. Nobody is slowed by failures elsewhere, so
no stranger locks a user out; and a name that nobody has is slowed alike, so that the delay does not tell who exists.
"""

from collections.abc import Mapping
from typing import NamedTuple

from bindery import clock, dynamo, identity, keyring, passwords
from bindery.dynamo import Condition, Delete, Item, Key, Table, Update
from bindery.faults import Fault, Reason

FREE = 4
"""How many failures of a day make nobody wait."""

LONGEST = 15 * 60
"""Seconds of the longest delay."""

_DAY = 24 * 3600


class Attempts(NamedTuple):
    """A login of one name from one network, and how many failed today when that was read."""

    key: Key
    failures: int = 0

    def judge(self, password: str, user: Item | None, *, aside: Update | None = None) -> Item:
        """The user (None: somebody who may not log in) if this is their password; counts the failure if it is not.

        It takes half a second, whoever it is: one hash and one write. A good password counts only if no failure beyond
        the free ones was written since `failures` was read, so that guesses made at once are no more guesses. `aside`
        is written along with a success. Raises `PASSWORD_WRONG` and `LOGIN_SLOWED`.
        """
        if not passwords.verify(password, None if user is None else user.get("password")) or user is None:
            self.fail()
            raise Fault(Reason.PASSWORD_WRONG)
        forget = Delete(
            self.key,
            Condition(
                expression="attribute_not_exists(#pk) OR #failures <= :free OR #failures = :failures",
                values={":free": FREE, ":failures": self.failures},
                otherwise=Reason.LOGIN_SLOWED,
                detail=_wait(1),
            ),
        )
        dynamo.transact([forget], aside=aside)
        return user

    def fail(self) -> None:
        """Count a failure. If the SDK repeats it after a lost answer it counts twice, which is as well."""
        now = clock.now()
        dynamo.write(
            Update(
                self.key,
                "SET #last_at = :now, #expires_at = :expires_at ADD #failures :one",
                {":now": now, ":expires_at": now // 1000 + _DAY, ":one": 1},
            )
        )


def key(api: str, scope: str, name: str, source_ip: str) -> Key:
    """Where today's failures of a name stand, tried from this IP address: under a hash, which tells neither."""
    hashed = keyring.derive(
        "DIRECTORY_SECRET",
        "attempts",
        api,
        scope,
        identity.folded(name),
        identity.network(source_ip),
        clock.today().isoformat(),
    )
    return Key(Table.BINDINGS, f"attempts#{hashed.hex()}", "attempts")


def admit(key: Key, record: Item | None) -> Attempts:
    """An attempt, if it does not come too early after the last failure. Raises `LOGIN_SLOWED`."""
    if record is None:
        return Attempts(key)
    failures = record["failures"]
    if failures > FREE:
        delay = min(2 ** (failures - FREE - 1), LONGEST)
        left = record["last_at"] + delay * 1000 - clock.now()
        if left > 0:
            raise Fault(Reason.LOGIN_SLOWED, **_wait(-(-left // 1000)))
    return Attempts(key, failures)


def _wait(seconds: int) -> Mapping[str, str]:
    return {"seconds": str(seconds)}
