"""What is encrypted: secrets that we must be able to use again, and passwords as quectel's apps send them."""

import base64
import hashlib

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from bindery.security import secrets


def encrypt(text: str, *purpose: str) -> str:
    """`text` as it may be stored (Fernet): of the same one, something else every time."""
    return _fernet(purpose).encrypt(text.encode()).decode()


def decrypt(sealed: str, *purpose: str) -> str:
    """What was sealed for this purpose. `InvalidToken`: for another, or under another secret."""
    return _fernet(purpose).decrypt(sealed).decode()


def app_password(encrypted: str, random: str) -> str:
    """A password as one of quectel's apps sends it: base64 of AES-128-CBC with PKCS#7, key and IV made of `random`.

    What is no such thing is "", which is nobody's password.
    """
    digest = hashlib.md5(random.encode(), usedforsecurity=False).hexdigest().upper()
    key = digest[8:24].encode()
    decryptor = Cipher(algorithms.AES(key), modes.CBC(key[8:] + key[:8])).decryptor()
    unpadder = PKCS7(128).unpadder()
    try:
        padded = decryptor.update(base64.b64decode(encrypted, validate=True)) + decryptor.finalize()
        return (unpadder.update(padded) + unpadder.finalize()).decode()
    except ValueError:
        return ""


def _fernet(purpose: tuple[str, ...]) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(secrets.derive("DIRECTORY_SECRET", "sealed", *purpose)))
