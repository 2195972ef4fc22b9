"""An edXML message becomes a document, a new state of one, or news of one that we sent (QCVN 102:2016)."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from docflow.db.queries import exchange as known
from docflow.domain.configuration import Configuration
from docflow.domain.edxml import EXCHANGE, Business, EdxmlMessage, Status
from docflow.domain.partners import Partner, by_organ
from docflow.domain.routes import Direction
from docflow.domain.timing import Urgency
from docflow.services import exchange, exchange_status, linking
from docflow.services.admit_mail import NO_SUBJECT, intake_files
from docflow.services.asked import Asked
from docflow.services.documents import NewDocument, create
from docflow.services.files import record_blob
from docflow.services.letters import Admitted, Refusal, StoredPart, TakenIn, quarantined
from docflow.services.pictures import Pictures

RELATIONS = {Business.UPDATE: "updates", Business.REPLACE: "replaces"}


@dataclass(frozen=True, slots=True)
class Case:
    """A message with all that is known of its sender; ``senders`` are the codes it may have used before."""

    taken: TakenIn
    message: EdxmlMessage
    configuration: Configuration
    partner: Partner | None

    @property
    def senders(self) -> tuple[str, ...]:
        codes = self.partner.organ_ids if self.partner else ()
        return (self.message.sender.organ_id, *codes)

    @property
    def outgoing_books(self) -> Sequence[str]:
        return [b.code for b in self.configuration.register_books if b.direction is Direction.OUTGOING]


def admit(session: Session, pictures: Pictures, taken: TakenIn, message: EdxmlMessage, asked: Asked) -> Admitted:
    _, configuration = pictures.newest(session)
    case = Case(taken, message, configuration, by_organ(configuration.partners, message.sender.organ_id))
    refused = _refusal(case)
    if refused is not None and not taken.released:
        return quarantined(refused.code, refused.message)
    asked = replace(asked, user_id=None, key=None)
    match message.business, message.status:
        case _, Status() as status:
            return _status(session, pictures, case, status, asked)
        case Business.NEW, _:
            return Admitted("document", _enter(session, pictures, case, None, asked))
    earlier = known.document_that_came(session, case.senders, (*message.concerns, message.document_id))
    if message.business is Business.REVOKE:
        return _take_back(session, pictures, case, earlier, asked)
    if earlier is None and not taken.released:
        return _unknown(message)
    return Admitted("document", _enter(session, pictures, case, earlier, asked))


def _refusal(case: Case) -> Refusal | None:
    """Whoever signs with a partner's secret speaks for that partner only."""
    organ, source = case.message.sender.organ_id, case.taken.envelope.get("source", "")
    signed = [p for p in case.configuration.partners if source and p.edxml is not None and p.edxml.secret == source]
    if signed and case.partner not in signed:
        return Refusal("sender_mismatch", f"It says that {organ} sent it, but '{source}' signed it. Ask both of them.")
    if case.partner is None and case.configuration.intake.unknown_sender == "quarantine":
        return Refusal("unknown_sender", f"No partner has the agency code {organ}. Release it, or add the partner.")
    return None


def _unknown(message: EdxmlMessage) -> Admitted:
    return quarantined(
        "unknown_document",
        f"It is about the document {message.document_id}, which did not come from this sender, or was not sent to it. "
        "Look for it, then reject this message or read it anew.",
    )


def _status(session: Session, pictures: Pictures, case: Case, status: Status, asked: Asked) -> Admitted:
    message = case.message
    ids = (message.document_id, *(a.document_id for a in message.answers))
    if status is Status.TAKE_BACK:
        came = known.document_that_came(session, case.senders, ids)
        if came is not None:
            return _take_back(session, pictures, case, came, asked)
    addresses = (*case.senders, *((case.partner.name,) if case.partner else ()))
    deliveries = known.deliveries_of(session, addresses, ids, _number(case, message))
    if not deliveries:
        return _unknown(message)
    exchange_status.note(session, pictures, deliveries, message, status, asked)
    return Admitted("linked", deliveries[0].document_id)


def _number(case: Case, message: EdxmlMessage) -> known.Number | None:
    about = next((a for a in message.answers if a.code and a.promulgated), None)
    if about is None or about.promulgated is None:
        return None
    return known.Number.of(about.code, about.promulgated.year, case.outgoing_books)


def _take_back(session: Session, pictures: Pictures, case: Case, earlier: UUID | None, asked: Asked) -> Admitted:
    if earlier is None:
        return _unknown(case.message)
    reason = case.message.reason or case.message.status_text
    exchange.ask_back(session, pictures, earlier, case.message.sender.organ_id, reason, asked)
    return Admitted("linked", earlier)


def _enter(session: Session, pictures: Pictures, case: Case, earlier: UUID | None, asked: Asked) -> UUID:
    taken, message = case.taken, case.message
    for part in taken.parts:
        record_blob(session, part.stored, asked.now)
    parts = sorted(taken.parts, key=lambda p: p.media_type != "application/pdf")
    came = _came_with(case, earlier)
    moved = create(
        session,
        pictures,
        record_of(case).model_copy(update=dict(taken.mended)),
        intake_files([*parts, StoredPart("van-ban.edxml", "application/xml", taken.raw)]),
        asked,
        trusted=_trusted(case),
        electronic=True,
        exchange=came,
        data={EXCHANGE: _remarks(case, came)},
    )
    document_id = UUID(moved.answer["id"])
    if message.due is not None:
        exchange.take_over_due(session, pictures, document_id, message.due, asked)
    _relate(session, pictures, case, document_id, earlier, asked)
    return document_id


def _trusted(case: Case) -> bool:
    """Where the partner signed it with its own secret, or a connector brought it that signed in here as one; what
    another program signed, or lay in a folder or a file, may be anybody's."""
    partner, came = case.partner, case.taken.envelope
    if partner is None or not partner.trusted:
        return False
    own = partner.edxml.secret if partner.edxml else None
    return came["channel"] == "api" or (came["channel"] == "webhook" and own is not None and came.get("source") == own)


def _relate(
    session: Session, pictures: Pictures, case: Case, document_id: UUID, earlier: UUID | None, asked: Asked
) -> None:
    addresses = (*case.senders, *((case.partner.name,) if case.partner else ()))
    for reference in case.message.answers:
        year = (reference.promulgated or asked.now).year
        number = known.Number.of(reference.code, year, case.outgoing_books)
        ours = known.document_of_ours(session, reference.document_id, number)
        if ours is not None:
            sent = known.deliveries_of(session, addresses, (reference.document_id,), number)
            asking = next((s.id for s in sent if (s.document_id, s.kind) == (ours, "document")), None)
            match = linking.Match(ours, asking, "document", "reference")
            linking.answered(session, pictures, match, document_id, asked)
    if earlier is not None and case.message.business is not None:
        kind = RELATIONS[case.message.business]
        known.relate(session, document_id, earlier, kind, asked.now)
        exchange.tell_of_successor(session, pictures, earlier, document_id, kind, case.message.reason, asked)


def _came_with(case: Case, earlier: UUID | None) -> dict[str, Any]:
    """What the document keeps of its message: enough to answer it. Every move reads it, so it is short."""
    message = case.message
    business = message.business if message.business is not None else Business.NEW
    told = {
        "number_symbol": message.number_symbol,
        "date": message.promulgated.isoformat() if message.promulgated else "",
        "sender": message.sender.name,
        "priority": message.priority,
        "type_code": message.type_code,
        "type_name": message.type_name,
        "due": message.due.isoformat() if message.due else "",
        "asked": {"wish": RELATIONS[business], "reason": message.reason} if earlier is not None else {},
    }
    return {
        "partner": case.partner.name if case.partner else None,
        "organ_id": message.sender.organ_id,
        "document_id": message.document_id,
        "business": business.name.lower(),
        **{name: value for name, value in told.items() if value},
    }


def _remarks(case: Case, came: dict[str, Any]) -> dict[str, Any]:
    """For history: which message it was, what was odd about it, and what no field has room for."""
    named = {name: came[name] for name in ("partner", "organ_id", "document_id", "business")}
    odd = [*case.message.odd, *_misdirected(case)]
    return named | {"odd": odd, "unknown": dict(case.message.unknown)}


def _misdirected(case: Case) -> list[str]:
    """A document for somebody else is returned (Decree 30/2020 art. 21), by a clerk who has looked at it."""
    to, own = [organ.organ_id for organ in case.message.recipients], case.configuration.agency.code
    if not to or own.casefold() in (organ_id.casefold() for organ_id in to):
        return []
    return [f"it is addressed to {', '.join(to)[:200]}, and not to {own}"]


def record_of(case: Case) -> NewDocument:
    message, partner = case.message, case.partner
    capacity = (message.signer_competence, message.signer_position)
    return NewDocument(
        direction="incoming",
        subject=_cut(message.subject or message.content, 500) or NO_SUBJECT,
        document_type=_type_of(case),
        urgency=_urgency(case),
        issuer=_cut(partner.title if partner else message.sender.name or message.sender.organ_id, 200),
        issuer_address=message.sender.email[:320] if "@" in message.sender.email else "",
        number_symbol=_cut(message.number_symbol, 42),
        document_date=message.promulgated,
        pages=_small(message.pages),
        copies=_small(message.copies),
        signer_name=_cut(message.signer, 50),
        signer_position=_cut(" – ".join(part for part in capacity if part), 100),
        description=_cut(message.content if message.content != message.subject else "", 500),
    )


def _cut(text: str, most: int) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())[:most].strip()


def _small(count: int | None) -> int | None:
    return count if count is not None and count <= 9999 else None


def _urgency(case: Case) -> Urgency:
    table = case.partner.edxml.priorities if case.partner and case.partner.edxml else {}
    return table.get(case.message.priority, Urgency.ORDINARY)


def _type_of(case: Case) -> str:
    """What it is called counts; then the partner's table; then the code of Decree 30/2020 art. 7, as the type or at
    the head of the symbol; then it is an official letter."""
    message, types = case.message, case.configuration.document_types
    name = _cut(message.type_name, 100).casefold()
    named = next((t.id for t in types if t.name.casefold() == name), None)
    table = case.partner.edxml.types if case.partner and case.partner.edxml else {}
    codes = (message.type_code, message.notation.partition("-")[0])
    coded = next((t.id for code in codes if code for t in types if t.code == code), None)
    return named or table.get(message.type_code) or coded or "cong_van"
