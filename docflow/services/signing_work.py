"""What the person's signature and the agency's seal share: a piece is read, signed, looked at and stored, with no
transaction open while bytes travel; the move that follows names what was made."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import DocumentFile, Rendition
from docflow.domain.consequences import NewFile, NewRetention, NewSignature
from docflow.domain.errors import SigningFailed, Unavailable
from docflow.domain.signing_settings import AGENCY, Level, SigningSettings
from docflow.domain.snapshot import Snapshot
from docflow.services.files import next_version
from docflow.services.ports import ObjectStore, StoredObject
from docflow.services.signing_keys import KeyRing
from docflow.services.signing_ports import (
    Placer,
    SignatureOrder,
    SignatureReport,
    Signed,
    Signer,
    SignerKey,
    Trust,
    Verifier,
)

PDF = "application/pdf"
CONTAINER = "application/vnd.etsi.asic-e+zip"
CONTAINER_SUFFIX = ".asice"
PIN_TROUBLE = frozenset({"pin_wrong", "pin_locked", "pin_missing"})
"""Where the PIN is the trouble, nothing more is tried with it."""
NO_KEY = "key_missing"


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where signatures are made; ``trust`` reads the trust list of the newest configuration."""

    store: ObjectStore
    signer: Signer
    verifier: Verifier
    placer: Placer
    keys: KeyRing
    trust: Callable[[], Trust]


@dataclass(frozen=True, slots=True)
class Piece:
    """A file to be signed, and the version that comes of it. ``sha256`` and ``media_type`` are those of the bytes that
    are signed: of an office document, its PDF."""

    file_id: UUID
    kind: str
    name: str
    media_type: str
    sha256: str
    version_no: int

    @property
    def is_pdf(self) -> bool:
        return self.media_type == PDF

    @property
    def signed_name(self) -> str:
        return self.name if self.media_type in (PDF, CONTAINER) else f"{self.name}{CONTAINER_SUFFIX}"

    @property
    def signed_type(self) -> str:
        return PDF if self.is_pdf else CONTAINER

    def enclosed(self) -> "Piece":
        """The same file as something that only a container can carry."""
        return replace(self, media_type="application/octet-stream")


@dataclass(frozen=True, slots=True)
class MadePiece:
    """Signed bytes in the store, verified, not yet a file of the document."""

    piece: Piece
    stored: StoredObject
    signed: Signed
    field: str

    def file(self, origin: str) -> NewFile:
        piece, stored = self.piece, self.stored
        return NewFile(
            new_id(),
            piece.kind,
            piece.version_no,
            piece.signed_name,
            piece.signed_type,
            stored.size,
            stored.sha256,
            origin,
            piece.file_id,
        )

    def signature(
        self, file: NewFile, kind: str, renew_days: int, *, signer_id: UUID | None = None, capacity: str = ""
    ) -> NewSignature:
        signed = self.signed
        renewable = signed.level is Level.B_LTA
        return NewSignature(
            file_id=file.id,
            kind=kind,
            field=self.field,
            signer_id=signer_id,
            signer=signed.signer[:200],
            capacity=capacity,
            level=signed.level.value,
            certificate_sha256=signed.certificate_sha256,
            signed_at=signed.signed_at,
            renew_at=signed.protected_until - timedelta(days=renew_days) if renewable else None,
        )


def piece_of(session: Session, file: DocumentFile) -> Piece:
    """What is signed of a file: itself where it is a PDF, its PDF where it is an office document that has one.

    Raises Unavailable where nobody has tried yet to make one of it.
    """
    version = next_version(session, file.document_id, file.kind)
    own = Piece(file.id, file.kind, file.name, file.media_type, file.sha256, version)
    if own.is_pdf:
        return own
    tried = select(Rendition.kind, Rendition.sha256).where(Rendition.source_sha256 == file.sha256)
    made = {row.kind: row.sha256 for row in session.execute(tried)}
    if not made:
        raise Unavailable(f"'{file.name}' is still being looked at. Try again in a moment.")
    pdf = made.get("pdf")
    if pdf is None:
        return own
    return Piece(file.id, file.kind, f"{Path(file.name).stem}.pdf", PDF, pdf, version)


def make_piece(
    shop: Workshop, piece: Piece, key: SignerKey, trust: Trust, order: Callable[[Path], SignatureOrder]
) -> MadePiece:
    """Sign, verify, store. ``order`` is asked with the file at hand. Raises SigningFailed."""
    with shop.store.fetch(piece.sha256) as source, tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "signed"
        wanted = order(source)
        if piece.is_pdf:
            signed = shop.signer.sign(source, target, key=key, order=wanted)
        else:
            signed = shop.signer.enclose(source, target, name=piece.name, key=key, order=wanted)
        return keep(shop, piece, target, signed, wanted.field, trust)


def keep(shop: Workshop, piece: Piece, made: Path, signed: Signed, field: str, trust: Trust) -> MadePiece:
    """Store signed bytes once they have been found good. Raises SigningFailed."""
    require_good(shop.verifier.verify(made, piece.signed_type, trust))
    with made.open("rb") as data:
        return MadePiece(piece, shop.store.put(data, media_type=piece.signed_type), signed, field)


def require_good(reports: list[SignatureReport]) -> None:
    """The newest signature must be trusted, and no other of ours may have suffered by it. What others signed before
    it came to us may be worth less; that is not ours to mend."""
    if not reports:
        raise SigningFailed("The new signature does not verify (no signature found). Nothing was changed.")
    ours = [r for r in reports[:-1] if r.field.startswith("docflow_")]
    for report in (*ours, reports[-1]):
        if not (report.intact and report.trusted):
            raise SigningFailed(
                f"The new signature does not verify ({report.field}: {report.reason}). Nothing was changed."
            )


def key_of(shop: Workshop, owner: str, signing: SigningSettings, pin: str | None, name: str) -> SignerKey:
    """Raises SigningFailed where there is none, or its PIN is missing."""
    key = shop.keys.of(owner, signing, pin)
    if key is None:
        whose = "The agency" if owner == AGENCY else name
        raise SigningFailed(
            f"{whose} has no signing key here. Ask the administrator to enter one, or sign with a key of your own "
            "(docflow sign).",
            code=NO_KEY,
        )
    return key


def retention_of(snapshot: Snapshot, sha256: str, now: datetime) -> NewRetention:
    """As long as the document's own configuration says for its type."""
    years = snapshot.configuration.retention.years_for(snapshot.doc_type)
    return NewRetention(sha256, years_later(now, years))


def years_later(now: datetime, years: int) -> datetime:
    try:
        return now.replace(year=now.year + years)
    except ValueError:  # 29 February
        return now.replace(year=now.year + years, month=3, day=1)
