"""Certificates of authorities and servers, made for a test."""

import ipaddress
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


class Authority:
    """A certificate authority whose files are in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name, self._key = named(name), ec.generate_private_key(ec.SECP256R1())
        own = certificate(self._name, self._key, self._name, self._key, authority=True)
        self.bundle = folder / f"{name}.pem"
        self.bundle.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def server(self, *, hosts: Sequence[str] = ("localhost",), expired: bool = False) -> ssl.SSLContext:
        """Return what a server needs, with a certificate for these hosts."""
        key = ec.generate_private_key(ec.SECP256R1())
        own = certificate(named(hosts[0]), key, self._name, self._key, hosts=hosts, expired=expired)
        return context(self._folder, own, key)


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def self_signed(folder: Path) -> ssl.SSLContext:
    """Return what a server with a certificate of no authority needs."""
    key, name = ec.generate_private_key(ec.SECP256R1()), named("localhost")
    return context(folder, certificate(name, key, name, key, hosts=["localhost"]), key)


def certificate(
    name: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    *,
    hosts: Sequence[str] = (),
    expired: bool = False,
    authority: bool = False,
) -> x509.Certificate:
    """Make a certificate that is valid, or expired, on any day: OpenSSL does not see a clock that a test sets."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2000, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2001 if expired else 2100, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if authority:
        used = ("digital_signature", "key_cert_sign", "crl_sign")
        usage = x509.KeyUsage(**{name: name in used for name in USAGES})
        builder = builder.add_extension(usage, critical=True)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([general_name(host) for host in hosts]), False)
    return builder.sign(signer, hashes.SHA256())


def general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def context(folder: Path, own: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> ssl.SSLContext:
    path = folder / "server.pem"
    path.write_bytes(
        own.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(path)
    return made
