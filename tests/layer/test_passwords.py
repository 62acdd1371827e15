"""Passwords: hashing and verification."""

import base64
import hashlib
import hmac
import re

import pytest

from bindery.security import passwords

PASSWORD = "correct horse \u00e9"


def test_stored_hash_is_scrypt_with_its_parameters() -> None:
    stored = passwords.protect(PASSWORD)
    salt, hashed = re.fullmatch(r"\$scrypt\$ln=17,r=8,p=1\$([^$]{22})\$([^$]{43})", stored).groups()
    expected = hashlib.scrypt(
        PASSWORD.encode(), salt=base64.b64decode(salt + "=="), n=2**17, r=8, p=1, maxmem=2**28, dklen=32
    )
    assert base64.b64decode(hashed + "=") == expected


@pytest.mark.parametrize(
    ("password", "good"),
    [
        (PASSWORD, True),
        ("correct horse e\u0301", True),
        (PASSWORD.upper(), False),
        (PASSWORD + " ", False),
        ("", False),
    ],
)
def test_password_is_compared_exactly_in_any_unicode_form(password: str, good: bool, cheap_hashes: None) -> None:
    assert passwords.verify(password, passwords.protect(PASSWORD)) is good


def test_check_without_stored_password_fails_and_takes_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, object]] = []
    real = hashlib.scrypt

    def scrypt(password: bytes, **parameters: object) -> bytes:
        made.append(parameters)
        return real(password, **parameters)  # type: ignore[arg-type]

    monkeypatch.setattr(hashlib, "scrypt", scrypt)
    assert passwords.verify("", None) is False
    assert [parameters["n"] for parameters in made] == [2**17]


def test_hash_is_salted_and_valid_after_parameters_change(monkeypatch: pytest.MonkeyPatch, cheap_hashes: None) -> None:
    first, second = passwords.protect("a" * 8), passwords.protect("a" * 8)
    assert first != second
    monkeypatch.setattr(passwords, "_LN", 5)
    assert passwords.verify("a" * 8, first)
    assert passwords.verify("a" * 8, second)


def test_hashes_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch, cheap_hashes: None) -> None:
    stored = passwords.protect("a" * 8)
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: len(a) == len(b) == 32)
    assert passwords.verify("another", stored)


@pytest.mark.parametrize("stored", ["", "x", "$scrypt$ln=17,r=8,p=1$$", "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA"])
def test_malformed_stored_hash_is_an_internal_error(stored: str) -> None:
    with pytest.raises(ValueError, match="stored"):
        passwords.verify("", stored)
