"""What the services need of whoever makes signatures, and of whoever looks at them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from docflow.domain.signing_settings import Level


@dataclass(frozen=True, slots=True)
class Pkcs12Key:
    """A PKCS#12 file and its passphrase."""

    path: Path
    passphrase: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pkcs11Key:
    """A key in a token: the module's library, the token's label, the key's own, and the PIN."""

    module: Path
    token: str
    label: str
    pin: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CscKey:
    """A credential of a remote signing service (CSC API v1), its access token and PIN."""

    url: str
    credential: str
    access_token: str = field(repr=False)
    pin: str | None = field(repr=False, default=None)


SignerKey = Pkcs12Key | Pkcs11Key | CscKey


@dataclass(frozen=True, slots=True)
class Box:
    """On a page of a PDF, in points from its lower left corner as it is shown; page 1 is the first."""

    page: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a signature shows: a picture (PNG) above, beside or without lines of text. ``over`` draws it upon what is
    there already, as a seal is."""

    box: Box
    picture: bytes | None = field(repr=False, default=None)
    lines: tuple[str, ...] = ()
    colour: tuple[float, float, float] = (0.0, 0.0, 0.0)
    size: float = 10.0


@dataclass(frozen=True, slots=True)
class Blank:
    """A form field that is left open when a person signs, and filled before the seal. ``shows`` is one of number (15),
    notation (15/QĐ-UBND), day (05), month (3), date (ngày 05 tháng 3 năm 2026)."""

    name: str
    shows: Literal["number", "notation", "day", "month", "date"]
    box: Box
    size: float = 13.0
    align: Literal["left", "centre"] = "left"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things go on one PDF: the person's stamp, the seal over its left third, the blanks of number and date, and
    the corner top right of page 1."""

    person: Box
    seal: Box
    corner: Box
    blanks: tuple[Blank, ...] = ()


@dataclass(frozen=True, slots=True)
class SignatureOrder:
    """One signature to be made. ``blanks`` are made with it and may be filled after it, while all else is locked;
    ``filled`` puts values into blanks of an earlier signature, before this one; ``drawn`` writes on a page that nobody
    has signed yet. ``signed_at`` is what the signature claims; a time stamp proves it."""

    field: str
    level: Level
    reason: str
    signed_at: datetime
    stamp: Stamp | None = None
    blanks: tuple[Blank, ...] = ()
    filled: tuple[tuple[str, str], ...] = ()
    drawn: tuple[tuple[Blank, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Signed:
    """What was made: the level reached, whose certificate (SHA-256 of its DER, hex) and until when what protects it
    holds (the certificate's end, or that of the newest time stamp's)."""

    signer: str
    level: Level
    certificate_sha256: str
    signed_at: datetime
    protected_until: datetime


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file that waits for the signature of a key elsewhere. ``to_sign`` is the DER of the signed attributes: the
    key signs its SHA-256 (``digest``, 32 bytes). ``facts`` (JSON) is what ``finish`` needs."""

    to_sign: bytes
    digest: bytes
    algorithm: Literal["rsa", "ecdsa"]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom we believe: PEM texts of authorities for signatures and for time stamps, and whether revocation is asked
    for. ``key`` names this version of it."""

    key: str
    signing: tuple[str, ...]
    timestamp: tuple[str, ...]
    revocation: Literal["off", "soft", "hard"] = "off"


@dataclass(frozen=True, slots=True)
class SignatureReport:
    """One signature of a file, as a clerk can understand it. ``level`` is PAdES or CAdES B-B to B-LTA; ``changes``
    says in words what was done to the file after it."""

    field: str
    signer: str
    signed_at: str | None
    level: str
    intact: bool
    trusted: bool
    covers_whole_file: bool
    changes_after: str
    verdict: str
    reason: str
    organisation: str = ""
    issuer: str = ""
    certificate_sha256: str = ""
    timestamped_at: str | None = None


class Signer(Protocol):
    """Raises SigningFailed with what to do; ``details['code']`` is pin_wrong, pin_locked or pin_missing where a PIN is
    the trouble. A wrong PIN is tried once."""

    def sign(self, source: Path, target: Path, *, key: SignerKey, order: SignatureOrder) -> Signed:
        """Write ``source`` with one more PAdES signature to ``target`` (an incremental update)."""

    def enclose(self, source: Path, target: Path, *, name: str, key: SignerKey, order: SignatureOrder) -> Signed:
        """Write an ASiC-E container with ``source`` (called ``name``) and a CAdES signature over it to ``target``."""

    def prepare(
        self, source: Path, target: Path, *, certificates: tuple[bytes, ...], order: SignatureOrder
    ) -> Prepared:
        """Write ``source`` with an empty place for the signature to ``target``. ``certificates`` (DER) are the
        signer's and those above it."""

    def finish(self, prepared: Path, target: Path, *, facts: Mapping[str, Any], signature: bytes) -> Signed:
        """Put the signature of the key (PKCS#1 v1.5 or ECDSA in DER) into a prepared file."""

    def fill(self, source: Path, target: Path, filled: tuple[tuple[str, str], ...]) -> None:
        """Put values into blanks, signing nothing."""

    def renew(self, source: Path, target: Path) -> Signed:
        """Add what proves the signatures and a new archival time stamp (B-LTA)."""


class Verifier(Protocol):
    def verify(self, source: Path, media_type: str, trust: Trust) -> list[SignatureReport]:
        """All signatures in order, looked at in a limited process; an unsigned file gives an empty list.

        Raises SigningFailed where the file cannot be read."""


class Placer(Protocol):
    def place(self, source: Path, *, signer: str, anchor: str | None, place: Box | None, notation: str) -> Layout:
        """Look where the signature, the seal, number and date go, in a limited process. ``notation`` is what the
        number will look like, with ``…`` for the number itself."""
