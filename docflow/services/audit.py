"""Walk every chain and say where history does not hold."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from docflow.db.models import Document, History, Task
from docflow.domain.audit import HistoryRow, chain_problems
from docflow.domain.replay import Replayed, replay

BATCH = 2000


@dataclass(slots=True)
class Verified:
    """``problems`` is empty where every chain is whole and history replays to what is stored."""

    documents: int = 0
    rows: int = 0
    problems: list[str] = field(default_factory=list)


def history_row(row: History) -> HistoryRow:
    return HistoryRow(**{name: getattr(row, name) for name in HistoryRow.__slots__})


def verify(session: Session, document_id: UUID | None = None) -> Verified:
    """Check all documents, or one. Reads in batches: memory does not grow with the archive.

    Run it in a REPEATABLE READ transaction, or moves made meanwhile look like breaks.
    """
    found = Verified()
    rows = groupby(_history(session, document_id), key=lambda r: r.document_id)
    current = next(rows, None)
    for document in _documents(session, document_id):
        chain: list[HistoryRow] = []
        if current is not None and current[0] == document.id:
            chain = list(current[1])
            current = next(rows, None)
        found.documents += 1
        found.rows += len(chain)
        found.problems += [f"{document.id}: {p}" for p in _problems(session, document, chain)]
    return found


def _history(session: Session, document_id: UUID | None) -> Iterator[HistoryRow]:
    query = select(History).order_by(History.document_id, History.seq)
    if document_id is not None:
        query = query.where(History.document_id == document_id)
    for row in session.scalars(query, execution_options={"yield_per": BATCH}):
        yield history_row(row)


def _documents(session: Session, document_id: UUID | None) -> Iterator[Document]:
    query = select(Document).order_by(Document.id)
    if document_id is not None:
        query = query.where(Document.id == document_id)
    yield from session.scalars(query, execution_options={"yield_per": BATCH})


def _problems(session: Session, document: Document, chain: list[HistoryRow]) -> list[str]:
    problems = chain_problems(chain, document.seq, document.chain_hash)
    return problems + _disagreements(session, document, replay(chain))


def _disagreements(session: Session, document: Document, told: Replayed) -> list[str]:
    """Where the stored state is not what history tells."""
    problems = list(told.problems)
    stored = {
        "state": document.state,
        "step": document.step,
        "round": document.round,
        "held": document.held_at is not None,
        "number": document.number,
        "notation": document.notation,
    }
    replayed = {"state": told.state, "held": False, "step": None, "number": None, "notation": None} | told.fields
    problems += [
        f"stored {name} is {value!r}, history tells {replayed.get(name)!r}"
        for name, value in stored.items()
        if replayed.get(name) != value
    ]
    active = (Task.document_id == document.id) & Task.state.in_(("open", "waiting"))
    open_ids = {str(i) for i in session.scalars(select(Task.id).where(active))}
    if open_ids != set(told.tasks):
        problems.append(f"open tasks are {sorted(open_ids)}, history tells {sorted(told.tasks)}")
    return problems
