"""The agency's seal on what a person has signed: number and date first, then the main file and its attachments.

``to_seal`` reads, ``make`` seals and stores with no transaction open, ``seal`` moves the document.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import DocumentFile, MadeSignature
from docflow.domain.acts.signing import awaits_seal
from docflow.domain.commands import Seal
from docflow.domain.decide import check, decide
from docflow.domain.directory import Person
from docflow.domain.errors import SigningFailed, UnsupportedFile
from docflow.domain.lifecycle import Action, State
from docflow.domain.plan import Plan
from docflow.domain.signing_settings import AGENCY, SigningSettings
from docflow.domain.snapshot import Actor, Snapshot
from docflow.services import stamps
from docflow.services.approving import attachments
from docflow.services.asked import Asked
from docflow.services.files import next_version, record_blob
from docflow.services.numbering_on_page import number_of, to_fill
from docflow.services.on_the_page import placed
from docflow.services.pictures import Pictures
from docflow.services.signing_ports import SignatureOrder, SignerKey, Stamp, Trust
from docflow.services.signing_work import (
    PIN_TROUBLE,
    MadePiece,
    Piece,
    Workshop,
    key_of,
    make_piece,
    retention_of,
)
from docflow.services.transition import Moved, check_version, first_answer, move, picture, read

SEALED = "Chữ ký số của cơ quan"
FIELDS = 32
"""As many names of the seal's field a person's signature leaves free."""


@dataclass(frozen=True, slots=True)
class ToSeal:
    """What waits for the seal. ``filled`` are the blanks of number and date that are still open; ``settings`` are those
    of the newest configuration."""

    document_id: UUID
    seq: int
    main: Piece
    attachments: tuple[Piece, ...]
    filled: tuple[tuple[str, str], ...]
    signer_name: str
    agency: str
    notation: str
    shape: str
    document_type: str
    settings: SigningSettings
    picture: stamps.Picture | None
    under: stamps.Picture | None


@dataclass(frozen=True, slots=True)
class Sealed:
    """The sealed bytes in the store, not yet files of the document."""

    to_seal: ToSeal
    main: MadePiece
    attachments: tuple[MadePiece, ...]


def wanted(snapshot: Snapshot) -> bool:
    """Whether the document waits for the seal that its configuration wants before it leaves."""
    ready = snapshot.state is State.DISPATCH and snapshot.held_at is None and awaits_seal(snapshot)
    return ready and snapshot.configuration.signing.seal.required


def asked_for(session: Session, pictures: Pictures, document_id: UUID, asked: Asked) -> ToSeal | Moved:
    """What this clerk is about to seal; the first answer where the request is a repeat. Raises as ``perform`` does."""
    context = read(session, document_id, asked)
    snapshot, actor = picture(session, pictures, context, asked)
    if context.first is not None:
        return Moved(first_answer(context.first, asked), repeated=True)
    check_version(snapshot, actor, asked)
    check(snapshot, actor, Action.SEAL)
    return to_seal(session, pictures, snapshot, actor)


def to_seal(session: Session, pictures: Pictures, snapshot: Snapshot, actor: Actor) -> ToSeal:
    file = session.get_one(DocumentFile, snapshot.signed_file_id)
    number = number_of(session, snapshot, actor)
    signer = _signer(session, snapshot, actor)
    newest = pictures.newest(session)[1]
    return ToSeal(
        document_id=snapshot.id,
        seq=snapshot.seq,
        main=_piece(file, next_version(session, snapshot.id, file.kind)),
        attachments=tuple(_piece(f, 1) for f in attachments(session, snapshot)),
        filled=to_fill(session, snapshot, number),
        signer_name=signer.full_name if signer else "",
        agency=newest.agency.name,
        notation=snapshot.notation or "",
        shape=number.shape,
        document_type=snapshot.doc_type,
        settings=newest.signing,
        picture=stamps.picture_of(session, AGENCY),
        under=stamps.picture_of(session, signer.username) if signer else None,
    )


def _piece(file: DocumentFile, version: int) -> Piece:
    return Piece(file.id, file.kind, file.name, file.media_type, file.sha256, version)


def _signer(session: Session, snapshot: Snapshot, actor: Actor) -> Person | None:
    """Whose name stands under the signature: by it the place is found again."""
    made = select(MadeSignature.signer_id).where(
        MadeSignature.document_id == snapshot.id, MadeSignature.kind == "person"
    )
    signer_id = session.scalar(made.order_by(MadeSignature.id.desc()).limit(1))
    return actor.directory.people.get(signer_id) if signer_id else None


def make(shop: Workshop, what: ToSeal, pin: str | None, reason: str, now: datetime) -> Sealed:
    """Seal the main file and every attachment. Raises SigningFailed."""
    key = key_of(shop, AGENCY, what.settings, pin, what.agency)
    trust = shop.trust()
    main = make_piece(shop, what.main, key, trust, lambda source: order_of(shop, what, source, reason, now))
    return Sealed(what, main, tuple(_attachment(shop, what, piece, key, trust, now) for piece in what.attachments))


def order_of(shop: Workshop, what: ToSeal, source: Path, reason: str, now: datetime) -> SignatureOrder:
    """What the seal on the main file shall be; ``source`` is the signed file, at hand."""
    order = _order(what, what.main, reason or SEALED, now, None)
    if not what.main.is_pdf:
        return order
    stamp: Stamp | None = None
    if what.settings.stamps.visible:
        settings, kind = what.settings, what.document_type
        layout = placed(shop.placer, source, settings, kind, what.signer_name, what.shape)
        stamp = stamps.seal_stamp(layout, shop.store, what.picture, what.agency, now, person=what.under)
    return SignatureOrder(order.field, order.level, order.reason, now, stamp=stamp, filled=what.filled)


def _order(what: ToSeal, piece: Piece, reason: str, now: datetime, stamp: Stamp | None) -> SignatureOrder:
    level = what.settings.level_for(what.document_type, seal=True)
    field = f"docflow_{AGENCY}_{(piece.version_no - 1) % FIELDS + 1}"
    return SignatureOrder(field, level, reason, now, stamp=stamp)


def _attachment(shop: Workshop, what: ToSeal, piece: Piece, key: SignerKey, trust: Trust, now: datetime) -> MadePiece:
    """What cannot carry the stamp goes into a container."""
    try:
        return make_piece(shop, piece, key, trust, lambda source: attachment_order(shop, what, piece, source, now))
    except (SigningFailed, UnsupportedFile) as error:
        if not piece.is_pdf or error.details.get("code") in PIN_TROUBLE:
            raise
        return make_piece(shop, piece.enclosed(), key, trust, lambda _: _order(what, piece, SEALED, now, None))


def attachment_order(shop: Workshop, what: ToSeal, piece: Piece, source: Path, now: datetime) -> SignatureOrder:
    """What the seal on an attachment shall be: on a PDF with the corner stamp of domain.md §7."""
    stamp = None
    if piece.is_pdf and what.settings.stamps.visible:
        layout = placed(shop.placer, source, what.settings, what.document_type, "", "")
        stamp = stamps.attachment_stamp(layout, what.notation, now)
    return _order(what, piece, SEALED, now, stamp)


def seal(session: Session, pictures: Pictures, document_id: UUID, made: Sealed, command: Seal, asked: Asked) -> Moved:
    """The move: the sealed version is a new file, and so is that of each attachment."""
    for piece in (made.main, *made.attachments):
        record_blob(session, piece.stored, asked.now)
    main = made.main.file("seal")
    others = [(piece, piece.file("seal")) for piece in made.attachments]

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        files = tuple(file for _, file in others)
        plan = decide(
            snapshot, actor, Action.SEAL, command, now=asked.now, new_id=new_id, signed_file=main, files=files
        )
        days = made.to_seal.settings.renew_days
        signer_id = actor.person.id if actor.person else None
        for kind, piece, file in (("seal", made.main, main), *(("attachment", p, f) for p, f in others)):
            plan.signatures.append(piece.signature(file, kind, days, signer_id=signer_id))
            plan.retentions.append(retention_of(snapshot, file.sha256, asked.now))
        return plan

    return move(session, pictures, document_id, Action.SEAL.value, asked, planner)
