"""Signatures by keys that lie elsewhere: the file is prepared here, its digest is signed there, and what comes back is
looked at before it counts.

``begin`` reads and ``open_session`` writes, with ``prepare`` between them; then ``waiting`` reads, ``complete`` puts
the signature in and verifies it, and ``conclude`` moves the document as ``sign`` and ``seal`` do. No transaction is
open while bytes travel.
"""

import tempfile
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field
from sqlalchemy.orm import Session

from docflow.db.models import SigningSession
from docflow.db.queries.signing_sessions import own_session, version_of
from docflow.domain.commands import Command, Seal, Sign, Text
from docflow.domain.errors import Invalid, NotFound, SessionOver, SigningFailed, StaleVersion
from docflow.domain.lifecycle import State
from docflow.domain.signing_settings import AGENCY
from docflow.services import seal, sign
from docflow.services.asked import Asked
from docflow.services.files import record_blob
from docflow.services.pictures import Pictures
from docflow.services.ports import StoredObject
from docflow.services.signing_batch import Capacity
from docflow.services.signing_certificates import read_certificates, require_own
from docflow.services.signing_ports import Prepared, SignatureOrder
from docflow.services.signing_work import MadePiece, Piece, Workshop, keep
from docflow.services.transition import Moved, lock, read

Work = sign.Pinned | seal.ToSeal
PREPARE_ANEW = "Read the document again and prepare a new signature."
LARGEST_SIGNATURE = 8192  # characters of base64


def _certificates(text: str) -> str:
    read_certificates(text)
    return text


def _signature(text: str) -> str:
    b64decode(text, validate=True)
    return text


Certificates = Annotated[str, Field(min_length=1, max_length=40_000), AfterValidator(_certificates)]
Signature = Annotated[str, Field(min_length=1, max_length=LARGEST_SIGNATURE), AfterValidator(_signature)]


class Start(Command):
    """``certificate`` is the signer's, PEM or base64 DER; ``chain`` those above it. Without ``purpose`` it is what the
    document waits for: the person's signature or the agency's seal."""

    certificate: Certificates
    chain: tuple[Certificates, ...] = Field(default=(), max_length=10)
    purpose: Literal["sign", "seal"] | None = None
    capacity: Capacity = ""
    note: Text = ""

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """DER, the signer's own first."""
        return tuple(der for text in (self.certificate, *self.chain) for der in read_certificates(text))

    def command(self, purpose: str) -> Sign | Seal:
        return Sign(capacity=self.capacity, note=self.note) if purpose == "sign" else Seal(note=self.note)


class Finish(Command):
    """``signature`` in base64: RSA with PKCS#1 v1.5, or ECDSA in DER, over ``to_sign`` with SHA-256; ``attachments``
    those of the attachments, in their order, where a seal has any."""

    signature: Signature
    attachments: tuple[Signature, ...] = Field(default=(), max_length=1000)


@dataclass(frozen=True, slots=True)
class PreparedPiece:
    piece: Piece
    stored: StoredObject
    prepared: Prepared
    order: SignatureOrder

    def facts(self) -> dict[str, Any]:
        piece, prepared = self.piece, self.prepared
        return {
            "file": {"id": str(piece.file_id), "name": piece.name, "sha256": piece.sha256},
            "prepared": self.stored.sha256,
            "field": self.order.field,
            "to_sign": b64encode(prepared.to_sign).decode(),
            "digest": b64encode(prepared.digest).decode(),
            "algorithm": prepared.algorithm,
            "facts": dict(prepared.facts),
            "blanks": sign.left_open(self.order),
        }


@dataclass(frozen=True, slots=True)
class Waiting:
    """A session that may be finished now. ``pieces`` are its facts, one of each file, the main one first."""

    session_id: UUID
    work: Work
    command: Sign | Seal
    certificate: bytes
    pieces: tuple[Mapping[str, Any], ...]
    version: int
    asked: Asked


def purpose_of(work: Work) -> str:
    return "sign" if isinstance(work, sign.Pinned) else "seal"


def pieces_of(work: Work) -> tuple[Piece, ...]:
    return (work.piece,) if isinstance(work, sign.Pinned) else (work.main, *work.attachments)


def begin(session: Session, pictures: Pictures, document_id: UUID, start: Start, asked: Asked) -> Work | Moved:
    """What is to be signed; the first answer where the request is a repeat. Raises as the action itself does."""
    purpose = start.purpose
    if purpose is None:
        state = read(session, document_id, asked).row["state"]
        purpose = "sign" if state == State.SIGN else "seal"
    return _work(session, pictures, document_id, start.command(purpose), asked)


def _work(session: Session, pictures: Pictures, document_id: UUID, command: Sign | Seal, asked: Asked) -> Work | Moved:
    if isinstance(command, Sign):
        return sign.pinned(session, pictures, document_id, command, asked)
    return seal.asked_for(session, pictures, document_id, asked)


def prepare(shop: Workshop, work: Work, start: Start, now: datetime) -> tuple[PreparedPiece, ...]:
    """Raises SigningFailed where the certificate is another's or not fit, Invalid where a file cannot carry it."""
    owner = (work.signer, work.signer_name) if isinstance(work, sign.Pinned) else (AGENCY, work.agency)
    certificates = start.certificates
    require_own(certificates[0], *owner)
    pieces = pieces_of(work)
    for piece in pieces:
        if not piece.is_pdf:
            raise Invalid(
                f"'{piece.name}' is no PDF: only a key that docflow opens itself can sign it, in a container. Have the "
                "key entered in config/signing.yaml, or attach a PDF instead."
            )
    return tuple(_prepared(shop, work, piece, certificates, start, now) for piece in pieces)


def _prepared(
    shop: Workshop, work: Work, piece: Piece, certificates: tuple[bytes, ...], start: Start, now: datetime
) -> PreparedPiece:
    with shop.store.fetch(piece.sha256) as source, tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "prepared.pdf"
        order = _order(shop, work, piece, source, start, now)
        prepared = shop.signer.prepare(source, target, certificates=certificates, order=order)
        with target.open("rb") as data:
            return PreparedPiece(piece, shop.store.put(data, media_type=piece.signed_type), prepared, order)


def _order(shop: Workshop, work: Work, piece: Piece, source: Path, start: Start, now: datetime) -> SignatureOrder:
    if isinstance(work, sign.Pinned):
        return sign.order_of(shop, work, source, Sign(capacity=start.capacity, note=start.note), now)
    if piece is work.main:
        return seal.order_of(shop, work, source, start.note, now)
    return seal.attachment_order(shop, work, piece, source, now)


def open_session(
    session: Session, work: Work, prepared: tuple[PreparedPiece, ...], start: Start, asked: Asked
) -> SigningSession:
    """Raises StaleVersion where the document changed while its files were prepared."""
    assert asked.user_id is not None, "the engine's keys are here"
    version, seq = version_of(session, work.document_id)
    if seq != work.seq:
        raise StaleVersion(f"The document changed while its signature was prepared. {PREPARE_ANEW}")
    for each in prepared:
        record_blob(session, each.stored, asked.now)
    purpose = purpose_of(work)
    row = SigningSession(
        document_id=work.document_id,
        user_id=asked.user_id,
        acting_for=asked.acting_for,
        purpose=purpose,
        file_id=prepared[0].piece.file_id,
        seq=seq,
        prepared_sha256=prepared[0].stored.sha256,
        certificate=start.certificates[0],
        facts={"version": version, "pieces": [each.facts() for each in prepared]},
        command=start.command(purpose).model_dump(mode="json"),
        state="open",
        created_at=asked.now,
        expires_at=asked.now + timedelta(minutes=work.settings.session_minutes),
    )
    session.add(row)
    session.flush()
    return row


def find_session(session: Session, document_id: UUID, session_id: UUID, asked: Asked, *, locked: bool = False) -> Any:
    """Raises NotFound for what is absent or another's."""
    assert asked.user_id is not None, "sessions belong to people"
    row = own_session(session, document_id, session_id, asked.user_id, lock=locked)
    if row is None:
        raise NotFound("There is no such signature in preparation, or it is not yours.")
    return row


def state_of(row: SigningSession, now: datetime) -> str:
    return "expired" if row.state == "open" and row.expires_at <= now else row.state


def waiting(
    session: Session, pictures: Pictures, document_id: UUID, session_id: UUID, asked: Asked
) -> Waiting | Moved | SessionOver:
    """What may be finished now; the first answer where it was finished before.

    A SessionOver is given back and not raised, so that what it voided stays so.
    """
    lock(session, document_id)
    row = find_session(session, document_id, session_id, asked, locked=True)
    asked = replace(asked, acting_for=row.acting_for)
    over = _over(session, row, asked.now)
    if over is not None:
        return over
    command = (Sign if row.purpose == "sign" else Seal).model_validate(row.command)
    work = _work(session, pictures, document_id, command, asked)
    if isinstance(work, Moved):
        return work
    pieces = tuple(row.facts["pieces"])
    if [each["file"]["sha256"] for each in pieces] != [piece.sha256 for piece in pieces_of(work)]:
        return _void(row, asked.now, "Its files are others now")
    return Waiting(row.id, work, command, row.certificate, pieces, row.facts["version"], asked)


def _over(session: Session, row: SigningSession, now: datetime) -> Moved | SessionOver | None:
    """None where it is open and the document is as it was."""
    if row.state == "finished":
        return Moved(row.facts["answer"], repeated=True)
    state = state_of(row, now)
    if state == "expired":
        return SessionOver(f"The time to sign is over since {row.expires_at:%H:%M:%S} UTC. {PREPARE_ANEW}", state=state)
    if state == "void":
        return SessionOver(f"This signature was given up, or the document changed. {PREPARE_ANEW}", state=state)
    was, (version, _) = row.facts["version"], version_of(session, row.document_id)
    if version != was:
        return _void(row, now, f"The document changed: it was version {was}, and is now {version}")
    return None


def _void(row: SigningSession, now: datetime, why: str) -> SessionOver:
    row.state, row.ended_at = "void", now
    return SessionOver(f"{why}. Nothing was signed. {PREPARE_ANEW}", state="void")


def complete(shop: Workshop, what: Waiting, finish: Finish) -> sign.Made | seal.Sealed:
    """Put the signatures into the prepared files, and store what verifies. Raises SigningFailed, Invalid."""
    signatures = (finish.signature, *finish.attachments)
    if len(signatures) != len(what.pieces):
        raise Invalid(
            f"{len(what.pieces)} signatures are needed, of the main file and of each attachment; {len(signatures)} "
            "came. Send all of them at once.",
            field="attachments",
        )
    trust = shop.trust()
    made: list[MadePiece] = []
    for piece, facts, signature in zip(pieces_of(what.work), what.pieces, signatures, strict=True):
        with shop.store.fetch(facts["prepared"]) as prepared, tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "signed.pdf"
            signed = shop.signer.finish(prepared, target, facts=facts["facts"], signature=b64decode(signature))
            if signed.certificate_sha256 != sha256(what.certificate).hexdigest():
                raise SigningFailed(f"The signature is not by the certificate it was prepared for. {PREPARE_ANEW}")
            made.append(keep(shop, piece, target, signed, facts["field"], trust))
    if isinstance(what.work, sign.Pinned):
        return sign.Made(what.work, made[0], what.pieces[0]["blanks"])
    return seal.Sealed(what.work, made[0], tuple(made[1:]))


def conclude(
    session: Session, pictures: Pictures, what: Waiting, made: sign.Made | seal.Sealed, asked: Asked
) -> Moved | SessionOver:
    """The move, and the end of the session; both or neither."""
    document_id = what.work.document_id
    lock(session, document_id)
    row = find_session(session, document_id, what.session_id, asked, locked=True)
    over = _over(session, row, asked.now)
    if over is not None:
        return over
    if isinstance(made, sign.Made):
        assert isinstance(what.command, Sign)
        moved = sign.sign(session, pictures, document_id, made, what.command, what.asked)
    else:
        assert isinstance(what.command, Seal)
        moved = seal.seal(session, pictures, document_id, made, what.command, what.asked)
    row.state, row.ended_at = "finished", asked.now
    row.facts = row.facts | {"answer": moved.answer}
    return moved


def give_up(session: Session, document_id: UUID, session_id: UUID, asked: Asked) -> SigningSession:
    """Nobody can finish it any more; one that is over stays what it is."""
    row: SigningSession = find_session(session, document_id, session_id, asked, locked=True)
    if row.state == "open":
        row.state, row.ended_at = "void", asked.now
    return row
