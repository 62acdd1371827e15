"""What is sealed opens for its own purpose under its own secret only; an app's password is read as apps send it."""

import boto3
import pytest
from cryptography.fernet import InvalidToken

from bindery.security import encryption, secrets
from tools import quectel_login

pytestmark = pytest.mark.usefixtures("registry")


def test_what_is_sealed_is_something_else_every_time_and_opens_to_the_same() -> None:
    first, second = (encryption.encrypt("s\u00e9cret", "domain", "app") for _ in range(2))
    assert first != second
    assert "cret" not in first
    assert encryption.decrypt(first, "domain", "app") == encryption.decrypt(second, "domain", "app") == "s\u00e9cret"


@pytest.mark.parametrize("purpose", [("domain", "other"), ("domain",), ("domainapp",), ("domain", "app", "")])
def test_it_opens_for_no_other_purpose(purpose: tuple[str, ...]) -> None:
    sealed = encryption.encrypt("secret", "domain", "app")
    with pytest.raises(InvalidToken):
        encryption.decrypt(sealed, *purpose)


def test_it_opens_under_no_other_secret_and_not_if_it_was_changed() -> None:
    sealed = encryption.encrypt("secret", "domain", "app")
    with pytest.raises(InvalidToken):
        encryption.decrypt(sealed[:-4] + "AAA=", "domain", "app")
    boto3.client("secretsmanager").put_secret_value(SecretId="DirectorySecret", SecretString="o" * 64)
    secrets.clear_cache()
    with pytest.raises(InvalidToken):
        encryption.decrypt(sealed, "domain", "app")


@pytest.mark.parametrize("password", ["", "p", "sixteen letters.", "corr\u00e8ct horse " * 20])
def test_an_apps_password_is_read(password: str) -> None:
    random = "a1B2c3D4e5F6g7H8"
    assert encryption.app_password(quectel_login.encrypt(password.encode(), random), random) == password


def test_a_password_of_a_known_key_is_read() -> None:
    # Made by the command line of OpenSSL.
    assert encryption.app_password("qX/fMsLn40rmX7V2sbgC8w==", "a1B2c3D4e5F6g7H8") == "correct horse"
