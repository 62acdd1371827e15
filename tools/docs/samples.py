"""Samples that depend on an installation's secrets."""

import base64
import hashlib
from collections.abc import Mapping

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from bindery.registry import identity
from bindery.security import secrets
from tools.local.demo import PHONE

Samples = Mapping[str, Mapping[str, str]]

_RANDOM = "a1B2c3D4e5F6g7H8"


def samples(demo: Mapping[str, str]) -> Samples:
    """Return replacements of the document's examples, by operation id and member."""
    # The device that the example of rufus.bind_device binds.
    device = {"deviceid": secrets.device_id("demo", identity.canonical("Model X1"), identity.canonical("DEVICE-123"))}
    app = demo["QUECTEL_USER_DOMAIN"], demo["QUECTEL_DOMAIN_SECRET"]
    phone = {"internationalCode": PHONE[0], "phone": PHONE[1]}
    return {
        "rufus.get_device": device,
        "rufus.unbind_device": device,
        "rufus.open_session": device,
        "rufus.list_passings": device,
        "quectel.email_pwd_login": _signed(*app, demo["QUECTEL_PASSWORD"], {"email": demo["QUECTEL_EMAIL"]}),
        "quectel.phone_pwd_login": _signed(*app, demo["REMOTEIT_PASSWORD_OTHER"], phone),
        "remoteit.check_token": {"token": demo.get("REMOTEIT_TOKEN", "")},
        "remoteit.login": {"username": demo["REMOTEIT_USERNAME"], "password": demo["REMOTEIT_PASSWORD"]},
    }


def _signed(domain: str, secret: str, password: str, name: dict[str, str]) -> dict[str, str]:
    key = hashlib.md5(_RANDOM.encode(), usedforsecurity=False).hexdigest().upper()[8:24].encode()
    padder = PKCS7(128).padder()
    padded = padder.update(password.encode()) + padder.finalize()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key[8:] + key[:8])).encryptor()
    pwd = base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()
    signature = hashlib.sha256(("".join(name.values()) + pwd + _RANDOM + secret).encode()).hexdigest()
    return {"userDomain": domain, "random": _RANDOM, **name, "pwd": pwd, "signature": signature}
