"""Failed logins: counted for each name and the network it is tried from, so that guessing a password gets slow.

A success forgets them. Nobody is slowed by failures elsewhere, so no stranger locks a user out; and a name that nobody
has is slowed alike, so that the delay does not tell who exists.
"""

from typing import ClassVar

from bindery import clock, dynamo, identity, keyring, passwords
from bindery.dynamo import Delete, Item, Key, Table, Update
from bindery.faults import Fault, Reason
from bindery.misses import Misses


class Attempts(Misses):
    """A login of one name from one network, and how many failed today when that was read."""

    __slots__ = ()
    FREE: ClassVar[int] = 4
    SLOWED: ClassVar[Reason] = Reason.LOGIN_SLOWED

    def judge(self, password: str, user: Item | None, *, aside: Update | None = None) -> Item:
        """The user (None: somebody who may not log in) if this is their password; counts the failure if it is not.

        It takes half a second, whoever it is: one hash and one write. A good password counts only if no failure beyond
        the free ones was written since `failures` was read. `aside` is written along with a success. Raises
        `PASSWORD_WRONG` and `LOGIN_SLOWED`.
        """
        if not passwords.verify(password, None if user is None else user.get("password")) or user is None:
            self.fail()
            raise Fault(Reason.PASSWORD_WRONG)
        dynamo.transact([Delete(self.key, self.no_more())], aside=aside)
        return user


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
