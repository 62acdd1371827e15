"""Login names, unique in a user domain (quectel: email address, phone number) or account (remoteit: email address)."""

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Put
from bindery.aws.expressions import absent, equals
from bindery.core.errors import Reason
from bindery.registry import identity, items


def names(user: items.User) -> list[Key[items.LoginName]]:
    """Return a user's login names."""
    account = _in_account(user)
    return _in_domain(user) if account is None else [*_in_domain(user), account]


def taken_in_account(user: items.User) -> bool:
    """Return True if another user of the account has the email address, and a user domain tells the two apart."""
    email = user.get("email")
    if email is None or user["domain"] is None:
        return False
    name = dynamodb.get(items.email_in_account(user["account"], email))
    return name is not None and name["uid"] != user["uid"]


def claims(user: items.User) -> list[Put]:
    """Claim a user's login names. The write raises `ALREADY_EXISTS`, or `CONFLICT` if `taken_in_account` changed."""
    account = _in_account(user)
    found = [_claim(name, user, Reason.ALREADY_EXISTS) for name in _in_domain(user)]
    if account is not None:
        reason = Reason.ALREADY_EXISTS if user["domain"] is None else Reason.CONFLICT
        found.append(_claim(account, user, reason))
    return found


def has_email(user: items.User, email: str) -> bool:
    """Return True if a user's email address is this one, in any spelling."""
    return identity.folded(user.get("email") or "") == identity.folded(email)


def _in_domain(user: items.User) -> list[Key[items.LoginName]]:
    domain, email, phone = user["domain"], user.get("email"), user.get("phone")
    found = []
    if domain is not None and email is not None:
        found.append(items.email_in_domain(domain, email))
    if domain is not None and phone is not None:
        found.append(items.phone_in_domain(domain, phone))
    return found


def _in_account(user: items.User) -> Key[items.LoginName] | None:
    email = user.get("email")
    return None if email is None or user.get("only_in_domain") else items.email_in_account(user["account"], email)


def _listed(user: items.User) -> Key[items.LoginName] | None:
    """Return the login name by which operators find a user's email address: that in the account, else in the domain."""
    in_domain = (name for name in _in_domain(user) if name.sk == "email")
    return _in_account(user) or next(in_domain, None)


def _claim(name: Key[items.LoginName], user: items.User, reason: Reason) -> Put:
    kind = "phone number" if name.sk == "phone" else "email address"
    free = absent() | equals("uid", user["uid"])
    item: items.LoginName = {"uid": user["uid"], "account": user["account"]}
    if name == _listed(user):
        item["collection"] = items.users_with_email(user["email"] or "").value
    return name.put(
        item,
        when=free.raises(reason, detail=f"The {kind} is another user's."),
    )
