"""Login names, unique in a user domain (quectel: email address, phone number) or account (remoteit: email address)."""

from bindery.aws.dynamodb import Key, Put
from bindery.aws.expressions import absent, equals
from bindery.core.errors import Reason
from bindery.registry import items


def names(user: items.User) -> list[Key[items.LoginName]]:
    """Return a user's login names."""
    domain, email, phone = user["domain"], user.get("email"), user.get("phone")
    found = [] if email is None else [items.email_in_account(user["account"], email)]
    if domain is not None and email is not None:
        found.append(items.email_in_domain(domain, email))
    if domain is not None and phone is not None:
        found.append(items.phone_in_domain(domain, phone))
    return found


def claim(name: Key[items.LoginName], user: items.User) -> Put:
    """Claim a login name. The write raises `ALREADY_EXISTS`."""
    kind = "phone number" if name.sk == "phone" else "email address"
    return name.put(
        {"uid": user["uid"], "account": user["account"]},
        when=(absent() | equals("uid", user["uid"])).raises(
            Reason.ALREADY_EXISTS, detail=f"The {kind} is another user's."
        ),
    )
