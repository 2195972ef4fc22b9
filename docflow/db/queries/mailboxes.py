"""Where the mails of a mailbox stand in the ledger."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Row, bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Session

from docflow.db.models import Intake, MailboxMark, MailboxProof

LYING = text(
    """
SELECT a.id, a.place, a.moved_to, a.raw_sha256, coalesce(i.message_id, '') AS message_id
FROM arrival a JOIN intake i ON i.id = a.intake_id
WHERE a.channel = 'mailbox' AND a.source = :name AND a.place <> '' AND a.id > :after AND a.received_at >= :since
ORDER BY a.id LIMIT 1000
"""
)
AT_PLACE = text(
    """
SELECT a.raw_sha256, i.state FROM arrival a JOIN intake i ON i.id = a.intake_id
WHERE a.channel = 'mailbox' AND a.source = :name AND a.place = :place
"""
)
PLACES = text(
    """
SELECT place FROM arrival WHERE channel = 'mailbox' AND source = :name AND place = ANY(:places)
UNION SELECT moved_to FROM arrival WHERE channel = 'mailbox' AND source = :name AND moved_to = ANY(:places)
"""
)
MOVED = text(
    "UPDATE arrival SET moved_to = :to WHERE channel = 'mailbox' AND source = :name AND place = :place AND place <> ''"
)
SAME_BYTES = text(
    """
SELECT a.place, a.moved_to FROM arrival a
WHERE a.channel = 'mailbox' AND a.source = :name AND a.raw_sha256 = :sha256 AND a.place <> '' ORDER BY a.id
"""
)
PROOF = text(
    """
INSERT INTO mailbox_proof AS p (id, mailbox, day, made_at, held, known, recovered, agreed, findings)
VALUES (:id, :mailbox, :day, :made_at, :held, :known, :recovered, :agreed, :findings)
ON CONFLICT (mailbox, day) DO UPDATE SET
    made_at = excluded.made_at, held = excluded.held, known = excluded.known, agreed = excluded.agreed,
    recovered = p.recovered + excluded.recovered,
    findings = (SELECT coalesce(jsonb_agg(f), '[]') FROM jsonb_array_elements(p.findings) f
                WHERE f->>'what' = 'recovered') || excluded.findings
"""
).bindparams(bindparam("findings", type_=JSONB))


def lock_mark(session: Session, name: str) -> MailboxMark:
    """The mailbox's row, made where there is none yet."""
    fresh = {"name": name, "last_uid": 0, "troubles": {}, "last_error": ""}
    session.execute(insert(MailboxMark).values(fresh).on_conflict_do_nothing())
    return session.scalars(select(MailboxMark).where(MailboxMark.name == name).with_for_update()).one()


def at_place(session: Session, name: str, place: str) -> tuple[str, str] | None:
    """The hash of what lay there and the state of its letter."""
    row = session.execute(AT_PLACE, {"name": name, "place": place}).one_or_none()
    return (row.raw_sha256, row.state) if row else None


def set_moved_to(session: Session, name: str, place: str, to: str) -> None:
    session.execute(MOVED, {"name": name, "place": place, "to": to})


def lying(session: Session, name: str, since: datetime, after: object) -> Sequence[Row[Any]]:
    """Arrivals since then, by id, a thousand at a time."""
    return session.execute(LYING, {"name": name, "since": since, "after": after}).all()


def known_places(session: Session, name: str, places: Collection[str]) -> set[str]:
    """Those of them where an arrival lay or lies."""
    return set(session.scalars(PLACES, {"name": name, "places": list(places)}))


def arrivals_of(session: Session, name: str, sha256: str) -> Sequence[Row[Any]]:
    """Where mails of these bytes arrived in this mailbox, and where they went."""
    return session.execute(SAME_BYTES, {"name": name, "sha256": sha256}).all()


def holds_bytes(session: Session, sha256: str) -> bool:
    """Whether a letter of these bytes came in, however."""
    query = text("SELECT EXISTS (SELECT FROM arrival WHERE raw_sha256 = :sha256)")
    return bool(session.scalar(query, {"sha256": sha256})) or bool(
        session.scalar(select(Intake.id).where(Intake.raw_sha256 == sha256).limit(1))
    )


def proof_exists(session: Session, name: str, day: date) -> bool:
    query = select(MailboxProof.id).where(MailboxProof.mailbox == name, MailboxProof.day == day)
    return session.scalar(query) is not None


def write_proof(session: Session, row: Mapping[str, Any]) -> None:
    session.execute(PROOF, dict(row))
