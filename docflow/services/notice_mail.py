"""Notifications by mail: one letter a person, at once or as the day's digest.

The queue holds no words. They are written when the letter leaves, so that it tells nothing its reader may no longer
see, and nothing they have read meanwhile. No transaction is open while it travels.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, delete, text, update
from sqlalchemy.orm import Session

from docflow.db.models import NoticeMail, Notification
from docflow.db.queries.passing_on import Told, mailed_notices
from docflow.domain.directory import Directory, Person
from docflow.domain.errors import DeliveryFailed, DocflowError, Invalid
from docflow.domain.notices import collected_sentence
from docflow.services.backoff import LEASE, delay_after
from docflow.services.carry import House
from docflow.services.notices import sights_of
from docflow.services.pictures import Pictures
from docflow.services.ports import OutgoingMail
from docflow.services.telling import absent_of, words_of

MOST_ATTEMPTS = 24
"""Three days and some hours: no reminder is lost over a weekend on which the mail server is away."""
MOST_LINES = 200
_SUBJECT = 150  # characters

CLAIM = text(
    """
UPDATE notice_mail m SET next_attempt_at = :until, attempts = m.attempts + 1, claimed_by = :worker
FROM (SELECT id FROM notice_mail WHERE state = 'queued' AND next_attempt_at <= :now
      ORDER BY next_attempt_at, id LIMIT :most FOR UPDATE SKIP LOCKED) due
WHERE m.id = due.id
RETURNING m.id, m.user_id, m.digest, m.message_id, m.attempts
"""
)
Claimed = Row[UUID, UUID, bool, str, int]


@dataclass(frozen=True, slots=True)
class Line:
    """``path`` is where it is shown, below the address of the office."""

    kind: str
    text: str
    instead_of: str
    path: str


@dataclass(frozen=True, slots=True)
class Letter:
    """Everything the mail needs, read in one go."""

    id: UUID
    message_id: str
    attempts: int
    digest: bool
    name: str
    address: str
    lines: tuple[Line, ...]


def claim(session: Session, pictures: Pictures, worker: str, now: datetime, *, most: int = 20) -> list[Letter]:
    """Take up to ``most`` mails that are due for the length of a lease; what has nothing left to tell is dropped."""
    claimed: Sequence[Claimed] = session.execute(
        CLAIM, {"worker": worker, "now": now, "until": now + LEASE, "most": most}
    ).all()
    if not claimed:
        return []
    directory = pictures.directory(session)
    people = {row.user_id for row in claimed}
    told = mailed_notices(session, sights_of(directory, people, now), [row.id for row in claimed])
    lines = _lines(session, pictures, directory, told)
    letters = [_letter(row, directory.people.get(row.user_id), lines.get(row.id, [])) for row in claimed]
    _drop(session, [row.id for row, letter in zip(claimed, letters, strict=True) if letter is None])
    return [letter for letter in letters if letter is not None]


def _lines(
    session: Session, pictures: Pictures, directory: Directory, told: Sequence[Told]
) -> Mapping[UUID, list[Line]]:
    zone = pictures.current_calendars(session)[1].for_units().zone
    found: dict[UUID, list[Line]] = defaultdict(list)
    for one in told:
        if one.mail_id is not None and one.seen and one.read_at is None:
            absent = absent_of(one, directory)
            words = words_of(one, zone).vietnamese
            found[one.mail_id].append(Line(one.kind, words, absent.full_name if absent else "", _path(one)))
    return found


def _path(told: Told) -> str:
    if told.document_id is not None:
        return f"/documents/{told.document_id}"
    letter = told.data.get("intake")
    return f"/intake/{letter}" if letter else "/intake"


def _letter(row: Claimed, person: Person | None, lines: list[Line]) -> Letter | None:
    """None where nobody is left to be told, or nothing to tell."""
    mail_id, _, digest, message_id, attempts = row
    if person is None or not person.active or not person.email or not lines:
        return None
    return Letter(mail_id, message_id, attempts, digest, person.full_name, person.email, tuple(lines))


def _drop(session: Session, mails: list[UUID]) -> None:
    if mails:
        session.execute(update(Notification).where(Notification.mail_id.in_(mails)).values(mail_id=None))
        session.execute(delete(NoticeMail).where(NoticeMail.id.in_(mails)))


def compose(letter: Letter, house: House, base_url: str) -> OutgoingMail:
    """``base_url`` is the office as its people reach it."""
    shown, left = letter.lines[:MOST_LINES], len(letter.lines) - MOST_LINES
    parts = [f"Kính gửi: {letter.name}", *(_paragraph(line, base_url) for line in shown)]
    if left > 0:
        parts.append(f"… và {left} thông báo khác: {base_url.rstrip('/')}")
    parts.append(f"{house.name}\nThư này được gửi tự động, đề nghị không trả lời.")
    return OutgoingMail(
        message_id=letter.message_id,
        sender=house.address,
        recipient=letter.address,
        subject=_subject(letter),
        body="\n\n".join(parts) + "\n",
        headers=(("Auto-Submitted", "auto-generated"), ("X-Auto-Response-Suppress", "All")),
    )


def _subject(letter: Letter) -> str:
    if letter.digest:
        return f"Tổng hợp trong ngày: {len(letter.lines)} thông báo"
    if len(letter.lines) > 1:
        return collected_sentence(line.kind for line in letter.lines).vietnamese.rstrip(".")
    said = " ".join("".join(c if c.isprintable() else " " for c in letter.lines[0].text).split())
    return said if len(said) <= _SUBJECT else said[: _SUBJECT - 1] + "…"


def _paragraph(line: Line, base_url: str) -> str:
    instead = f"\n  (thay cho {line.instead_of})" if line.instead_of else ""
    return f"- {line.text}{instead}\n  {base_url.rstrip('/')}{line.path}"


def sent(session: Session, letter: Letter, worker: str, now: datetime) -> None:
    _settle(session, letter, worker, state="sent", settled_at=now, last_error="")


def failed(session: Session, letter: Letter, worker: str, error: DocflowError, now: datetime) -> None:
    """Back into the queue with a growing delay; for good where trying again cannot help."""
    hopeless = isinstance(error, Invalid) or (isinstance(error, DeliveryFailed) and error.permanent)
    if hopeless or letter.attempts >= MOST_ATTEMPTS:
        _settle(session, letter, worker, state="failed", settled_at=now, last_error=error.message[:2000])
        return
    again = now + delay_after(letter.attempts)
    _settle(session, letter, worker, next_attempt_at=again, last_error=error.message[:2000])


def _settle(session: Session, letter: Letter, worker: str, **values: object) -> None:
    """Nothing where the claim was lost meanwhile: somebody else sends it, with the same Message-ID."""
    mine = (NoticeMail.id == letter.id) & (NoticeMail.claimed_by == worker) & (NoticeMail.state == "queued")
    session.execute(update(NoticeMail).where(mine).values(**values, claimed_by=None))
