"""Login names: email addresses, unique in a user domain (quectel) and an account (remoteit)."""

from bindery.aws.dynamodb import Key, Put
from bindery.aws.expressions import absent, equals
from bindery.core.errors import Reason
from bindery.registry import items


def names(user: items.User) -> list[Key[items.EmailName]]:
    """Return a user's login names."""
    email = user.get("email")
    if email is None:
        return []
    account = items.email_in_account(user["account"], email)
    return [account] if user["domain"] is None else [account, items.email_in_domain(user["domain"], email)]


def claim(name: Key[items.EmailName], user: items.User) -> Put:
    """Claim a login name. The write raises `ALREADY_EXISTS`."""
    return name.put(
        {"uid": user["uid"], "account": user["account"]},
        when=(absent() | equals("uid", user["uid"])).raises(
            Reason.ALREADY_EXISTS, detail="The email address is another user's."
        ),
    )
