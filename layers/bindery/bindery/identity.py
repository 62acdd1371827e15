"""Canonical keys: the only place where serials, MACs, addresses and names become keys of the tables.

Two spellings of one thing become one key; two different things never do. Parts of a key are joined by `#`, and a part
that is not the last has its own `#` and `%` escaped, so that no part can reach into the next.
"""

import base64
import ipaddress
import re
import unicodedata

from bindery import keyring
from bindery.faults import Fault, Reason

_MAC = re.compile(
    r"[0-9a-f]{12}"
    r"|[0-9a-f]{2}([:.-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}"
    r"|[0-9a-f]{4}([:.-])[0-9a-f]{4}\2[0-9a-f]{4}",
    re.ASCII | re.IGNORECASE,
)
"""Twelve hex digits, bare, in pairs or in fours."""
_ADDRESS = re.compile(r"(?:[0-9A-Fa-f]{2}:){7}[0-9A-Fa-f]{2}")
_CONNECTION_ID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def canonical(text: str) -> str:
    """`text` trimmed and in Unicode NFC: the form in which serial-like values are compared."""
    return unicodedata.normalize("NFC", text.strip())


def folded(text: str) -> str:
    """`text` as names are compared that may differ in case only."""
    return unicodedata.normalize("NFC", canonical(text).casefold())


def join(*parts: str) -> str:
    """One key of several parts."""
    *scope, last = parts
    return "#".join([*(part.replace("%", "%25").replace("#", "%23") for part in scope), last])


def company_device(account: str, model: str, serial: str) -> str:
    """rufus: a device is (account, model, serial). Its key is the hash of its deviceid, so that either finds it."""
    return company_device_of(account, keyring.device_id(account, canonical(model), canonical(serial)))


def company_device_of(account: str, device_id: str) -> str:
    """rufus: the key of the device that `account` knows by `device_id`."""
    return join("rufus", account, keyring.fingerprint(device_id))


def manufactured_device(product_key: str, serial: str) -> str:
    """quectel: a device is (product key, serial number)."""
    return join("quectel", canonical(product_key), canonical(serial))


def customer_device(identifier: str) -> str:
    """asseco: a device is its external identifier, over all customers."""
    return join("asseco", canonical(identifier))


def player_device(mac_address: str) -> str:
    """vodlix: a device is its MAC address, or whatever else the player sends in its place."""
    return join("vodlix", mac(mac_address))


def nowhere(uid: str) -> str:
    """What a user asks for in the place of a device that there is none of: no device ever has this key."""
    return join("nowhere", uid)


def parts(device: str) -> dict[str, str]:
    """What a device's key says of it: its `dialect`, and by their names the parts of its scope and its natural key."""
    dialect = device.partition("#")[0]
    names = ("dialect", *_PARTS.get(dialect, ()))
    *scope, last = device.split("#", len(names) - 1)
    values = [*(part.replace("%23", "#").replace("%25", "%") for part in scope), last]
    return dict(zip(names, values, strict=False))


_PARTS = {
    "rufus": ("account", "deviceid_hash"),
    "quectel": ("product_key", "serial"),
    "asseco": ("imei",),
    "vodlix": ("mac",),
}


def mac(text: str) -> str:
    """A MAC address as twelve upper-case hex digits; anything that is none, as it is."""
    text = canonical(text)
    return re.sub(r"[:.-]", "", text).upper() if _MAC.fullmatch(text) else text


def service_address(text: str) -> str | None:
    """remoteit: eight colon-separated hex bytes in upper case, or None if `text` is no such address."""
    address = text.strip()
    return address.upper() if _ADDRESS.fullmatch(address) else None


def connection_id(text: str) -> str | None:
    """remoteit: a connection's id, a UUID as it was answered, in upper case, or None if `text` is none.

    Not what `uuid.UUID` takes, which is braces, `urn:`, no hyphens, and digits of other scripts as well.
    """
    made = text.strip()
    return made.upper() if _CONNECTION_ID.fullmatch(made) else None


def ip_address(text: str) -> str | None:
    """An IPv4 or IPv6 address in its canonical spelling, or None if `text` is none or names a zone of one machine.

    An IPv4 address mapped into IPv6 is that IPv4 address.
    """
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        address = address.ipv4_mapped or address
    return str(address)


def network(address: str) -> str:
    """Whence a caller comes, as far as one subscriber is told from another: an IPv4 address, or the /64 of an IPv6 one.

    Raises `ValueError` for what is no address.
    """
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
        parsed = parsed.ipv4_mapped
    return str(parsed)


def account_holder(account: str) -> str:
    """A binding's holder: an account (company, platform)."""
    return join("account", account)


def user_holder(uid: str) -> str:
    """A binding's holder: a user."""
    return join("user", uid)


def customer_holder(customer: str) -> str:
    """A binding's holder: a customer whom the bank's own issuer names."""
    return join("customer", customer)


def caller_holder(uid: str) -> str:
    """A lease's holder: the user who connected. No binding has it, so no list of a holder's devices shows leases."""
    return join("caller", uid)


def holder_parts(holder: str) -> tuple[str, str]:
    """A holder's kind (account, user, customer) and its name."""
    kind, _, name = holder.partition("#")
    return kind, name


def opaque(name: str) -> str:
    """A device's key, or a customer's name, as operators write it in paths: URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(name.encode()).rstrip(b"=").decode()


def from_opaque(text: str) -> str:
    """What `opaque` made this text of. Raises `INVALID` for a text that it makes of nothing."""
    try:
        name = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        raise Fault(Reason.INVALID) from None
    if not name or opaque(name) != text:
        raise Fault(Reason.INVALID)
    return name
