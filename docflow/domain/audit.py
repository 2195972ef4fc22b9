"""The hash chain of a document's history (design §8).

A row's hash is SHA-256 over the RFC 8785 form of its content and the hash before it; the first row follows ``GENESIS``.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One fact of a document's life; ``data`` is JSON without floats, instants are UTC."""

    document_id: UUID
    seq: int
    at: datetime
    actor_id: UUID | None
    actor: str
    acting_for_id: UUID | None
    acting_for: str
    source: str
    action: str
    state_from: str | None
    state_to: str
    data: Mapping[str, Any]
    run_id: str | None
    request_id: str | None
    prev_hash: str
    hash: str


def instant(at: datetime) -> str:
    """The one written form of an instant in history: UTC, microseconds, ``Z``."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def canonical(row: HistoryRow) -> bytes:
    """RFC 8785 JSON of everything in the row but its own hash.

    The standard library writes exactly that for ASCII keys and no floats, which is all history holds, in a tenth of
    the time of a general canonicaliser; a test compares the two.
    """
    return json.dumps(
        {
            "acting_for": row.acting_for,
            "acting_for_id": _text(row.acting_for_id),
            "action": row.action,
            "actor": row.actor,
            "actor_id": _text(row.actor_id),
            "at": instant(row.at),
            "data": dict(row.data),
            "document_id": str(row.document_id),
            "from": row.state_from,
            "prev_hash": row.prev_hash,
            "request_id": row.request_id,
            "run_id": row.run_id,
            "seq": row.seq,
            "source": row.source,
            "to": row.state_to,
        },
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    ).encode()


def row_hash(row: HistoryRow) -> str:
    """64 lower-case hex digits."""
    return sha256(canonical(row)).hexdigest()


def chain_problems(rows: Iterable[HistoryRow], head_seq: int, head_hash: str) -> list[str]:
    """Walk one document's rows in order and name every break; an empty list means the chain is whole."""
    problems: list[str] = []
    expected_seq, previous = 1, GENESIS
    for row in rows:
        if row.seq != expected_seq:
            problems.append(f"row {expected_seq} is missing (found {row.seq})")
        if row.prev_hash != previous:
            problems.append(f"row {row.seq} does not follow the row before it")
        if row.hash != row_hash(row):
            problems.append(f"row {row.seq} was changed")
        expected_seq, previous = row.seq + 1, row.hash
    if expected_seq - 1 != head_seq or previous != head_hash:
        problems.append(f"the chain ends at row {expected_seq - 1}, the document says {head_seq}")
    return problems
