"""Ciphertexts are valid only for their purpose and secret; passwords encrypted by apps can be decrypted."""

import boto3
import pytest
from cryptography.fernet import InvalidToken

from bindery.security import encryption, secrets

pytestmark = pytest.mark.usefixtures("registry")


def test_ciphertext_differs_each_time_and_decrypts_to_the_input() -> None:
    first, second = (encryption.encrypt("s\u00e9cret", "domain", "app") for _ in range(2))
    assert first != second
    assert "cret" not in first
    assert encryption.decrypt(first, "domain", "app") == encryption.decrypt(second, "domain", "app") == "s\u00e9cret"


@pytest.mark.parametrize("purpose", [("domain", "other"), ("domain",), ("domainapp",), ("domain", "app", "")])
def test_ciphertext_cannot_be_decrypted_for_another_purpose(purpose: tuple[str, ...]) -> None:
    sealed = encryption.encrypt("secret", "domain", "app")
    with pytest.raises(InvalidToken):
        encryption.decrypt(sealed, *purpose)


def test_other_secret_or_changed_ciphertext_fails_to_decrypt() -> None:
    sealed = encryption.encrypt("secret", "domain", "app")
    with pytest.raises(InvalidToken):
        encryption.decrypt(sealed[:-4] + "AAA=", "domain", "app")
    boto3.client("secretsmanager").put_secret_value(SecretId="DirectorySecret", SecretString="o" * 64)
    secrets.clear_cache()
    with pytest.raises(InvalidToken):
        encryption.decrypt(sealed, "domain", "app")


def test_app_password_encrypted_by_openssl_is_decrypted() -> None:
    # Encrypted with the OpenSSL command line.
    assert encryption.app_password("qX/fMsLn40rmX7V2sbgC8w==", "a1B2c3D4e5F6g7H8") == "correct horse"
