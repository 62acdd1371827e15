"""Logins of quectel apps."""

import base64
import hashlib
import secrets
import string

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

PATH = "/v2/enduser/enduserapi/emailPwdLogin"

_LETTERS = string.ascii_letters + string.digits


def form(email: str, password: str, domain: str, secret: str, *, random: str | None = None) -> dict[str, str]:
    """Return a signed login form."""
    return _signed({"email": email}, password, domain, secret, random)


def query(
    code: str, phone: str, password: str, domain: str, secret: str, *, random: str | None = None
) -> dict[str, str]:
    """Return the signed query of a login by phone number."""
    return _signed({"internationalCode": code, "phone": phone}, password, domain, secret, random)


def _signed(name: dict[str, str], password: str, domain: str, secret: str, random: str | None) -> dict[str, str]:
    random = random or "".join(secrets.choice(_LETTERS) for _ in range(16))
    encrypted = encrypt(password.encode(), random)
    return {
        **name,
        "pwd": encrypted,
        "random": random,
        "userDomain": domain,
        "signature": sign("".join(name.values()), encrypted, random, secret),
    }


def encrypt(password: bytes, random: str) -> str:
    """Encrypt a password with a key derived from `random`."""
    key = hashlib.md5(random.encode(), usedforsecurity=False).hexdigest().upper()[8:24]
    iv = key[8:16] + key[0:8]
    fill = 16 - len(password) % 16
    encryptor = Cipher(algorithms.AES(key.encode()), modes.CBC(iv.encode())).encryptor()
    return base64.b64encode(encryptor.update(password + bytes([fill]) * fill) + encryptor.finalize()).decode()


def sign(name: str, encrypted: str, random: str, secret: str) -> str:
    """Sign the fields of a login."""
    return hashlib.sha256(f"{name}{encrypted}{random}{secret}".encode()).hexdigest()
