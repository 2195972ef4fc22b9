"""What was signed or issued cannot be deleted: its lock in the object store.

``claim`` takes due rows, ``keep`` locks one file with no transaction open and reads the lock back, ``record`` writes
what was seen. A row says what shall be, so that a repeat changes nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from docflow.db.queries import retention as rows
from docflow.db.queries.retention import Due
from docflow.domain.errors import DocflowError, IntegrityFailure, Unsupported
from docflow.services.backoff import LEASE, MOST_ATTEMPTS, delay_after
from docflow.services.ports import LockState, ObjectStore

AGAIN = timedelta(days=1)
"""Between tries once a file could not be locked ``MOST_ATTEMPTS`` times, which ``docflow doctor`` tells."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the store was seen to do with a file, or why it does not."""

    due: Due
    state: LockState | None = None
    problem: DocflowError | None = None


def claim(session: Session, worker: str, now: datetime, *, most: int = 20) -> list[Due]:
    return rows.claim(session, worker, now, now + LEASE, most)


def try_unsupported(session: Session, now: datetime) -> int:
    """Queue again what an earlier store could not lock. Returns how many."""
    return len(session.execute(rows.TRY_UNSUPPORTED, {"now": now}).all())


def keep(store: ObjectStore, due: Due, now: datetime) -> Kept:
    try:
        return Kept(due, state=_kept(store, due, now))
    except DocflowError as error:
        return Kept(due, problem=error)


def _kept(store: ObjectStore, due: Due, now: datetime) -> LockState:
    """Raises Unsupported, NotFound, Unavailable, and IntegrityFailure where the store says yes and does not do it."""
    if not store.locks():
        raise Unsupported("The object store does not lock objects. See 'docflow doctor'.")
    locked = due.wanted_until > now
    if locked:
        store.lock(due.sha256, due.wanted_until)
    if due.wanted_hold or due.held:
        store.hold(due.sha256, due.wanted_hold)
    seen = store.lock_state(due.sha256)
    enough = seen.until is not None and seen.until >= due.wanted_until.replace(microsecond=0)
    if (locked and not enough) or (due.wanted_hold and not seen.held):
        raise IntegrityFailure(
            "The object store took the lock and does not show it. Check its version and its bucket.", sha256=due.sha256
        )
    return seen


def record(session: Session, kept: Kept, worker: str, now: datetime) -> str | None:
    """The row's state from now on; None where the claim was lost meanwhile."""
    due = kept.due
    mine = {"sha256": due.sha256, "worker": worker}
    if kept.state is not None:
        wanted = {"wanted_until": due.wanted_until, "wanted_hold": due.wanted_hold}
        seen = {"locked_until": kept.state.until, "held": kept.state.held, "now": now}
        return session.execute(rows.SEEN, mine | wanted | seen).scalar_one_or_none()
    state, again = _later(kept, now)
    error = kept.problem.message[:2000] if kept.problem else ""
    return session.execute(rows.PUT_OFF, mine | {"state": state, "error": error, "again": again}).scalar_one_or_none()


def _later(kept: Kept, now: datetime) -> tuple[str, datetime]:
    if isinstance(kept.problem, Unsupported):
        return "unsupported", now
    if kept.due.attempts >= MOST_ATTEMPTS:
        return "failed", now + AGAIN
    return "queued", now + delay_after(kept.due.attempts)
