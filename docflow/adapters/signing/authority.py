"""The demonstration's own certificate authority: real keys and certificates that nobody outside trusts."""

import os
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from docflow.domain.errors import IntegrityFailure, Invalid
from docflow.services.signing_ports import Pkcs12Key

ROOT_VALID = timedelta(days=3652)
SIGNER_VALID = timedelta(days=3 * 365)
CLOCK_DRIFT = timedelta(minutes=5)
NAME_LIMIT = 64  # RFC 5280, ub-common-name and ub-organization-name; OpenSSL counts bytes of UTF-8


def _utc_now() -> datetime:
    return datetime.now(UTC)


class DemoAuthority:
    """A root CA below ``folder``, created on first use and kept; all files are the owner's alone (0600).

    Safe to construct from several processes at once: the first root written is everybody's.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], datetime] = _utc_now) -> None:
        self._folder = folder
        self._clock = clock
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._root_key, self._root = self._load_or_create_root()
        if not self.root_certificate.exists():
            _replace(self.root_certificate, self._root.public_bytes(Encoding.PEM))

    @property
    def root_certificate(self) -> Path:
        """The root's certificate as a PEM file, to be given to ``PadesSigner`` as a trust root."""
        return self._folder / "root.crt"

    def issue(self, username: str, full_name: str, organisation: str) -> Pkcs12Key:
        """The user's PKCS#12 file: the present one while it is valid and names the same person, else a new one.

        Raises Invalid when the user name is empty.
        """
        key = self._key_of(username)
        subject = _subject(username, full_name, organisation)
        if self._is_current(key, subject):
            return key
        _create(self._passphrase_file(key.path), secrets.token_urlsafe(24).encode())
        # A passphrase outlives its PKCS#12 file, so that a crash between the two writes leaves a pair that fits.
        key = self._key_of(username)
        _replace(key.path, self._pkcs12(subject, key.passphrase))
        return key

    def signer_key(self, username: str) -> Pkcs12Key | None:
        key = self._key_of(username)
        return key if key.passphrase and key.path.exists() else None

    def _key_of(self, username: str) -> Pkcs12Key:
        if not username:
            raise Invalid("A signer's key needs a user name. Give the user name of the account that signs.")
        path = self._folder / f"{quote(username, safe='')}.p12"
        secret = self._passphrase_file(path)
        return Pkcs12Key(path, secret.read_bytes() if secret.exists() else b"")

    @staticmethod
    def _passphrase_file(pkcs12_file: Path) -> Path:
        return pkcs12_file.with_suffix(".pass")

    def _is_current(self, key: Pkcs12Key, subject: x509.Name) -> bool:
        if not key.passphrase or not key.path.exists():
            return False
        _, certificate, _ = pkcs12.load_key_and_certificates(key.path.read_bytes(), key.passphrase)
        if certificate is None or certificate.issuer != self._root.subject:
            return False
        return certificate.subject == subject and self._clock() < certificate.not_valid_after_utc

    def _pkcs12(self, subject: x509.Name, passphrase: bytes) -> bytes:
        private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        certificate = (
            _builder(subject, self._root.subject, private_key.public_key(), self._clock(), SIGNER_VALID)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True, content_commitment=True), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._root_key.public_key()), critical=False
            )
            .sign(self._root_key, hashes.SHA256())
        )
        return pkcs12.serialize_key_and_certificates(
            None, private_key, certificate, [self._root], BestAvailableEncryption(passphrase)
        )

    def _load_or_create_root(self) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
        file = self._folder / "root.pem"
        if not file.exists():
            _create(file, _new_root(self._clock()))
        pem = file.read_bytes()
        private_key = load_pem_private_key(pem, password=None)
        if not isinstance(private_key, rsa.RSAPrivateKey):
            raise IntegrityFailure(f"{file} does not hold an RSA key. Remove its folder to make a new authority.")
        return private_key, x509.load_pem_x509_certificate(pem)


def _new_root(now: datetime) -> bytes:
    """Key and certificate in one PEM file, so that neither can be there without the other."""
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "VN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "docflow demonstration, not for real use"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"docflow demo root {secrets.token_hex(4)}"),
        ]
    )
    certificate = (
        _builder(subject, subject, private_key.public_key(), now, ROOT_VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(private_key, hashes.SHA256())
    )
    key_pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return key_pem + certificate.public_bytes(Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: rsa.RSAPublicKey, now: datetime, valid: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_DRIFT)
        .not_valid_after(now + valid)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _subject(username: str, full_name: str, organisation: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "VN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _cut(organisation)),
            x509.NameAttribute(NameOID.COMMON_NAME, _cut(full_name)),
            x509.NameAttribute(NameOID.USER_ID, username),
        ]
    )


def _cut(name: str) -> str:
    return name.encode()[:NAME_LIMIT].decode(errors="ignore")


def _key_usage(
    *,
    digital_signature: bool = False,
    content_commitment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=content_commitment,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _create(path: Path, data: bytes) -> None:
    """Write the file whole unless it is there already: of two processes, the first wins."""
    draft = _draft(path, data)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _replace(path: Path, data: bytes) -> None:
    os.replace(_draft(path, data), path)


def _draft(path: Path, data: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return draft
