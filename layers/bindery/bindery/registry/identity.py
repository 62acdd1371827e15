"""Canonical keys: the only place where serials, MACs, addresses and names become keys of the tables.

Two spellings of one thing become one key; two different things never do. Parts of a key are joined by `#`, and a part
that is not the last has its own `#` and `%` escaped, so that no part can reach into the next.
"""

import base64
import ipaddress
import re
import unicodedata

from bindery.core.errors import Reason, Refused
from bindery.security import secrets

_SEPARATOR = "[ :._\u2010-\u2015\u2212-]"
"""What parts the digits of a number in print: a space, a colon, a dot, an underscore, or any kind of dash."""
_MAC = rf"[0-9A-Fa-f](?:{_SEPARATOR}?[0-9A-Fa-f]){{11}}"
"""Twelve hex digits, however they are grouped: bare, or as operating systems, switches and labels print them."""
_SHORT_MAC = "[0-9A-Fa-f]{1,2}(?::[0-9A-Fa-f]{1,2}){5}"
"""Six bytes without their leading zeros, as Solaris and macOS print them."""
_IMEI = rf"[0-9](?:{_SEPARATOR}?[0-9]){{13,15}}"
"""14 to 16 digits: an IMEI without its check digit, with it, or with a software version."""
_UUID = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"

_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Unicode's Default_Ignorable_Code_Point: what a font that does not know it shows as nothing."""
_FORMAT = "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
"""The rest of the general category Cf, which has no shape of its own."""
_SPACES = "\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""White space that looks like a space and is none."""
_NONCHARACTERS = "\ufdd0-\ufdef" + "".join(f"{chr(end - 1)}{chr(end)}" for end in range(0xFFFF, 0x110000, 0x10000))

_FOLDED_AWAY = f"[{_IGNORABLE}]"
_DECEPTIVE = f"[{_IGNORABLE}{_FORMAT}{_SPACES}{_NONCHARACTERS}]"
_VISIBLE = f"[^{_IGNORABLE}{_FORMAT}{_SPACES}{_NONCHARACTERS}\\s]"

_PLACEHOLDERS = frozenset(
    {
        # WifiInfo and BluetoothAdapter since Android 6; Broadcom Wi-Fi before its firmware is loaded.
        "020000000000",
        "00904c112233",
        # Build.UNKNOWN of Android, and how languages print that there is no value.
        "unknown",
        "null",
        "(null)",
        "undefined",
        "none",
        # ANDROID_ID and IMEI that many devices were shipped with, and the serial number of an unset bootloader.
        "9774d56d682e549c",
        "004999010640000",
        "0123456789abcdef",
        # SMBIOS fields that no manufacturer filled in.
        "tobefilledbyoem",
        "defaultstring",
        "systemserialnumber",
        "notspecified",
    }
)
"""What platforms hand out for an identifier that they do not have or do not tell, without separators, in lower case."""
_UNSET = "0{12,}|f{12,}"
"""All zeros or all ones: a MAC address, an IMEI or a UUID that nobody set."""

_ADDRESS = re.compile(r"(?:[0-9A-Fa-f]{2}:){7}[0-9A-Fa-f]{2}")
_CONNECTION_ID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def canonical(text: str) -> str:
    """`text` trimmed and in Unicode NFC: the form in which serial-like values are compared."""
    return unicodedata.normalize("NFC", text.strip())


def folded(text: str) -> str:
    """`text` as names are compared that may differ in case and in characters that are not seen."""
    if not text.isascii():
        text = re.sub(_FOLDED_AWAY, "", text)
    return unicodedata.normalize("NFC", canonical(text).casefold())


def deceptive(text: str) -> str | None:
    """The first character that an identifier must not have, because it is invisible or looks like a space."""
    # Compiling the pattern takes longer than all else here, and most identifiers are ASCII.
    found = None if text.isascii() else re.search(_DECEPTIVE, text)
    return found and found[0]


def visible(text: str) -> bool:
    """Whether there is anything to see in a text."""
    return bool(text.strip()) if text.isascii() else re.search(_VISIBLE, text) is not None


def is_placeholder(text: str) -> bool:
    """Whether platforms hand out this text to devices that have no identifier."""
    bare = re.sub(_SEPARATOR, "", mac(text).lower())
    return bare in _PLACEHOLDERS or re.fullmatch(_UNSET, bare) is not None


def join(*parts: str) -> str:
    """One key of several parts."""
    *scope, last = parts
    return "#".join([*(part.replace("%", "%25").replace("#", "%23") for part in scope), last])


def company_device(account: str, model: str, serial: str) -> str:
    """rufus: a device is (account, model, serial). Its key is the hash of its deviceid, so that either finds it."""
    return company_device_of(account, secrets.device_id(account, canonical(model), canonical(serial)))


def company_device_of(account: str, device_id: str) -> str:
    """rufus: the key of the device that `account` knows by `device_id`."""
    return join("rufus", account, secrets.fingerprint(device_id))


def manufactured_device(product_key: str, serial: str) -> str:
    """quectel: a device is (product key, serial number)."""
    return join("quectel", canonical(product_key), canonical(serial))


def customer_device(identifier: str) -> str:
    """asseco: a device is its external identifier, over all customers."""
    return join("asseco", imei(identifier))


def video_device(mac_address: str) -> str:
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
    """A MAC address as twelve upper-case hex digits, a UUID in lower case, and anything else as it is."""
    text = canonical(text)
    if re.fullmatch(_MAC, text):
        return re.sub(_SEPARATOR, "", text).upper()
    if re.fullmatch(_SHORT_MAC, text):
        return "".join(byte.zfill(2) for byte in text.split(":")).upper()
    return _uuid(text)


def imei(text: str) -> str:
    """An IMEI as its digits, a UUID in lower case, and anything else, such as an app's id, as it is."""
    text = canonical(text)
    return re.sub(r"[^0-9]", "", text) if re.fullmatch(_IMEI, text) else _uuid(text)


def _uuid(text: str) -> str:
    return text.lower() if re.fullmatch(_UUID, text) else text


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
        raise Refused(Reason.INVALID) from None
    if not name or opaque(name) != text:
        raise Refused(Reason.INVALID)
    return name


def device_from_opaque(text: str) -> str:
    """The key of a device that `opaque` made this text of. Raises `INVALID`: it is the key of something else."""
    device = from_opaque(text)
    # A function's role reaches the items of devices alone, so another key would be refused by IAM and not be missing.
    if not device.startswith(tuple(f"{dialect}#" for dialect in _PARTS)):
        raise Refused(Reason.INVALID)
    return device
