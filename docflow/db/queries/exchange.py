"""What we exchange by edXML: which document a message is about, and what waits to be sent."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

CAME = text(
    """
SELECT i.document_id FROM intake i
WHERE i.message_id = ANY(:ids) AND i.kind = 'edxml' AND i.state = 'document' AND lower(i.sender) = ANY(:senders)
ORDER BY i.id DESC LIMIT 1
"""
)
WENT = text(
    """
SELECT v.id, v.document_id, v.kind, v.recipient, v.address, v.state, v.status_code FROM delivery v
WHERE v.message_id = ANY(:ids) AND v.channel = 'edxml' AND lower(v.address) = ANY(:addresses)
ORDER BY v.id
"""
)
NUMBERED = text(
    """
SELECT v.id, v.document_id, v.kind, v.recipient, v.address, v.state, v.status_code
FROM register_entry r JOIN delivery v ON v.document_id = r.document_id
WHERE r.book = ANY(:books) AND r.year = :year AND r.number = :number AND r.notation = :notation
  AND v.channel = 'edxml' AND lower(v.address) = ANY(:addresses)
ORDER BY v.id
"""
)
BY_NUMBER = text(
    """
SELECT r.document_id FROM register_entry r
WHERE r.book = ANY(:books) AND r.year = :year AND r.number = :number AND r.notation = :notation LIMIT 1
"""
)
BY_ID = text("SELECT document_id FROM delivery WHERE message_id = ANY(:ids) AND kind = 'document' LIMIT 1")
RELATE = text(
    """
INSERT INTO document_relation (document_id, other_id, kind, at, by) VALUES (:document, :other, :kind, :now, NULL)
ON CONFLICT DO NOTHING
"""
)
PASSED = text("SELECT seq, action, state_from, state_to, at, data FROM history WHERE document_id = :id ORDER BY seq")
QUEUE = text(
    """
INSERT INTO exchange_message (id, key, document_id, delivery_id, partner, kind, status_code, facts, state, attempts,
                              next_attempt_at, last_error, created_at)
VALUES (:id, :key, :document, NULL, :partner, 'status', :code, CAST(:facts AS jsonb), 'queued', 0, :now, '', :now)
ON CONFLICT (key) DO NOTHING RETURNING id
"""
)

# What is told of one document goes in its order; one that waits to be tried again holds the later ones up.
CLAIM_MESSAGES = text(
    """
UPDATE exchange_message m SET next_attempt_at = :until, attempts = m.attempts + 1, claimed_by = :worker
FROM (SELECT id FROM exchange_message e WHERE state = 'queued' AND next_attempt_at <= :now
        AND NOT EXISTS (SELECT FROM exchange_message b WHERE b.document_id = e.document_id AND b.state = 'queued'
                        AND b.id < e.id)
      ORDER BY next_attempt_at, id LIMIT :most FOR UPDATE SKIP LOCKED) due
WHERE m.id = due.id
RETURNING m.id, m.document_id, m.partner, m.status_code, m.facts, m.attempts, m.created_at
"""
)


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery by edXML."""

    id: UUID
    document_id: UUID
    kind: str
    recipient: str
    address: str
    state: str
    status_code: str


@dataclass(frozen=True, slots=True)
class Step:
    """A row of history."""

    seq: int
    action: str
    state_from: str | None
    state_to: str
    at: datetime
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Number:
    """A number of ours, as a partner quotes it; ``books`` are those it can stand in."""

    year: int
    number: int
    notation: str
    books: Sequence[str]

    @staticmethod
    def of(code: str, year: int, books: Sequence[str]) -> "Number | None":
        digits = code.partition("/")[0]
        known = digits.isascii() and digits.isdigit() and len(digits) <= 9
        return Number(year, int(digits), code, books) if known else None

    def values(self) -> dict[str, Any]:
        return {"year": self.year, "number": self.number, "notation": self.notation, "books": list(self.books)}


def document_that_came(session: Session, senders: Iterable[str], ids: Iterable[str]) -> UUID | None:
    """The newest document that came from one of these agencies under one of these DocumentIds."""
    return _one(session.scalar(CAME, {"ids": list(ids), "senders": [s.casefold() for s in senders]}))


def deliveries_of(session: Session, addresses: Iterable[str], ids: Iterable[str], number: Number | None) -> list[Sent]:
    """What we sent there under one of these DocumentIds, else under this number."""
    to = {"addresses": [a.casefold() for a in addresses]}
    rows = session.execute(WENT, to | {"ids": [i for i in ids if i]}).all()
    if not rows and number is not None:
        rows = session.execute(NUMBERED, to | number.values()).all()
    return [Sent(*row) for row in rows]


def document_of_ours(session: Session, document_id: str, number: Number | None) -> UUID | None:
    """The document that we sent under this DocumentId, else that has this number."""
    found: UUID | None = session.scalar(BY_ID, {"ids": [document_id]}) if document_id else None
    if found is not None or number is None:
        return found
    return _one(session.scalar(BY_NUMBER, number.values()))


def _one(found: UUID | None) -> UUID | None:
    return found


def relate(session: Session, document_id: UUID, other_id: UUID, kind: str, now: datetime) -> None:
    session.execute(RELATE, {"document": document_id, "other": other_id, "kind": kind, "now": now})


def steps_of(session: Session, document_id: UUID) -> list[Step]:
    return [Step(*row) for row in session.execute(PASSED, {"id": document_id})]
