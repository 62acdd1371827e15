"""Passwords: what is stored of them, and what is taken for one."""

import base64
import hashlib
import hmac
import re

import pytest

from bindery.security import passwords

PASSWORD = "correct horse \u00e9"


@pytest.fixture(scope="module")
def stored() -> str:
    return passwords.protect(PASSWORD)


def test_what_is_stored_is_scrypt_that_names_its_parameters(stored: str) -> None:
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
def test_a_password_is_taken_to_the_letter_however_its_letters_are_composed(
    password: str, good: bool, stored: str
) -> None:
    assert passwords.verify(password, stored) is good


def test_where_no_password_is_stored_none_is_good_and_it_takes_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, object]] = []
    real = hashlib.scrypt

    def scrypt(password: bytes, **parameters: object) -> bytes:
        made.append(parameters)
        return real(password, **parameters)  # type: ignore[arg-type]

    monkeypatch.setattr(hashlib, "scrypt", scrypt)
    assert passwords.verify("", None) is False
    assert [parameters["n"] for parameters in made] == [2**17]


def test_one_password_is_stored_otherwise_every_time_under_the_parameters_of_its_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passwords, "_LN", 4)
    first, second = passwords.protect("a" * 8), passwords.protect("a" * 8)
    assert first != second
    monkeypatch.setattr(passwords, "_LN", 5)
    assert passwords.verify("a" * 8, first)
    assert passwords.verify("a" * 8, second)


def test_hashes_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_LN", 4)
    stored = passwords.protect("a" * 8)
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: len(a) == len(b) == 32)
    assert passwords.verify("another", stored)


@pytest.mark.parametrize("stored", ["", "x", "$scrypt$ln=17,r=8,p=1$$", "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA"])
def test_what_is_stored_otherwise_is_an_error_of_ours(stored: str) -> None:
    with pytest.raises(ValueError, match="stored"):
        passwords.verify("", stored)
