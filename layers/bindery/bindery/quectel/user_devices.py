"""quectel: what a user holds, in a partition of their own.

The API's clients name a device by product key and device key, while bindings stand under (product key, serial number)
(`bindery.registry.bindings`). So each binding, and each share that a user accepted, has its place here too, written and
removed in the same transactions: lists and look-ups read nothing else. The binding is the authority on who may bind and
connect; what only its holder looks at (the name, the network, the room) stands here alone.

A place of a binding has its `shares` (uid → the second at which it ends), that of a share the sharer (`by`) and what
else its code says, both the id of the binding that they stand for. A place has no `holder`, so it is in no index.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Condition, Delete, Item, Key, Read, Table, Update, Verdict
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import products
from bindery.directory.sessions import Session
from bindery.directory.users import User
from bindery.quectel import families, share_codes
from bindery.quectel.share_codes import Offer
from bindery.registry import bindings, holdings, identity
from bindery.registry.bindings import Mode
from bindery.security import secrets

SHARE_LIMIT = 30
"""How many shares of one binding last at a time: with all of them, a binding ends in one transaction."""

PAGE_LIMIT = 98
"""How many devices a page of a list has at most: with the user and the account, what one batch reads."""


class Device(NamedTuple):
    """A device as its user sees it. Times are milliseconds."""

    product_key: str
    product_name: str
    device_key: str
    serial: str
    name: str
    auth_key: str
    mode: Mode
    shared: bool
    capabilities: int | None
    fid: str | None
    frid: str | None
    uid: str
    bound_at: int | None
    share_code: str | None


class Page(NamedTuple):
    """Part of a user's devices, and how many there are in all."""

    devices: list[Device]
    total: int


def place(binding: Item) -> Key:
    """Where what its holder holds stands, by the binding (or the share) as it stands under the device."""
    _, uid = identity.holder_parts(binding["holder"])
    return holdings.key(uid, identity.parts(binding["pk"])["product_key"], binding["device_key"])


def free(device: str) -> Condition:
    """That a user's place for a device holds nothing but that device, or a share whose time is over."""
    return Condition(
        expression="attribute_not_exists(#pk) OR #device = :device OR (#kind = :share AND #expires_at <= :now)",
        values={":device": device, ":share": "share", ":now": clock.seconds()},
        otherwise=Reason.BINDING_FAILED,
    )


def find(session: Session, product_key: str | None, device_key: str | None) -> Device:
    """A device of the session's user.

    Raises `TOKEN_INVALID`, `LOOKUP_FAILED`, `IDENTIFIER_MISSING` (either key) and `DEVICE_NOT_BOUND`.
    """
    if product_key is None or device_key is None:
        session.look_up(Reason.LOOKUP_FAILED)
        raise Refused(Reason.IDENTIFIER_MISSING)
    product_read = Read(products.key(product_key), Reason.LOOKUP_FAILED)
    _, held, (product,) = own(session, product_key, device_key, product_read)
    return shown(session, held, product)


def page(
    session: Session,
    number: int,
    size: int,
    *,
    name: str | None = None,
    product_keys: Sequence[str] | None = None,
    device_key: str | None = None,
) -> Page:
    """The `number`th (from 1) `size` (at most `PAGE_LIMIT`) of a user's devices, what was bound first coming first.

    That order is stable: what is bound meanwhile comes last. `name` is part of a device's name. Looks at a megabyte of
    what the user holds, some 1,500 devices. Raises `TOKEN_INVALID` and `LOOKUP_FAILED`.
    """
    found = [
        held
        for held in holdings.of_user(session.uid, round_trips=1, unavailable=Reason.LOOKUP_FAILED)
        if holdings.lasts(held)
        and (name is None or identity.folded(name) in identity.folded(held["name"]))
        and (product_keys is None or held["product_key"] in product_keys)
        and (device_key is None or held["device_key"] == device_key)
    ]
    found.sort(key=lambda held: (held["bound_at"], held["sk"]))
    part = found[(number - 1) * size : number * size]
    keys = list(dict.fromkeys(products.key(held["product_key"]) for held in part))
    reads = [Read(place, Reason.LOOKUP_FAILED) for place in keys]
    user, account, *read = dynamodb.get_many([*session.reads(Reason.LOOKUP_FAILED), *reads])
    session.confirm(user, account)
    named = dict(zip(keys, read, strict=True))
    return Page([shown(session, held, named[products.key(held["product_key"])]) for held in part], len(found))


def bindable(session: Session, product_key: str, device_key: str | None) -> Item:
    """The product of a device that the session's user wants to bind, as far as its keys tell that they may.

    A product that is not for the user's domain is unknown too, so that its name is not shown. Raises `TOKEN_INVALID`,
    `LOOKUP_FAILED`, `PRODUCT_UNKNOWN`, `ALREADY_BOUND` and `SHARE_ACCEPTED` (the user has it).
    """
    reads = [Read(products.key(product_key), Reason.LOOKUP_FAILED)]
    if device_key is not None:
        reads.append(Read(holdings.key(session.uid, product_key, device_key), Reason.LOOKUP_FAILED))
    user, account, product, *rest = dynamodb.get_many([*session.reads(Reason.LOOKUP_FAILED), *reads])
    session.confirm(user, account)
    if not products.serves(product, session.domain):
        raise Refused(Reason.PRODUCT_UNKNOWN)
    for held in rest:
        refuse(held)
    return product


def refuse(held: Item | None) -> None:
    """Raise `ALREADY_BOUND` or `SHARE_ACCEPTED` if a user holds what stands at a place."""
    if held is not None and holdings.lasts(held):
        raise Refused(Reason.SHARE_ACCEPTED if held["kind"] == "share" else Reason.ALREADY_BOUND)


def rename(session: Session, product_key: str, device_key: str, name: str) -> None:
    """Give a device of the session's user another name. It is the user's own: others who hold it do not see it.

    Raises `TOKEN_INVALID`, `LOOKUP_FAILED` and `DEVICE_NOT_BOUND`.
    """
    _, held, _ = own(session, product_key, device_key)
    dynamodb.write(
        Update(
            holdings.key(session.uid, product_key, device_key), "SET #name = :name", {":name": name}, still_held(held)
        )
    )


def unbind(session: Session, product_key: str, device_key: str) -> int:
    """End what the session's user holds of a device: a binding with all of its shares, or an accepted share.

    How many users have bound the device afterwards: in multi mode they are counted, a third round trip. Raises
    `TOKEN_INVALID`, `LOOKUP_FAILED`, `DEVICE_NOT_BOUND`, and `CONFLICT` (a share was accepted or ended meanwhile:
    nothing changed).
    """
    user, held, _ = own(session, product_key, device_key)
    uid, multi = session.uid, held["mode"] == Mode.MULTI
    others = users_of(held["device"], uid) if multi else []
    if held["kind"] == "share":
        dynamodb.transact(giving_back(uid, held, Reason.DEVICE_NOT_BOUND, user.pseudonym))
    else:
        relation = bindings.of_user(held["device"], uid) if multi else bindings.owner(held["device"])
        ended = Condition(
            expression="#binding = :binding", values={":binding": held["binding"]}, otherwise=Reason.DEVICE_NOT_BOUND
        )
        dynamodb.transact(
            [
                Delete(relation, ended),
                *ending(uid, held, otherwise=Reason.CONFLICT),
                *leaving_family(uid, held),
            ]
        )
    if multi:
        return sum(other["kind"] == "binding" for other in others)
    return 1 if held["kind"] == "share" else 0


def users_of(device: str, uid: str) -> list[Item]:
    """The bindings and lasting shares of all others of a device in multi mode, as far as a megabyte shows them."""
    found = dynamodb.query(
        Table.BINDINGS,
        "#pk = :device AND begins_with(#sk, :user)",
        {":device": device, ":user": identity.user_holder("")},
        consistent=True,
        round_trips=1,
    )
    return [other for other in found if other["sk"] != identity.user_holder(uid) and holdings.lasts(other)]


def ending(uid: str, held: Item, otherwise: Verdict) -> Iterator[Delete]:
    """The part of a write that ends the place of a user's binding, as it was read, and all of its lasting shares.

    `held` is the place, or in an exclusive mode the binding with what the place has of it.
    """
    product_key, device_key = held["product_key"], held["device_key"]
    as_read = Condition(
        expression="attribute_not_exists(#pk) OR (#binding = :binding AND #shares = :shares)",
        values={":binding": held["binding"], ":shares": held["shares"]},
        otherwise=otherwise,
    )
    yield Delete(holdings.key(uid, product_key, device_key), as_read)
    this_ones = Condition(
        expression="attribute_not_exists(#pk) OR #binding = :binding",
        values={":binding": held["binding"]},
        otherwise=otherwise,
    )
    # What is over stays until it expires or is replaced: someone else's may stand there by now.
    for sharer in holdings.lasting(held["shares"]):
        yield Delete(holdings.key(sharer, product_key, device_key), this_ones)
        if held["mode"] == Mode.MULTI:
            yield Delete(bindings.of_user(held["device"], sharer), this_ones)


def giving_back(uid: str, held: Item, otherwise: Verdict, pseudonym: str = "") -> list[Update | Delete]:
    """The writes that end a share that a user accepted: `otherwise` if it has ended.

    In an exclusive mode the binding stays, and names them by `pseudonym` if they are connected.
    """
    product_key, device_key = held["product_key"], held["device_key"]
    shared = Condition(
        expression="#binding = :binding",
        names={"uid": uid},
        values={":binding": held["binding"]},
        otherwise=otherwise,
    )
    this_one = Condition(expression="#share = :share", values={":share": held["share"]}, otherwise=otherwise)
    own: Update | Delete
    if held["mode"] == Mode.MULTI:
        own = Delete(bindings.of_user(held["device"], uid), this_one)
    else:
        with_lease = shared._replace(names={"uid": uid, "caller": pseudonym})
        own = Update(bindings.owner(held["device"]), "REMOVE #shares.#uid, #connected.#caller", condition=with_lease)
    return [
        own,
        Update(holdings.key(held["by"], product_key, device_key), "REMOVE #shares.#uid", condition=shared),
        Delete(holdings.key(uid, product_key, device_key), this_one),
    ]


def leaving_family(uid: str, held: Item) -> list[Update]:
    """The part of a write that takes a user's device off the family's common list when the binding ends."""
    if not held["common"]:
        return []
    return [families.drop_common(held["fid"], families.entry(held["device"], uid, held["mode"]))]


def still_held(held: Item) -> Condition:
    """That what a user holds is what was read: it stands for `DEVICE_NOT_BOUND`."""
    name = "share" if held["kind"] == "share" else "binding"
    return Condition(
        expression=f"#kind = :kind AND #{name} = :read",
        values={":kind": held["kind"], ":read": held[name]},
        otherwise=Reason.DEVICE_NOT_BOUND,
    )


def shown(session: Session, held: Item, product: Item | None) -> Device:
    """A device as its user sees it, by their place for it. A share has an `authKey` of its own, which ends with it.

    Its code is the one that was accepted, good in the user domain where it was, wherever the user is by now.
    """
    shared = held["kind"] == "share"
    return Device(
        product_key=held["product_key"],
        product_name="" if product is None else product["name"],
        device_key=held["device_key"],
        serial=held["serial"],
        name=held["name"],
        auth_key=secrets.auth_key(held["share"] if shared else held["binding"]),
        mode=Mode(held["mode"]),
        shared=shared,
        capabilities=held["capabilities"],
        fid=held["fid"],
        frid=held["frid"],
        uid=session.uid,
        bound_at=held["bound_at"],
        share_code=share_codes.write(offer(held), session.account, held["domain"]) if shared else None,
    )


def offer(held: Item) -> Offer:
    """The offer that an accepted share was accepted of."""
    return Offer(
        held["by"],
        held["generation"],
        held["product_key"],
        held["device_key"],
        held["binding"],
        held["series"],
        held["accepting_until"],
        held["expires_at"],
    )


def own(session: Session, product_key: str, device_key: str, *reads: Read) -> tuple[User, Item, list[Item | None]]:
    """The session's user, what they hold of a device, and what `reads` brought along with it.

    Raises `TOKEN_INVALID`, `LOOKUP_FAILED` and `DEVICE_NOT_BOUND`.
    """
    held_read = Read(holdings.key(session.uid, product_key, device_key), Reason.LOOKUP_FAILED)
    user, account, held, *rest = dynamodb.get_many([*session.reads(Reason.LOOKUP_FAILED), held_read, *reads])
    confirmed = session.confirm(user, account)
    if held is None or not holdings.lasts(held):
        raise Refused(Reason.DEVICE_NOT_BOUND)
    return confirmed, held, rest
