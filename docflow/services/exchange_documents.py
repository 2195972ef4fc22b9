"""Documents of ours as messages to the partners they go to."""

from datetime import date, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from docflow.db.models import Delivery, Document, DocumentFile, History, Relation
from docflow.db.queries.exchange import CLAIM_DELIVERIES
from docflow.domain.configuration import Configuration
from docflow.domain.directory import Directory
from docflow.domain.edxml import Attached, Business, EdxmlMessage, Organ, Reference
from docflow.domain.partners import Partner, addressed
from docflow.domain.timing import Urgency
from docflow.services.backoff import LEASE
from docflow.services.dispatch import Parcel, parcel_of
from docflow.services.exchange_out import Letter, organ_of
from docflow.services.pictures import Pictures

PRIORITIES = {Urgency.ORDINARY: "0", Urgency.URGENT: "1", Urgency.VERY_URGENT: "2", Urgency.FLASH: "3"}
"""Where a partner has no table of its own."""
SUCCESSORS = {"replaces": Business.REPLACE, "updates": Business.UPDATE}


def claim_documents(
    session: Session, pictures: Pictures, worker: str, now: datetime, *, most: int
) -> list[tuple[Parcel, Letter]]:
    ids = list(session.scalars(CLAIM_DELIVERIES, {"worker": worker, "now": now, "until": now + LEASE, "most": most}))
    if not ids:
        return []
    _, configuration = pictures.newest(session)
    rows = session.execute(
        select(Delivery, Document, DocumentFile)
        .join(Document, Document.id == Delivery.document_id)
        .join(DocumentFile, DocumentFile.id == Delivery.file_id, isouter=True)
        .where(Delivery.id.in_(ids))
        .order_by(Delivery.id)
    )
    directory = pictures.directory(session)
    return [
        (parcel_of(delivery, document, file), _letter(session, configuration, directory, delivery, document, file))
        for delivery, document, file in rows
    ]


def _letter(
    session: Session,
    configuration: Configuration,
    directory: Directory,
    delivery: Delivery,
    document: Document,
    file: DocumentFile | None,
) -> Letter:
    partner = addressed(configuration.partners, delivery.address)
    business, concerns, reason = _business(session, delivery)
    files = _files(session, document, file) if business is not Business.REVOKE else []
    number, _, symbol = (document.notation or "").partition("/")
    details = document.details
    kind = next((t for t in configuration.document_types if t.id == document.document_type), None)
    name, position, capacity = _signer(session, directory, document)
    message = EdxmlMessage(
        sender=organ_of(configuration.agency),
        recipients=(Organ(_organ_id(partner, delivery.address), delivery.recipient),),
        document_id=delivery.message_id,
        business=business,
        number=number,
        notation=symbol,
        place=configuration.agency.place,
        promulgated=document.document_date if document.direction == "outgoing" else None,
        type_code=_type_code(partner, document.document_type, kind.code if kind else None),
        type_name=kind.name if kind else "",
        subject=document.subject,
        content=document.subject,
        signer=details.get("signer_name") or name,
        signer_position=details.get("signer_position") or position,
        signer_competence=capacity,
        priority=_priority(partner, document.urgency),
        pages=details.get("pages"),
        copies=details.get("copies"),
        answers=tuple(_answered(session, document, partner)),
        concerns=concerns,
        reason=reason,
        at=delivery.created_at,
        to_places=tuple(str(r["name"]) for r in document.recipients),
        attachments=tuple(Attached(f.name, f.media_type, "", f.size, f.sha256) for f in files),
    )
    return Letter(delivery.address, partner, message, tuple(f.sha256 for f in files), document.secrecy > 0)


def _organ_id(partner: Partner | None, address: str) -> str:
    """The code that was named, else the partner's first."""
    codes = partner.organ_ids if partner else ()
    return next((c for c in codes if c.casefold() == address.casefold()), codes[0] if codes else address)


def _business(session: Session, delivery: Delivery) -> tuple[Business, tuple[str, ...], str]:
    """New, or what it does to a document that the same partner has."""
    if delivery.kind == "recall":
        same = (History.document_id == delivery.document_id) & (History.action == "recall")
        newest = select(History.data["reason"].astext).where(same).order_by(History.seq.desc()).limit(1)
        return Business.REVOKE, (delivery.message_id,), session.scalar(newest) or ""
    earlier = (
        select(Relation.kind, Delivery.message_id)
        .join(Delivery, Delivery.document_id == Relation.other_id)
        .where(
            Relation.document_id == delivery.document_id,
            Relation.kind.in_(SUCCESSORS),
            Delivery.address == delivery.address,
            Delivery.channel == "edxml",
            Delivery.kind == "document",
        )
    )
    found = session.execute(earlier.limit(1)).one_or_none()
    return (SUCCESSORS[found.kind], (found.message_id,), "") if found else (Business.NEW, (), "")


def _files(session: Session, document: Document, main: DocumentFile | None) -> list[DocumentFile]:
    """The file as it was signed; with a document of our own its attachments."""
    if document.direction != "outgoing":
        return [main] if main else []
    beside = (DocumentFile.document_id == document.id) & (DocumentFile.kind == "attachment") & (DocumentFile.size > 0)
    attachments = session.scalars(select(DocumentFile).where(beside).order_by(DocumentFile.id))
    return [*([main] if main else []), *attachments]


def _signer(session: Session, directory: Directory, document: Document) -> tuple[str, str, str]:
    """Name, position and capacity of who signed it last."""
    signed = (History.document_id == document.id) & (History.action == "sign")
    query = select(History.actor_id, History.acting_for_id, History.data["capacity"].astext).where(signed)
    row = session.execute(query.order_by(History.seq.desc()).limit(1)).one_or_none()
    person = directory.people.get(row[1] or row[0]) if row else None
    if row is None or person is None:
        return "", "", ""
    position = next((m.position for m in person.memberships if m.position), "")
    return person.full_name, position, row[2] or ""


def _type_code(partner: Partner | None, type_id: str, legal: str | None) -> str:
    table = partner.edxml.types if partner and partner.edxml else {}
    return next((code for code, meant in table.items() if meant == type_id), legal or "")


def _priority(partner: Partner | None, urgency: str) -> str:
    table = partner.edxml.priorities if partner and partner.edxml else {}
    return next((code for code, meant in table.items() if meant == urgency), PRIORITIES[Urgency(urgency)])


def _answered(session: Session, document: Document, partner: Partner | None) -> list[Reference]:
    """What it answers: the document itself came from them, or one that it is related to did."""
    answered = select(Document.exchange).join(Relation, Relation.other_id == Document.id)
    answered = answered.where(Relation.document_id == document.id, Relation.kind == "answers")
    came = [e for e in (document.exchange, *session.scalars(answered)) if e]
    return [
        Reference(e["organ_id"], e["document_id"], e.get("number_symbol", ""), _day(e.get("date")))
        for e in came
        if partner is not None and e["organ_id"].casefold() in (o.casefold() for o in partner.organ_ids)
    ]


def _day(told: str | None) -> date | None:
    return date.fromisoformat(told) if told else None
