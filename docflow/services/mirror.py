"""What a board outside may show of a document: its number and the stages behind it, and nothing personal.

The board is sheddable: it may miss steps, be rebuilt, or be away; no correctness hangs on it.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from docflow.db.models import Document, FlowRun, History
from docflow.domain.errors import NotFound
from docflow.domain.lifecycle import State


@dataclass(frozen=True, slots=True)
class Shown:
    """One state of a run; ``type`` is RUNNING, COMPLETED or CANCELLED, ``seq`` the history row it stands for."""

    seq: int
    type: str
    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is left to show of one document, oldest first."""

    document_id: UUID
    label: str
    run_id: UUID | None
    steps: tuple[Shown, ...]

    def shed(self) -> "Sheet":
        """Only where it stands now, for when there is more to tell than time."""
        return replace(self, steps=self.steps[-1:])


class Board(Protocol):
    def begin(self, document_id: UUID, label: str) -> UUID:
        """The run of this document, made where there is none yet. Raises Unavailable."""

    def show(self, run_id: UUID, step: Shown) -> None:
        """Raises NotFound where the run is gone, Unavailable where nobody answers."""

    def rename(self, run_id: UUID, label: str) -> None: ...


LEFT = {
    State.REGISTER: "Registered",
    State.ASSIGN: "Assigned",
    State.REVIEW: "Reviewed",
    State.SIGN: "Signed",
    State.DISPATCH: "Dispatched",
}
BROKEN_OFF = {State.RETURNED: "Returned", State.REJECTED: "Rejected", State.RECALLED: "Recalled"}


def shown(seq: int, action: str, state_from: str | None, state_to: str, at: datetime) -> Shown:
    """A change of state in history as the board calls it."""
    to = State(state_to)
    if to in BROKEN_OFF:
        return Shown(seq, "CANCELLED", BROKEN_OFF[to], at)
    if to is State.CLOSED:
        return Shown(seq, "COMPLETED", "Dispatched" if action in ("settle", "dispatch") else "Closed", at)
    if state_from is None:
        return Shown(seq, "RUNNING", "Received", at)
    return Shown(seq, "RUNNING", "Refused" if action == "refuse" else LEFT[State(state_from)], at)


def sheets(session: Session, document_ids: list[UUID]) -> list[Sheet]:
    """What the board does not know yet of these documents."""
    told = func.coalesce(FlowRun.mirrored_seq, 0)
    changes: dict[UUID, list[Shown]] = defaultdict(list)
    query = (
        select(History.document_id, History.seq, History.action, History.state_from, History.state_to, History.at)
        .join(FlowRun, FlowRun.document_id == History.document_id, isouter=True)
        .where(History.document_id.in_(document_ids), History.seq > told)
        .where(History.state_from.is_distinct_from(History.state_to))
        .order_by(History.document_id, History.seq)
    )
    for document_id, seq, action, state_from, state_to, at in session.execute(query):
        changes[document_id].append(shown(seq, action, state_from, state_to, at))
    rows = session.execute(
        select(Document.id, Document.book, Document.book_year, Document.number, FlowRun.run_id)
        .join(FlowRun, FlowRun.document_id == Document.id, isouter=True)
        .where(Document.id.in_(document_ids))
    )
    return [Sheet(i, label(i, book, year, number), run, tuple(changes[i])) for i, book, year, number, run in rows]


def label(document_id: UUID, book: str | None, year: int | None, number: int | None) -> str:
    return f"{book}-{year}-{number}" if number is not None else str(document_id)


def tell(board: Board, sheet: Sheet) -> UUID | None:
    """Bring the board up to date and return the run; None where there is nothing to tell.

    A repeat shows the same states again, which is harmless. No transaction may be open.
    """
    if not sheet.steps:
        return sheet.run_id
    run_id = sheet.run_id or board.begin(sheet.document_id, sheet.label)
    try:
        _show(board, run_id, sheet)
    except NotFound:
        run_id = board.begin(sheet.document_id, sheet.label)
        _show(board, run_id, sheet)
    return run_id


def _show(board: Board, run_id: UUID, sheet: Sheet) -> None:
    for step in sheet.steps:
        board.show(run_id, step)
    if sheet.run_id is not None and sheet.label != str(sheet.document_id):
        board.rename(run_id, sheet.label)


def remember(session: Session, sheet: Sheet, run_id: UUID, now: datetime) -> None:
    """How far the board has been told; an older word never takes back a newer one."""
    seq = sheet.steps[-1].seq if sheet.steps else 0
    row = insert(FlowRun).values(document_id=sheet.document_id, run_id=run_id, mirrored_seq=seq, updated_at=now)
    newer: dict[str, Any] = {
        "run_id": run_id,
        "mirrored_seq": func.greatest(FlowRun.mirrored_seq, row.excluded.mirrored_seq),
        "updated_at": now,
    }
    session.execute(row.on_conflict_do_update(index_elements=[FlowRun.document_id], set_=newer))


FORGET = text(
    """
UPDATE flow_run f SET mirrored_seq = 0, updated_at = :now
FROM document d WHERE d.id = f.document_id AND d.ended_at IS NULL
"""
)
ENQUEUE_OPEN = text(
    """
INSERT INTO outbox (topic, document_id, seq, state, created_at, available_at, attempts, last_error)
SELECT 'mirror', d.id, d.seq, d.state, :now, :now, 0, '' FROM document d
WHERE d.ended_at IS NULL
  AND NOT EXISTS (SELECT FROM outbox o WHERE o.document_id = d.id AND o.topic = 'mirror' AND o.dead_at IS NULL)
"""
)


def rebuild(session: Session, now: datetime) -> int:
    """Have all open documents told anew. Returns how many were put in the queue."""
    session.execute(FORGET, {"now": now})
    return int(session.execute(ENQUEUE_OPEN, {"now": now}).rowcount)  # type: ignore[attr-defined]
