"""Email addresses as the names by which users log in: in a user domain (quectel), and in an account (remoteit).

Whose an address is stands in an item for each of the two, which is written and removed along with the user's record. So
an address is one user's in a domain, and one user's in an account.
"""

from bindery.aws.dynamodb import Condition, Item, Key, Put, Table
from bindery.core.errors import Reason
from bindery.registry import identity


def in_domain(domain: str, email: str) -> Key:
    """Where it stands whose an address is in a user domain."""
    return _key("domain", domain, email)


def in_account(account: str, email: str) -> Key:
    """Where it stands whose an address is in an account."""
    return _key("account", account, email)


def names(user: Item) -> list[Key]:
    """Where it stands that a user's address is theirs: up to two places."""
    email = user.get("email")
    if email is None:
        return []
    account = in_account(user["account"], email)
    return [account] if user["domain"] is None else [account, in_domain(user["domain"], email)]


def claim(name: Key, user: Item) -> Put:
    """Makes one of a user's names theirs. Raises `ALREADY_EXISTS`: it is another's."""
    return Put(
        name,
        {"uid": user["uid"], "account": user["account"]},
        Condition(
            expression="attribute_not_exists(#pk) OR #uid = :uid",
            values={":uid": user["uid"]},
            otherwise=Reason.ALREADY_EXISTS,
            detail={"detail": "The email address is another user's."},
        ),
    )


def _key(kind: str, scope: str, email: str) -> Key:
    return Key(Table.DIRECTORY, identity.join("email", kind, scope, identity.folded(email)), "email")
