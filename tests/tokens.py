"""Tokens of SoftHSM2 with keys and certificates in them, and an authority that issues these."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pkcs11 import TokenFlag
from pkcs11 import exceptions as kinds

from docflow.services.signing_ports import Pkcs11Key

SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "246810"
WRONG_PIN = "135791"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def lacking() -> None:
    """Skips where Debian's packages are not installed, and fails where they have to be."""
    missing = [p for p in ("softhsm2-util", "pkcs11-tool") if shutil.which(p) is None]
    if missing or not SOFTHSM.exists():
        why = "no token to test with (Debian: softhsm2, opensc)"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)


class Authority:
    """Issues certificates for signing."""

    def __init__(self, name: str = "CA thử nghiệm") -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._signed(self.name, self.key.public_key(), 3650, authority=True)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def issue(self, key: PrivateKey, full_name: str, username: str = "", *, days: int = 365) -> x509.Certificate:
        """``days`` below zero: it has expired."""
        names = [x509.NameAttribute(NameOID.COMMON_NAME, full_name)]
        names += [x509.NameAttribute(NameOID.USER_ID, username)] if username else []
        return self._signed(x509.Name(names), key.public_key(), days)

    def _signed(self, subject: x509.Name, public: Any, days: int, *, authority: bool = False) -> x509.Certificate:
        now = datetime.now(UTC)
        usage = dict.fromkeys(("key_encipherment", "data_encipherment", "key_agreement"), False)
        usage |= {"encipher_only": False, "decipher_only": False, "crl_sign": authority, "key_cert_sign": authority}
        usage |= {"digital_signature": not authority, "content_commitment": not authority}
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=400))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )


@dataclass
class Tokens:
    """``clerk`` is for everyone; the others for tests that try wrong PINs on them."""

    folder: Path
    authority: Authority

    LABELS = ("clerk", "careless", "strict", "unattended")

    def key(self, label: str = "rsa", *, token: str = "clerk", pin: str = PIN) -> Pkcs11Key:
        return Pkcs11Key(SOFTHSM, token, label, pin)

    def fill(self) -> None:
        config = self.folder / "softhsm2.conf"
        (self.folder / "tokens").mkdir()
        config.write_text(f"directories.tokendir = {self.folder / 'tokens'}\nobjectstore.backend = file\n")
        os.environ["SOFTHSM2_CONF"] = str(config)
        for token in self.LABELS:
            _run("softhsm2-util", "--init-token", "--free", "--label", token, "--so-pin", "87654321", "--pin", PIN)
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            self.add(token, "rsa", key, self.authority.issue(key, "Lê Văn Thư", "vanthu1"))
        curve = ec.generate_private_key(ec.SECP256R1())
        self.add("clerk", "ec", curve, self.authority.issue(curve, "Trần Thị Hạnh", "chutich"), "02")
        seal = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.add("clerk", "seal", seal, self.authority.issue(seal, "UBND huyện Bình Minh", "agency"), "05")
        old = ec.generate_private_key(ec.SECP256R1())
        self.add("clerk", "old", old, self.authority.issue(old, "Lê Văn Thư", "vanthu1", days=-3), "03")
        bare = ec.generate_private_key(ec.SECP256R1())
        self.add("clerk", "bare", bare, None, "04")
        self._write("clerk", "root", self.authority.certificate, "99")

    def add(
        self, token: str, label: str, key: PrivateKey, certificate: x509.Certificate | None, number: str = "01"
    ) -> None:
        pem = self.folder / f"{token}-{label}.pem"
        pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        _run("softhsm2-util", "--import", str(pem), "--token", token, "--label", label, "--id", number, "--pin", PIN)
        if certificate is not None:
            self._write(token, f"certificate of {label}", certificate, number)

    def _write(self, token: str, label: str, certificate: x509.Certificate, number: str) -> None:
        der = self.folder / f"{token}-{label}.der"
        der.write_bytes(certificate.public_bytes(Encoding.DER))
        where = ("--module", str(SOFTHSM), "--token-label", token, "--login", "--pin", PIN)
        what = ("--write-object", str(der), "--type", "cert", "--label", label, "--id", number)
        _run("pkcs11-tool", *where, *what)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


_made: list[Tokens] = []
"""Once a process, whichever modules ask: the library looks for tokens when it is loaded, and never again."""


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    lacking()
    if not _made:
        _made.append(Tokens(tmp_path_factory.mktemp("softhsm"), Authority()))
        _made[0].fill()
    return _made[0]


class StrictLibrary:
    """A token's library that counts what is sent to it, and locks a token after three wrong PINs as hardware does;
    SoftHSM never does."""

    def __init__(self, path: str, *, tries: int = 3) -> None:
        self._library = pkcs11.lib(path)
        self.left = self.tries = tries
        self.logins: list[str] = []

    def get_slots(self, token_present: bool = False) -> list["_StrictSlot"]:
        return [_StrictSlot(slot, self) for slot in self._library.get_slots(token_present=token_present)]

    @property
    def flags(self) -> TokenFlag:
        if self.left == 0:
            return TokenFlag.USER_PIN_LOCKED
        if self.left == self.tries:
            return TokenFlag(0)
        return TokenFlag.USER_PIN_FINAL_TRY if self.left == 1 else TokenFlag.USER_PIN_COUNT_LOW


@dataclass
class _StrictSlot:
    slot: Any
    library: StrictLibrary

    def get_token(self) -> "_StrictToken":
        return _StrictToken(self.slot.get_token(), self)


@dataclass
class _StrictToken:
    token: Any
    slot: _StrictSlot

    @property
    def label(self) -> str:
        return str(self.token.label)

    @property
    def flags(self) -> TokenFlag:
        return TokenFlag(self.slot.library.flags | (self.token.flags & TokenFlag.TOKEN_INITIALIZED))

    def open(self, *, user_pin: str) -> Any:
        library = self.slot.library
        library.logins.append(user_pin)
        if library.left == 0:
            raise kinds.PinLocked
        try:
            session = self.token.open(user_pin=user_pin)
        except kinds.PinIncorrect:
            library.left -= 1
            raise
        library.left = library.tries
        return session
