"""Encryption of stored secrets, and decryption of quectel's passwords."""

import base64
import hashlib

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from bindery.security import secrets


def encrypt(text: str, *purpose: str) -> str:
    """Encrypt text, with a random IV."""
    return _fernet(purpose).encrypt(text.encode()).decode()


def decrypt(sealed: str, *purpose: str) -> str:
    """Decrypt text. Raises `InvalidToken` for another purpose or secret."""
    return _fernet(purpose).decrypt(sealed).decode()


def app_password(encrypted: str, random: str) -> str:
    """Decrypt a quectel app's password, or return ""."""
    digest = hashlib.md5(random.encode(), usedforsecurity=False).hexdigest().upper()
    key = digest[8:24].encode()
    decryptor = Cipher(algorithms.AES(key), modes.CBC(key[8:] + key[:8])).decryptor()
    unpadder = PKCS7(128).unpadder()
    try:
        padded = decryptor.update(base64.b64decode(encrypted, validate=True)) + decryptor.finalize()
        return (unpadder.update(padded) + unpadder.finalize()).decode()
    except ValueError:
        # Too short to be a password.
        return ""


def _fernet(purpose: tuple[str, ...]) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(secrets.derive("DIRECTORY_SECRET", "sealed", *purpose)))
