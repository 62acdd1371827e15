"""Throttle for logins: attempts are counted for each name from each network, and for each network over all names.

A successful login deletes the count of its name and takes itself off that of its network. A name is not throttled by
attempts from other networks, so no stranger elsewhere locks a user out. A name that does not exist is throttled in the
same way, so that the delay does not reveal who exists.
"""

from typing import ClassVar, Self

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Delete, Item, Key, Read, Table, Update
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import identity
from bindery.security import passwords, secrets
from bindery.security.throttling import GuessThrottle, Limit


class Attempts(GuessThrottle):
    """Failed logins of one name from one network."""

    __slots__ = ()
    LIMITS: ClassVar[tuple[Limit, ...]] = (Limit("failures", "last_at", 4, Reason.LOGIN_THROTTLED),)


class NetworkAttempts(GuessThrottle):
    """Failed logins of all names from one network: many names tried with few passwords each."""

    __slots__ = ()
    LIMITS: ClassVar[tuple[Limit, ...]] = (Limit("failures", "last_at", 100, Reason.LOGIN_THROTTLED, longest=60),)

    def release(self) -> Update:
        """Take an attempt that succeeded off the count, as if it had not been made."""
        latest = self.record.get("last_at", 0)
        return Update(self.key, "SET #last_at = :latest ADD #failures :less", {":latest": latest, ":less": -1})


class Attempt:
    """A login that is being tried: of a name, from a network."""

    __slots__ = ("_name", "_network", "reads")

    def __init__(self, api: str, scope: str, name: str, source_ip: str) -> None:
        self._name = Attempts(name_key(api, scope, name, source_ip))
        self._network = NetworkAttempts(network_key(api, scope, source_ip))
        self.reads = (Read(self._name.key), Read(self._network.key))

    def reserve(self, name: Item | None, network: Item | None) -> Self:
        """Count this attempt as failed before anything is compared, given the items at `reads`: one transaction.

        Raises `LOGIN_THROTTLED`, counting nothing, if the delay after the last attempt is not over or
        concurrent attempts were counted first.
        """
        self._name = Attempts.admit(self._name.key, name)
        self._network = NetworkAttempts.admit(self._network.key, network)
        dynamodb.transact([self._name.count(), self._network.count()])
        return self

    def judge(self, password: str, user: Item | None, *, aside: Update | None = None) -> Item:
        """Return the user (None: someone who may not log in) if this is their password: one hash.

        Then the attempt no longer counts: one transaction, in which `aside` is written too. Raises `PASSWORD_WRONG`.
        """
        if not passwords.verify(password, None if user is None else user.get("password")) or user is None:
            raise Refused(Reason.PASSWORD_WRONG)
        dynamodb.transact([Delete(self._name.key), self._network.release()], aside=aside)
        return user


def name_key(api: str, scope: str, name: str, source_ip: str) -> Key:
    """Key of today's attempts of a name from this IP address: a hash that reveals neither."""
    return _key("attempts", api, scope, identity.folded(name), identity.network(source_ip))


def network_key(api: str, scope: str, source_ip: str) -> Key:
    """Key of today's attempts from this IP address, of all names."""
    return _key("network", api, scope, identity.network(source_ip))


def _key(kind: str, *parts: str) -> Key:
    hashed = secrets.derive("DIRECTORY_SECRET", kind, *parts, clock.today().isoformat())
    return Key(Table.BINDINGS, f"attempts#{hashed.hex()}", kind)
