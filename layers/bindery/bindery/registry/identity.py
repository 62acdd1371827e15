"""Canonical keys: equal for all spellings of an identifier, and for no two identifiers."""

import base64
import ipaddress
import re
import unicodedata

from bindery.core.errors import Reason, Refused
from bindery.security import secrets

# Separators of the digits of a printed number: a space, a colon, a dot, an underscore or any dash.
_SEPARATOR = "[ :._\u2010-\u2015\u2212-]"
# Twelve hex digits, grouped in any way: operating systems, switches and labels differ.
_MAC = rf"[0-9A-Fa-f](?:{_SEPARATOR}?[0-9A-Fa-f]){{11}}"
# Six bytes without leading zeros, as Solaris and macOS print them.
_SHORT_MAC = "[0-9A-Fa-f]{1,2}(?::[0-9A-Fa-f]{1,2}){5}"
# 14 to 16 digits: an IMEI without its check digit, with it, or with a software version.
_IMEI = rf"[0-9](?:{_SEPARATOR}?[0-9]){{13,15}}"
_UUID = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"

# Unicode's Default_Ignorable_Code_Point: characters that a font without them does not show.
_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# The rest of the general category Cf, which has no shape of its own.
_FORMAT = "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
# White space that looks like U+0020.
_SPACES = "\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_NONCHARACTERS = "\ufdd0-\ufdef" + "".join(f"{chr(end - 1)}{chr(end)}" for end in range(0xFFFF, 0x110000, 0x10000))

_FOLDED_AWAY = f"[{_IGNORABLE}]"
_DECEPTIVE = f"[{_IGNORABLE}{_FORMAT}{_SPACES}{_NONCHARACTERS}]"
_VISIBLE = f"[^{_IGNORABLE}{_FORMAT}{_SPACES}{_NONCHARACTERS}\\s]"

_DOCTORS = re.compile("[a-z]+#doctor-[0-9a-f]{32}-")

# Values that platforms return for an unknown or withheld identifier, in lower case and without separators.
_PLACEHOLDERS = frozenset(
    {
        # WifiInfo and BluetoothAdapter since Android 6; Broadcom Wi-Fi before its firmware is loaded.
        "020000000000",
        "00904c112233",
        # Android's Build.UNKNOWN, and null as programming languages print it.
        "unknown",
        "null",
        "(null)",
        "undefined",
        "none",
        # An ANDROID_ID and an IMEI that many devices share, and the serial number of a bootloader that has none.
        "9774d56d682e549c",
        "004999010640000",
        "0123456789abcdef",
        # SMBIOS fields that the manufacturer did not fill in.
        "tobefilledbyoem",
        "defaultstring",
        "systemserialnumber",
        "notspecified",
    }
)
# An unset MAC address, IMEI or UUID: all zeros or all ones.
_UNSET = "0{12,}|f{12,}"

# E.164, after spaces and punctuation were removed.
_PHONE = re.compile(r"\+[1-9][0-9]{4,14}", re.ASCII)
_ADDRESS = re.compile(r"(?:[0-9A-Fa-f]{2}:){7}[0-9A-Fa-f]{2}")
_CONNECTION_ID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def canonical(text: str) -> str:
    """Trim text and normalize it to NFC."""
    return unicodedata.normalize("NFC", text.strip())


def folded(text: str) -> str:
    """Remove differences in case and invisible characters."""
    if not text.isascii():
        text = re.sub(_FOLDED_AWAY, "", text)
    return unicodedata.normalize("NFC", canonical(text).casefold())


def deceptive(text: str) -> str | None:
    """Return the first character that is invisible or resembles a space."""
    # Compiling the pattern is slow, and most identifiers are ASCII.
    found = None if text.isascii() else re.search(_DECEPTIVE, text)
    return found and found[0]


def visible(text: str) -> bool:
    """Return True if any character is visible."""
    return bool(text.strip()) if text.isascii() else re.search(_VISIBLE, text) is not None


def is_placeholder(text: str) -> bool:
    """Return True if the value means no identifier."""
    bare = re.sub(_SEPARATOR, "", mac(text).lower())
    return bare in _PLACEHOLDERS or re.fullmatch(_UNSET, bare) is not None


def join(*parts: str) -> str:
    """Join the parts of a key."""
    # Escaped, so that different parts never give the same key.
    *scope, last = parts
    return "#".join([*(part.replace("%", "%25").replace("#", "%23") for part in scope), last])


def company_device(account: str, model: str, serial: str) -> str:
    """Key of a rufus device."""
    # The hash of the deviceid, because some requests contain only that.
    return company_device_of(account, secrets.device_id(account, canonical(model), canonical(serial)))


def company_device_of(account: str, device_id: str) -> str:
    """Key of a rufus device, by its deviceid."""
    return join("rufus", account, secrets.fingerprint(device_id))


def manufactured_device(product_key: str, serial: str) -> str:
    """Key of a quectel device."""
    return join("quectel", canonical(product_key), canonical(serial))


def customer_device(identifier: str) -> str:
    """Key of an asseco device."""
    # No customer in it: a device can be registered for only one.
    return join("asseco", imei(identifier))


def video_device(mac_address: str) -> str:
    """Key of a vodlix device."""
    return join("vodlix", mac(mac_address))


def nowhere(uid: str) -> str:
    """Key that no device has."""
    return join("nowhere", uid)


def parts(device: str) -> dict[str, str]:
    """Split a device's key into named parts."""
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
    """Normalize a MAC address or UUID; return other text."""
    text = canonical(text)
    if re.fullmatch(_MAC, text):
        return re.sub(_SEPARATOR, "", text).upper()
    if re.fullmatch(_SHORT_MAC, text):
        return "".join(byte.zfill(2) for byte in text.split(":")).upper()
    return _uuid(text)


def imei(text: str) -> str:
    """Normalize an IMEI or UUID; return other text."""
    text = canonical(text)
    return re.sub(r"[^0-9]", "", text) if re.fullmatch(_IMEI, text) else _uuid(text)


def _uuid(text: str) -> str:
    return text.lower() if re.fullmatch(_UUID, text) else text


def service_address(text: str) -> str | None:
    """Return a service address in upper case, or None."""
    address = text.strip()
    return address.upper() if _ADDRESS.fullmatch(address) else None


def connection_id(text: str) -> str | None:
    """Return a connection id in upper case, or None."""
    # `uuid.UUID` would also accept braces, `urn:`, no hyphens and the digits of other scripts.
    made = text.strip()
    return made.upper() if _CONNECTION_ID.fullmatch(made) else None


def phone(text: str) -> str | None:
    """Return a phone number with its country code as + and digits, or None."""
    number = re.sub(r"[ ().-]", "", text)
    return number if _PHONE.fullmatch(number) else None


def ip_address(text: str) -> str | None:
    """Normalize an IP address, or return None."""
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
    """Return an IPv4 address, or the /64 of an IPv6 address. Raises `ValueError`."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
        parsed = parsed.ipv4_mapped
    return str(parsed)


PARTS = 16
"""Maximum number of parts of an account's list. Each is a partition of the index by holder."""


def account_holder(account: str, part: int = 0) -> str:
    """An account as a holder, in a part of its list."""
    # An account's id contains no "#", so no other account has this value.
    first = join("account", account)
    return f"{first}#{part}" if part else first


def user_holder(uid: str) -> str:
    """A user as a holder."""
    return join("user", uid)


def customer_holder(customer: str) -> str:
    """A customer as a holder."""
    return join("customer", customer)


def caller_holder(uid: str) -> str:
    """Holder of a user's leases."""
    # Bindings never have it, so lists of a holder's devices contain no leases.
    return join("caller", uid)


def tunnel_holder(uid: str) -> str:
    """Holder of a user's tunnels."""
    return join("tunnel", uid)


def online_holder(shard: int) -> str:
    """Holder of the presences of connected devices in a part of their list."""
    return join("online", str(shard))


def holder_parts(holder: str) -> tuple[str, str]:
    """Return a holder's kind and name, whatever the part of its list."""
    kind, _, name = holder.partition("#")
    return kind, name.partition("#")[0] if kind == "account" else name


def opaque(name: str) -> str:
    """Encode a device's key or customer's name for paths."""
    return base64.urlsafe_b64encode(name.encode()).rstrip(b"=").decode()


def from_opaque(text: str) -> str:
    """Decode `opaque`. Raises `INVALID`."""
    try:
        name = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        raise Refused(Reason.INVALID) from None
    if not name or opaque(name) != text:
        raise Refused(Reason.INVALID)
    return name


def device_from_opaque(text: str) -> str:
    """Decode a device's key. Raises `INVALID`."""
    device = from_opaque(text)
    # Functions may read only the items of devices, so IAM would deny access to any other key.
    if not is_device(device):
        raise Refused(Reason.INVALID)
    return device


def is_doctors(key: str) -> bool:
    """Return True for the key of a record that the doctor creates, uses and deletes."""
    return _DOCTORS.match(key) is not None


def is_device(key: str) -> bool:
    """Return True for a device's key."""
    return key.startswith(tuple(f"{dialect}#" for dialect in _PARTS))
