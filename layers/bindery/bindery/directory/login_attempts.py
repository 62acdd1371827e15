"""Throttle for logins, for each name and network, and for each network.

A stranger elsewhere cannot lock a user out, and delays do not reveal who exists.
"""

from typing import ClassVar, Self

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Batch, Read, Update
from bindery.core.errors import Reason, Refused
from bindery.registry import items
from bindery.security import passwords
from bindery.security.throttling import GuessThrottle, Limit


class NameAttempts(GuessThrottle):
    """Failed logins of a name from a network."""

    __slots__ = ()
    LIMITS: ClassVar[tuple[Limit, ...]] = (Limit("failures", "last_at", 4, Reason.LOGIN_THROTTLED),)


class NetworkAttempts(GuessThrottle):
    """Failed logins from a network."""

    __slots__ = ()
    LIMITS: ClassVar[tuple[Limit, ...]] = (Limit("failures", "last_at", 100, Reason.LOGIN_THROTTLED, longest=60),)

    def release(self) -> Update:
        """Remove a successful attempt from the count."""
        latest: int = self.attempts.get("last_at", 0)
        return self.key.update(set={"last_at": latest}, add={"failures": -1})


class Attempt:
    """A login attempt."""

    __slots__ = ("_name", "_network", "reads")

    def __init__(self, api: str, scope: str, name: str, source_ip: str) -> None:
        self._name = NameAttempts(items.name_attempts(api, scope, name, source_ip))
        self._network = NetworkAttempts(items.network_attempts(api, scope, source_ip))
        self.reads = [Read(self._name.key), Read(self._network.key)]

    def reserve(self, found: Batch) -> Self:
        """Count this attempt as failed before comparing the password. Raises `LOGIN_THROTTLED`."""
        self._name = NameAttempts.accept(self._name.key, found[self._name.key])
        self._network = NetworkAttempts.accept(self._network.key, found[self._network.key])
        dynamodb.transact([self._name.count(), self._network.count()])
        return self

    def judge(self, password: str, user: items.User | None, *, aside: Update | None = None) -> items.User:
        """`settle`, with a password."""
        stored = None if user is None else user.get("password")
        return self.settle(passwords.verify(password, stored), user, aside=aside)

    def settle(self, right: bool, user: items.User | None, *, aside: Update | None = None) -> items.User:
        """Return the user if the guess was right, and no longer count the attempt. Raises `PASSWORD_WRONG`.

        None is a user who may not log in. `aside` is written too.
        """
        if not right or user is None:
            raise Refused(Reason.PASSWORD_WRONG)
        dynamodb.transact([self._name.key.delete(), self._network.release()], aside=aside)
        return user
