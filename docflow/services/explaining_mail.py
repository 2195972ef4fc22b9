"""What would become of a mail, and why: each rule beside what the mail shows. Nothing is stored or changed."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from docflow.db.models import Intake
from docflow.domain.configuration import Configuration
from docflow.domain.errors import UnsupportedFile
from docflow.domain.mail_rules import Compared, MailRule
from docflow.services import admission
from docflow.services.acknowledging import silent, unanswered
from docflow.services.letters import Refusal, StoredPart, TakenIn
from docflow.services.mail_facts import Chosen, choose
from docflow.services.ports import Inspector, MailAttachment, MailParser, ParsedMail, StoredObject


@dataclass(frozen=True, slots=True)
class Tried:
    """One rule; only the first that fits takes the mail."""

    name: str
    fits: bool
    takes: bool
    criteria: tuple[Compared, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """``state`` is document, linked or quarantine, as the ledger would say; ``sets`` is what the rule says in the words
    of the file; ``mail`` is None where the bytes could not be read."""

    state: str
    reason_code: str
    reason: str
    mail: dict[str, Any] | None = None
    rules: tuple[Tried, ...] = ()
    rule: str | None = None
    sets: dict[str, Any] | None = None
    registered_by_itself: bool = False
    acknowledged: bool = False
    why_no_receipt: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def look(parser: MailParser, inspector: Inspector, path: Path, into: Path, envelope: dict[str, Any]) -> TakenIn:
    """The mail as ``intake.take_in`` would read it, kept nowhere. ``path`` holds the raw bytes; files are written below
    ``into``."""
    with path.open("rb") as data:
        raw = StoredObject(hashlib.file_digest(data, "sha256").hexdigest(), path.stat().st_size)
    taken = TakenIn("mail", raw, envelope)
    if raw.size == 0:
        return taken.refused("empty", "There is nothing in it.")
    try:
        mail = parser.parse(path, into)
    except UnsupportedFile as error:
        return taken.refused(str(error.details.get("reason", "unreadable")), error.message)
    return taken.holding(mail, tuple(_part(inspector, a) for a in mail.attachments if a.size and not a.inline))


def _part(inspector: Inspector, attachment: MailAttachment) -> StoredPart:
    with attachment.path.open("rb") as data:
        kind = inspector.sniff(data).media_type
    return StoredPart(attachment.name, kind, StoredObject(attachment.sha256, attachment.size))


def explain(configuration: Configuration, taken: TakenIn) -> Explanation:
    if not isinstance(taken.content, ParsedMail):
        unread = admission.refusal(taken) or Refusal("unreadable", "It cannot be read.")
        return Explanation("quarantine", unread.code, unread.message)
    mail = taken.content
    chosen = choose(configuration, taken, mail)
    state, refused = _becomes(configuration, taken, mail, chosen)
    silence = unanswered(configuration, taken, mail) or silent(configuration.intake.acknowledge, taken, secrecy=0)
    return Explanation(
        state,
        refused.code if refused else "",
        refused.message if refused else "",
        mail=_read(taken, mail, chosen),
        rules=tuple(_tried(rule, chosen) for rule in configuration.mail_rules),
        rule=chosen.rule.name if chosen.rule else None,
        sets=chosen.rule.then.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
        if chosen.rule
        else None,
        registered_by_itself=state == "document" and chosen.trusted,
        acknowledged=state == "document" and not silence,
        why_no_receipt=silence if state == "document" else "",
    )


def _becomes(
    configuration: Configuration, taken: TakenIn, mail: ParsedMail, chosen: Chosen
) -> tuple[str, Refusal | None]:
    refused = admission.refusal(taken)
    if refused is None and mail.report is not None and mail.automatic:
        return "linked", Refusal("", "It reports on a mail of ours: it belongs to that one, where it is found.")
    refused = refused or chosen.refusal(configuration.intake.unknown_sender)
    return ("quarantine" if refused else "document"), refused


def _tried(rule: MailRule, chosen: Chosen) -> Tried:
    criteria = tuple(rule.when.compared(chosen.facts))
    return Tried(rule.name, all(c.fits for c in criteria), rule is chosen.rule, criteria)


def _read(taken: TakenIn, mail: ParsedMail, chosen: Chosen) -> dict[str, Any]:
    facts = chosen.facts
    return {
        "message_id": mail.message_id,
        "sender": mail.sender,
        "sender_name": mail.sender_name,
        "recipients": list(facts.recipients),
        "plus": list(facts.plus),
        "subject": mail.subject,
        "date": mail.date,
        "size": facts.size,
        "attachments": [{"name": p.name, "media_type": p.media_type, "size": p.stored.size} for p in taken.parts],
        "automatic": mail.automatic,
        "report": mail.report.kind if mail.report else None,
        "defects": list(mail.defects),
        "hazard": mail.hazard.code if mail.hazard else None,
        "partner": facts.partner,
        "authenticated": facts.authenticated,
        "authentication": chosen.sender.reason,
    }


def sentences(told: Explanation) -> list[str]:
    """The outcome in words."""
    lines = [f"Rule: {told.rule or 'none; a clerk decides'}"] if told.mail else []
    if told.sets:
        lines += [f"    {name}: {_worded(value)}" for name, value in told.sets.items()]
    if told.state == "quarantine":
        return [*lines, f"Becomes: quarantine ({told.reason_code}). {told.reason}"]
    if told.state == "linked":
        return [*lines, f"Becomes: a part of another document. {told.reason}"]
    return [*lines, f"Becomes: a document. {_registration(told)} {_receipt(told)}"]


def _registration(told: Explanation) -> str:
    if told.registered_by_itself:
        return "The engine registers it, where its route lets it."
    if told.sets and told.sets.get("trusted"):
        return "A clerk registers it: the rule trusts only a confirmed sender, and this one is not."
    return "A clerk registers it."


def _receipt(told: Explanation) -> str:
    if told.acknowledged:
        return "The sender gets a receipt, up to the day's cap."
    return f"The sender gets no receipt: {told.why_no_receipt}."


def _worded(value: Any) -> str:
    match value:
        case dict():
            return " ".join(f"{name} {one}" for name, one in value.items() if one is not None)
        case list():
            return ", ".join(map(_worded, value))
        case bool():
            return str(value).lower()
    return str(value)


def known_as(session: Session, taken: TakenIn) -> dict[str, str] | None:
    """State and document (or empty) of the same letter in the ledger."""
    row = session.execute(
        select(Intake.state, Intake.document_id).where(Intake.content_key == taken.content_key)
    ).one_or_none()
    return {"state": row.state, "document_id": str(row.document_id or "")} if row else None
