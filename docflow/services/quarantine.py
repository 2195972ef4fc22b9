"""What a clerk decides on a letter in quarantine: it becomes a document or a part of one, is read anew, or rejected.

The ledger's row is locked while one decides: of two clerks at once the second is told what the first one did.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, cast
from uuid import UUID

from pydantic import AfterValidator, StringConstraints
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from docflow.db.models import Blob, Intake
from docflow.domain.audit import instant
from docflow.domain.commands import Command, Reason, clean_text
from docflow.domain.consequences import NewFile
from docflow.domain.directory import Person
from docflow.domain.errors import Duplicate, Forbidden, IllegalTransition, IntegrityFailure, Invalid, NotFound
from docflow.services import admission
from docflow.services.admit_mail import NO_SUBJECT
from docflow.services.asked import Asked
from docflow.services.documents import Metadata, Short
from docflow.services.files import new_file, upload
from docflow.services.intake import Kind, Received, Tools, admit, settle, take_again
from docflow.services.intake_notices import told_enough
from docflow.services.letters import Admitted, LooseFile, StoredPart, TakenIn, quarantined
from docflow.services.pictures import Pictures
from docflow.services.ports import StoredObject

RAW = {"mail": ("thu.eml", "message/rfc822"), "edxml": ("van-ban.edxml", "application/xml")}
UNREAD = "application/octet-stream"


class Release(Metadata):
    """What is left out stays as the letter and the rules say. ``subject`` and the rest are as of a new document."""

    subject: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500), AfterValidator(clean_text)
    ] = NO_SUBJECT
    route: Short | None = None
    owner_unit: Short | None = None

    def said(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.model_fields_set}


class Reject(Command):
    reason: Reason


class Link(Command):
    document_id: UUID


@dataclass(frozen=True, slots=True)
class Held:
    """Where a letter's bytes lie, and how it came."""

    raw: StoredObject
    envelope: dict[str, Any]
    kind: Kind


def held(session: Session, pictures: Pictures, intake_id: UUID, action: str) -> Held:
    """Raises NotFound; IllegalTransition where somebody decided already, or nobody had to."""
    row = session.get(Intake, intake_id, populate_existing=True)
    _require_held(session, pictures, row, action)
    assert row is not None
    size = session.scalar(select(Blob.size).where(Blob.sha256 == row.raw_sha256))
    return Held(StoredObject(row.raw_sha256, size or 0), row.envelope, cast(Kind, row.kind))


def read_again(tools: Tools, letter: Held) -> TakenIn:
    """With today's scanner and reader; no transaction is open meanwhile."""
    try:
        return take_again(tools, letter.raw, letter.envelope, letter.kind)
    except NotFound as error:
        raise IntegrityFailure(
            "The stored letter is missing. Restore it from a backup; its record is right.", sha256=letter.raw.sha256
        ) from error


def release(
    session: Session, pictures: Pictures, intake_id: UUID, taken: TakenIn, command: Release, asked: Asked
) -> Received:
    """A document is made of it, whatever stood against it but a virus; of what cannot be read the raw bytes are the
    main file. Raises Invalid for a virus and for what no document can be, Duplicate where it became one already."""
    row = _locked(session, pictures, intake_id, "release")
    person = _person(session, pictures, asked)
    _require_no_virus(row, taken)
    if command.secrecy > person.clearance:
        raise Forbidden("You may not enter a document that is more secret than you are cleared for.")
    twin = _twin(session, row, taken)
    if twin is not None and twin.document_id is not None:
        raise Duplicate("The same letter became a document already. Link it to that one.", of=str(twin.document_id))
    vouched = replace(_of_raw(row, taken), released=True)
    vouched = replace(vouched, mended={**vouched.mended, **command.said()})
    facts = {"intake": str(row.id), "released_by": _named(person)} | _instead(session, pictures, asked)
    admitted = admission.admit(session, pictures, row.id, vouched, replace(_own(asked), facts=facts))
    if admitted.state == "quarantine":
        raise Invalid(f"No document can be made of it: {admitted.reason}", reason_code=admitted.reason_code)
    found = {"state": admitted.state, "document_id": admitted.document_id, "rule": admitted.rule}
    _decide(session, pictures, row, asked, "release", **found)
    return Received(row.id, admitted.state, admitted.document_id)


def reparse(session: Session, pictures: Pictures, intake_id: UUID, taken: TakenIn, asked: Asked) -> Received:
    """As if it came in now: it becomes a document, belongs to one, or stays for a reason that may be another."""
    row = _locked(session, pictures, intake_id, "reparse")
    if taken.scan is None:
        _require_no_virus(row, taken)
    why = {"reason_code": row.reason_code, "reason": row.reason}
    twin = _twin(session, row, taken)
    if twin is None:
        _tell_anew(session, row, taken)
        person = _person(session, pictures, asked)
        facts = {"reparsed_by": _named(person)} | _instead(session, pictures, asked)
        admitted = admit(session, pictures, row.id, taken, replace(_own(asked), facts=facts))
    else:
        admitted = _as(twin)
        settle(session, row.id, admitted)
    if admitted.state == "document":
        _decide(session, pictures, row, asked, "reparse", **why)
    elif admitted.state == "linked":
        _decide(session, pictures, row, asked, "reparse")
    return Received(row.id, admitted.state, admitted.document_id, admitted.reason, admitted.reason_code)


def link(
    session: Session, pictures: Pictures, intake_id: UUID, document_id: UUID, taken: TakenIn, asked: Asked
) -> Received:
    """The letter and its files become attachments of a document (action ``attach``)."""
    row = _locked(session, pictures, intake_id, "link")
    _require_no_virus(row, taken)
    files = [(part.stored, _attachment(part)) for part in _brought(row, taken)]
    told = replace(asked, key=None, if_match=None, facts={"intake": str(row.id)})
    upload(session, pictures, document_id, files, told)
    _decide(session, pictures, row, asked, "link", state="linked", document_id=document_id)
    return Received(row.id, "linked", document_id)


def _brought(row: Intake, taken: TakenIn) -> tuple[StoredPart, ...]:
    """The raw letter and its files; of a batch scan only the part it is about."""
    of_batch = isinstance(taken.content, LooseFile) and taken.content.part > 0
    return taken.parts if of_batch else (_raw_part(row, taken), *taken.parts)


def reject(session: Session, pictures: Pictures, intake_id: UUID, reason: str, asked: Asked) -> Received:
    """It stays in the ledger with its bytes; nothing is made of it."""
    row = _locked(session, pictures, intake_id, "reject")
    _decide(session, pictures, row, asked, f"reject: {reason}", state="rejected")
    return Received(row.id, "rejected", None, row.reason, row.reason_code)


def _locked(session: Session, pictures: Pictures, intake_id: UUID, action: str) -> Intake:
    row = session.get(Intake, intake_id, populate_existing=True, with_for_update={"key_share": True})
    _require_held(session, pictures, row, action)
    assert row is not None
    return row


def _require_held(session: Session, pictures: Pictures, row: Intake | None, action: str) -> None:
    if row is None:
        raise NotFound("There is no such letter. List them under /api/v1/intake.")
    if row.state == "quarantine":
        return
    why = "It was never in quarantine."
    if row.decided_at is not None:
        person = pictures.directory(session).people.get(row.decided_by) if row.decided_by else None
        who = _named(person) if person else "Somebody"
        why = f"{who} decided on it at {instant(row.decided_at)}: {row.decision}."
    raise IllegalTransition(row.state, action, [], why)


def _person(session: Session, pictures: Pictures, asked: Asked) -> Person:
    assert asked.user_id is not None, "a clerk decides"
    return pictures.directory(session).people[asked.user_id]


def _instead(session: Session, pictures: Pictures, asked: Asked) -> dict[str, str]:
    """The absent clerk whom the person stands in for."""
    if not asked.acting_for:
        return {}
    return {"acting_for": _named(pictures.directory(session).person(asked.acting_for))}


def _named(person: Person) -> str:
    return f"{person.full_name} ({person.username})"


def _own(asked: Asked) -> Asked:
    """What follows is guarded by the ledger's row, not by the conditions of the request."""
    return replace(asked, key=None, if_match=None)


def _require_no_virus(row: Intake, taken: TakenIn) -> None:
    """What was found before holds until a scanner says otherwise."""
    scan = taken.scan.state if taken.scan else row.scan
    if scan == "infected":
        found = taken.scan.found if taken.scan else row.reason
        raise Invalid(
            f"It holds a virus: {found}. It never becomes part of a document. Reject it and warn the sender; where "
            "the scanner was wrong, mend its signatures and have the letter read anew.",
            reason_code="virus",
        )


def _twin(session: Session, row: Intake, taken: TakenIn) -> Intake | None:
    """The letter that this one turns out to be, now that it is read anew."""
    same = (Intake.content_key == taken.content_key) & (Intake.id != row.id)
    return session.scalar(select(Intake).where(same))


def _as(twin: Intake) -> Admitted:
    if twin.document_id is not None:
        return Admitted("linked", twin.document_id, "duplicate", "The same letter became this document before.")
    return quarantined(
        "duplicate", f"The same letter is in the ledger as {twin.id}. Decide there, and reject this one."
    )


def _tell_anew(session: Session, row: Intake, taken: TakenIn) -> None:
    told = admission.told_of(taken)
    row.content_key, row.scan = taken.content_key, taken.scan.state if taken.scan else ""
    row.message_id, row.sender, row.subject = told["message_id"], told["sender"], told["subject"]
    row.defects = json.loads(told["defects"])
    session.flush()


def _of_raw(row: Intake, taken: TakenIn) -> TakenIn:
    """What cannot be read is a file; the ledger may still know who sent it."""
    if taken.content is not None:
        return taken
    part = _raw_part(row, taken)
    known: Mapping[str, Any] = {
        "subject": row.subject[:500] or NO_SUBJECT,
        "issuer": row.sender[:200],
        "issuer_address": row.sender if row.kind == "mail" else "",
    }
    return replace(taken, content=LooseFile(part.name, part.media_type), mended=known)


def _raw_part(row: Intake, taken: TakenIn) -> StoredPart:
    if isinstance(taken.content, LooseFile):
        return StoredPart(taken.content.name or "tep", taken.content.media_type, taken.raw)
    name, media_type = RAW.get(row.kind, (str(row.envelope.get("name") or "tep"), UNREAD))
    return StoredPart(name, media_type, taken.raw)


def _attachment(part: StoredPart) -> NewFile:
    return new_file(part.stored, kind="attachment", name=part.name, media_type=part.media_type, origin="intake")


def _decide(session: Session, pictures: Pictures, row: Intake, asked: Asked, decision: str, **values: Any) -> None:
    decided = {"decided_at": asked.now, "decided_by": asked.user_id, "decision": decision}
    session.execute(update(Intake).where(Intake.id == row.id).values(**decided, **values))
    told_enough(session, pictures, row.id, asked.now)
