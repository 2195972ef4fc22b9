"""What a delivery takes along, read in one go: no transaction is open while it travels."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePosixPath
from uuid import UUID

from sqlalchemy import ScalarSelect, exists, func, select
from sqlalchemy.orm import Session, aliased

from docflow.db.models import Delivery, Document, DocumentFile, History, Intake
from docflow.services.earlier import Earlier, earlier_of

ACKNOWLEDGE = "acknowledge"
"""The kind of a receipt for what came in: it holds no document open, and nobody is troubled where it fails."""


@dataclass(frozen=True, slots=True)
class Original:
    """The letter that a receipt is for, as it came in."""

    intake_id: UUID
    message_id: str
    subject: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Enclosed:
    """A file that leaves with a document; ``size`` is in bytes."""

    name: str
    media_type: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Parcel:
    """Everything the carrier needs. ``attempts`` counts this one."""

    id: UUID
    document_id: UUID
    kind: str
    recipient: str
    address: str
    message_id: str
    attempts: int
    subject: str
    secret: bool
    notation: str
    files: tuple[Enclosed, ...] = ()
    channel: str = "email"
    reason: str = ""
    """Why it was returned or recalled, as the person who did it wrote."""
    original: Original | None = None
    earlier: tuple[Earlier, ...] = ()
    """What it replaces or corrects."""


def parcels_of(session: Session, ids: list[UUID]) -> list[Parcel]:
    """The parcels of these deliveries, by id. The sealed file goes, which may have been renewed since; else what was
    dispatched."""
    sealed = func.coalesce(Document.sealed_file_id, Delivery.file_id)
    rows = session.execute(
        select(Delivery, Document, DocumentFile, _reason())
        .join(Document, Document.id == Delivery.document_id)
        .join(DocumentFile, DocumentFile.id == sealed, isouter=True)
        .where(Delivery.id.in_(ids))
        .order_by(Delivery.id)
    ).all()
    originals = _originals(session, ids)
    beside = attachments_of(session, {document.id for _, document, _, _ in rows})
    earlier = earlier_of(session, ids)
    return [
        parcel_of(
            delivery,
            document,
            main,
            reason,
            originals.get(delivery.id),
            beside[document.id],
            earlier.get(delivery.id, ()),
        )
        for delivery, document, main, reason in rows
    ]


def attachments_of(session: Session, documents: Iterable[UUID]) -> dict[UUID, tuple[Enclosed, ...]]:
    """What leaves beside the main file, of our own documents: of each attachment the newest form alone, so that an
    original which was sealed stays here."""
    later = aliased(DocumentFile)
    same = (later.document_id == DocumentFile.document_id) & (later.derived_from == DocumentFile.id)
    rows = session.scalars(
        select(DocumentFile)
        .join(Document, Document.id == DocumentFile.document_id)
        .where(
            Document.id.in_(list(documents)),
            Document.direction == "outgoing",
            DocumentFile.kind == "attachment",
            DocumentFile.size > 0,
            ~exists(select(later.id).where(same, later.kind == "attachment")),
        )
        .order_by(DocumentFile.id)
    )
    found: dict[UUID, tuple[Enclosed, ...]] = defaultdict(tuple)
    for row in rows:
        found[row.document_id] += (enclosed(row),)
    return found


def enclosed(file: DocumentFile) -> Enclosed:
    return Enclosed(file.name, file.media_type, file.size, file.sha256)


def parcel_of(
    delivery: Delivery,
    document: Document,
    main: DocumentFile | None,
    reason: str | None = None,
    original: Original | None = None,
    beside: tuple[Enclosed, ...] = (),
    earlier: tuple[Earlier, ...] = (),
) -> Parcel:
    files = ((enclosed(main),) if main else ()) + beside
    return Parcel(
        id=delivery.id,
        document_id=document.id,
        kind=delivery.kind,
        recipient=delivery.recipient,
        address=delivery.address,
        message_id=delivery.message_id,
        attempts=delivery.attempts,
        subject=document.subject,
        secret=document.secrecy > 0,
        notation=document.notation or document.number_symbol or "",
        files=named_once(files) if delivery.kind == "document" else (),
        channel=delivery.channel,
        reason=reason or "",
        original=original,
        earlier=earlier,
    )


def named_once(files: tuple[Enclosed, ...]) -> tuple[Enclosed, ...]:
    """Names that are there already get a number, so that nobody saves one file over another."""
    taken: set[str] = set()
    named: list[Enclosed] = []
    for file in files:
        name, number, path = file.name, 1, PurePosixPath(file.name)
        while name.casefold() in taken:
            number += 1
            name = f"{path.stem} ({number}){path.suffix}"
        taken.add(name.casefold())
        named.append(replace(file, name=name))
    return tuple(named)


def _originals(session: Session, ids: list[UUID]) -> dict[UUID, Original]:
    """By receipt; the oldest where a document came more than once."""
    came = (
        select(Delivery.id, Intake.id, Intake.message_id, Intake.subject, Intake.received_at)
        .join(Intake, (Intake.document_id == Delivery.document_id) & (Intake.state == "document"))
        .where(Delivery.id.in_(ids), Delivery.kind == ACKNOWLEDGE)
        .order_by(Intake.received_at.desc(), Intake.id.desc())
    )
    return {
        receipt: Original(intake, message_id or "", subject, received_at)
        for receipt, intake, message_id, subject, received_at in session.execute(came)
    }


def _reason() -> ScalarSelect[str | None]:
    same = (History.document_id == Delivery.document_id) & (History.action == Delivery.kind)
    newest = select(History.data["reason"].astext).where(same).order_by(History.seq.desc()).limit(1)
    return newest.correlate(Delivery).scalar_subquery()
