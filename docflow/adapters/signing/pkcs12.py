"""PKCS#12 keys, parsed once: opening one costs more than the signature it is opened for."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from asn1crypto.x509 import Certificate
from pyhanko.sign.signers import SimpleSigner

from docflow.domain.errors import SigningFailed
from docflow.services.signing_ports import Pkcs12Key

SIGNING_USAGES = frozenset({"digital_signature", "non_repudiation"})


@dataclass(frozen=True, slots=True)
class _Loaded:
    stamp: tuple[int, int]
    passphrase_digest: bytes
    signer: SimpleSigner


class KeyCache:
    """Parsed keys by path; a changed file or another passphrase is parsed anew."""

    def __init__(self) -> None:
        self._loaded: dict[Path, _Loaded] = {}

    def get(self, key: Pkcs12Key) -> SimpleSigner:
        """The signer behind ``key``, fit to sign now.

        Raises SigningFailed when the file is missing, the passphrase wrong, the certificate not in its time or not
        for signing.
        """
        try:
            stat = key.path.stat()
        except OSError as error:
            raise SigningFailed(
                "The signing key's file cannot be read. Have the administrator put it back or issue a new key."
            ) from error
        stamp = (stat.st_mtime_ns, stat.st_size)
        digest = hashlib.sha256(key.passphrase).digest()
        known = self._loaded.get(key.path)
        if known is None or known.stamp != stamp or not hmac.compare_digest(known.passphrase_digest, digest):
            known = _Loaded(stamp, digest, _parse(key))
            self._loaded[key.path] = known
        require_fit(known.signer.signing_cert, datetime.now(UTC))
        return known.signer


def _parse(key: Pkcs12Key) -> SimpleSigner:
    try:
        return cast(
            SimpleSigner,
            SimpleSigner.load_pkcs12_data(key.path.read_bytes(), other_certs=[], passphrase=key.passphrase),
        )
    # AttributeError is pyHanko's answer to a file that holds a certificate without its key.
    except (ValueError, AttributeError) as error:
        raise SigningFailed(
            "The signing key could not be opened: the passphrase is wrong, or the file is no PKCS#12 file with a key "
            "and its certificate. Check the passphrase; it is not tried again by itself.",
            code="pin_wrong",
        ) from error


def require_fit(certificate: Certificate | None, now: datetime) -> None:
    """Raises SigningFailed where nothing can be signed with this certificate at ``now``."""
    if certificate is None:
        raise SigningFailed("There is no certificate with the signing key. Have a complete key issued.")
    if now > certificate.not_valid_after:
        raise SigningFailed(
            f"The signer's certificate expired on {certificate.not_valid_after:%Y-%m-%d}. Have a new one issued."
        )
    if now < certificate.not_valid_before:
        raise SigningFailed(
            f"The signer's certificate is valid only from {certificate.not_valid_before:%Y-%m-%d}. "
            "Check this machine's clock or wait until then."
        )
    usage = certificate.key_usage_value
    if usage is not None and not SIGNING_USAGES & usage.native:
        raise SigningFailed("The signer's certificate was not issued for signing. Have one issued for signatures.")
