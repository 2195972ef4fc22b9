"""Documents of ours as messages to the partners they go to."""

from datetime import date, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from docflow.db.models import Delivery, Document, History, Relation
from docflow.domain.configuration import Configuration
from docflow.domain.directory import Directory
from docflow.domain.edxml import Attached, Business, EdxmlMessage, Organ, Reference
from docflow.domain.partners import Partner, addressed
from docflow.domain.timing import Urgency
from docflow.services.dispatch import claim_ids
from docflow.services.earlier import sent_before
from docflow.services.exchange_out import Letter, organ_of
from docflow.services.parcels import Enclosed, Parcel, parcels_of
from docflow.services.pictures import Pictures

PRIORITIES = {Urgency.ORDINARY: "0", Urgency.URGENT: "1", Urgency.VERY_URGENT: "2", Urgency.FLASH: "3"}
"""Where a partner has no table of its own."""
SUCCESSORS = {
    "replaces": (Business.REPLACE, "Thay thế văn bản"),
    "corrects": (Business.UPDATE, "Đính chính văn bản"),
    "updates": (Business.UPDATE, "Cập nhật văn bản"),
}


def claim_documents(
    session: Session, pictures: Pictures, worker: str, now: datetime, *, most: int
) -> list[tuple[Parcel, Letter]]:
    ids = claim_ids(session, ("edxml",), worker, now, most=most)
    if not ids:
        return []
    _, configuration = pictures.newest(session)
    rows = session.execute(
        select(Delivery, Document).join(Document, Document.id == Delivery.document_id).where(Delivery.id.in_(ids))
    )
    known = {delivery.id: (delivery, document) for delivery, document in rows}
    directory = pictures.directory(session)
    return [
        (parcel, _letter(session, configuration, directory, *known[parcel.id], parcel.files))
        for parcel in parcels_of(session, ids)
    ]


def _letter(
    session: Session,
    configuration: Configuration,
    directory: Directory,
    delivery: Delivery,
    document: Document,
    files: tuple[Enclosed, ...],
) -> Letter:
    partner = addressed(configuration.partners, delivery.address)
    business, concerns, reason = _business(session, delivery, partner)
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


def _business(session: Session, delivery: Delivery, partner: Partner | None) -> tuple[Business, tuple[str, ...], str]:
    """New, or what it does to a document that the same partner has."""
    if delivery.kind == "recall":
        same = (History.document_id == delivery.document_id) & (History.action == "recall")
        newest = select(History.data["reason"].astext).where(same).order_by(History.seq.desc()).limit(1)
        return Business.REVOKE, (delivery.message_id,), session.scalar(newest) or ""
    names = {delivery.address.casefold()}
    if partner is not None:
        names |= {partner.name.casefold(), *(code.casefold() for code in partner.organ_ids)}
    found = sent_before(session, delivery.document_id, SUCCESSORS, func.lower(Delivery.address).in_(names))
    if found is None:
        return Business.NEW, (), ""
    kind, message_id, notation = found
    business, words = SUCCESSORS[kind]
    return business, (message_id,), f"{words} {notation}" if notation else words


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
