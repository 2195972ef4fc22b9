"""A mail that could be read becomes a document, as the first rule that fits says."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from docflow.domain.consequences import NewFile
from docflow.domain.mail_rules import MailRule
from docflow.domain.timing import Urgency
from docflow.services import acknowledging, bounces, linking
from docflow.services.asked import Asked
from docflow.services.documents import NewDocument, create
from docflow.services.files import new_file, record_blob
from docflow.services.letters import Admitted, StoredPart, TakenIn, quarantined
from docflow.services.mail_facts import choose
from docflow.services.pictures import Pictures
from docflow.services.ports import ParsedMail

NO_SUBJECT = "(không có trích yếu)"


def admit(session: Session, pictures: Pictures, taken: TakenIn, mail: ParsedMail, asked: Asked) -> Admitted:
    """A report settles a delivery; what a program answered us without a file is noted; everything else is a document,
    with a receipt for its sender and a tie to what it answers. What a clerk releases is a document in any case."""
    _, configuration = pictures.newest(session)
    engine = replace(asked, user_id=None, key=None)
    if mail.report is not None and mail.automatic and not taken.released:
        return bounces.take(session, pictures, taken, mail, engine)
    match = linking.find(session, configuration, taken, mail)
    if match is not None and mail.automatic and not taken.parts and not taken.released:
        linking.note_automatic(session, pictures, match, mail.message_id, engine)
        return Admitted("linked", match.document_id, "automatic_answer", "A program answered a mail we sent.")
    chosen = choose(configuration, taken, mail)
    rule, refused = chosen.rule, chosen.refusal(configuration.intake.unknown_sender)
    if refused is not None and not taken.released:
        return quarantined(refused.code, refused.message)
    for part in taken.parts:
        record_blob(session, part.stored, asked.now)
    new = _metadata(mail, rule).model_copy(update=dict(taken.mended))
    receipt = acknowledging.receipt(session, pictures, configuration, taken, mail, secrecy=new.secrecy, now=asked.now)
    moved = create(
        session,
        pictures,
        new,
        _files(taken),
        engine,
        trusted=chosen.trusted,
        electronic=receipt.owed,
        rule=_named(rule) if rule else None,
        data=_answers(match),
        deliveries=(receipt.delivery,) if receipt.delivery else (),
    )
    document_id = UUID(moved.answer["id"])
    if match is not None:
        linking.answered(session, pictures, match, document_id, engine)
    return Admitted("document", document_id, rule=rule.name if rule else None)


def _answers(match: linking.Match | None) -> dict[str, Any]:
    return {"answers": str(match.document_id)} | linking.told(match) if match else {}


def _metadata(mail: ParsedMail, rule: MailRule | None) -> NewDocument:
    then = rule.then if rule else None
    return NewDocument(
        direction="incoming",
        route=then.route if then else None,
        subject=(mail.subject or NO_SUBJECT)[:500],
        document_type=(then.type if then else None) or "cong_van",
        urgency=(then.urgency if then else None) or Urgency.ORDINARY,
        issuer=(mail.sender_name or mail.sender)[:200],
        issuer_address=mail.sender[:320],
        owner_unit=then.unit if then else None,
        description=mail.text.strip()[:500],
    )


def _files(taken: TakenIn) -> tuple[NewFile, ...]:
    """The first PDF is the main file, else the first attachment, else the mail itself."""
    parts = sorted(taken.parts, key=lambda p: p.media_type != "application/pdf")
    return intake_files([*parts, StoredPart("thu.eml", "message/rfc822", taken.raw)])


def intake_files(parts: list[StoredPart]) -> tuple[NewFile, ...]:
    """The first is the main file."""
    return tuple(
        new_file(
            p.stored, kind="attachment" if index else "main", name=p.name, media_type=p.media_type, origin="intake"
        )
        for index, p in enumerate(parts)
    )


def _named(rule: MailRule) -> dict[str, Any]:
    """What the rule names for the stages: the book, and the handlers as the assign stage takes them."""
    handlers: list[dict[str, Any]] = []
    deadline = str(rule.then.deadline) if rule.then.deadline else None
    if rule.then.main:
        main = {"role": "main", **rule.then.main.model_dump(exclude_none=True)}
        handlers.append(main | ({"deadline": deadline} if deadline else {}))
    handlers += [{"role": "co", **a.model_dump(exclude_none=True)} for a in rule.then.co]
    book = {"book": rule.then.book} if rule.then.book else {}
    return {"name": rule.name, "handlers": handlers, **book}
