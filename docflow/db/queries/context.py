"""Everything a decision on one document needs, read in one statement, so that all of it is of one instant."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from docflow.db.raw import one_line, raw
from docflow.domain.calendars import Calendars
from docflow.domain.configuration import Configuration
from docflow.domain.lifecycle import State, TaskRole, TaskState
from docflow.domain.roles import Role
from docflow.domain.snapshot import Clock, ClockKind, Pause, Snapshot, Task

_SQL = """
SELECT to_jsonb(d) - 'search' || jsonb_build_object(
       'tasks', (SELECT jsonb_agg(to_jsonb(t)) FROM task t
                  WHERE t.document_id = d.id AND t.state IN ('open', 'waiting')),
       'clocks', (SELECT jsonb_agg(to_jsonb(c)) FROM clock c
                   WHERE c.document_id = d.id AND c.stopped_at IS NULL),
       'first', (SELECT to_jsonb(i) FROM idempotency i WHERE i.actor_id = {actor} AND i.key = {key}),
       'directory_version', (SELECT version FROM directory_stamp),
       'calendar_version', (SELECT calendar_version FROM config_version ORDER BY number DESC LIMIT 1),
       'readers', (SELECT jsonb_agg(r.principal) FROM document_reader r WHERE r.document_id = d.id)) AS context
  FROM document d WHERE d.id {which}
"""
CONTEXT = one_line(_SQL.format(which="= $1", actor="$2", key="$3"))

# The document is locked and not the clock: a person's move takes them in that order too, and nobody waits in a ring.
DUE = one_line(
    """
WITH due AS MATERIALIZED (
  SELECT d.id FROM clock c JOIN document d ON d.id = c.document_id
  WHERE c.next_fire_at <= $1 AND c.next_fire_at IS NOT NULL AND c.stopped_at IS NULL
  ORDER BY c.next_fire_at LIMIT $2 FOR NO KEY UPDATE OF d SKIP LOCKED)
"""
    + _SQL.format(which="= ANY (ARRAY(SELECT id FROM due))", actor="NULL", key="NULL")
)


@dataclass(frozen=True, slots=True)
class Context:
    """``row`` is the document's row; ``first`` the stored answer to the same Idempotency-Key, if any."""

    row: dict[str, Any]
    readers: frozenset[UUID]
    directory_version: int
    first: Mapping[str, Any] | None


def load_context(session: Session, document_id: UUID, actor_id: UUID | None, key: str | None) -> Context | None:
    found = raw(session).execute(CONTEXT, (document_id, actor_id, key)).fetchone()
    return None if found is None else context_of(found[0])


def context_of(row: dict[str, Any]) -> Context:
    for name in _UUIDS:
        row[name] = _uuid(row[name])
    for name in _INSTANTS:
        row[name] = _instant(row[name])
    readers = frozenset(UUID(r) for r in row["readers"] or ())
    return Context(row, readers, row["directory_version"], row["first"])


_UUIDS = (
    "id",
    "owner_unit_id",
    "created_by",
    "duplicate_of",
    "main_file_id",
    "answer_file_id",
    "pinned_file_id",
    "signed_file_id",
    "sealed_file_id",
)
_INSTANTS = (
    "held_at",
    "ended_at",
    "due_at",
    "overdue_at",
    "dispatched_at",
    "registered_at",
    "stage_since",
    "archived_at",
)
_COPIED = (
    "id",
    "version",
    "seq",
    "chain_hash",
    "step",
    "round",
    "step_needed",
    "step_agreed",
    "held_at",
    "direction",
    "owner_unit_id",
    "created_by",
    "urgency",
    "secrecy",
    "answer_required",
    "trusted",
    "issuer_address",
    "book",
    "number",
    "notation",
    "main_file_id",
    "answer_file_id",
    "pinned_file_id",
    "signed_file_id",
    "sealed_file_id",
    "dispatched_at",
    "due_at",
    "stage_since",
    "archived_at",
    "calendar_version",
    "handlers_named",
)


def claim_due(session: Session, now: datetime, most: int) -> list[Context]:
    """The documents of up to ``most`` clocks whose next step is due, locked until the transaction ends.

    What another worker holds is left out.
    """
    return [context_of(row) for (row,) in raw(session).execute(DUE, (now, most)).fetchall()]


def snapshot_of(row: Mapping[str, Any], configuration: Configuration, calendars: Calendars) -> Snapshot:
    return Snapshot(
        **{name: row[name] for name in _COPIED},
        state=State(row["state"]),
        duplicate=row["duplicate_of"] is not None,
        doc_type=row["document_type"],
        recipients=tuple(row["recipients"]),
        route=configuration.route(row["route"]),
        configuration=configuration,
        calendars=calendars,
        tasks=tuple(_task(t) for t in row["tasks"] or ()),
        clocks=tuple(_clock(c) for c in row["clocks"] or ()),
    )


def _uuid(value: str | None) -> UUID | None:
    return None if value is None else UUID(value)


def _instant(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _task(t: Mapping[str, Any]) -> Task:
    return Task(
        id=UUID(t["id"]),
        role=TaskRole(t["role"]),
        state=TaskState(t["state"]),
        user_id=_uuid(t["user_id"]),
        unit_id=_uuid(t["unit_id"]),
        pool_role=Role(t["pool_role"]) if t["pool_role"] else None,
        step=t["step"],
        round=t["round"],
        assigned_by=_uuid(t["assigned_by"]),
        parent_id=_uuid(t["parent_id"]),
        due_at=_instant(t["due_at"]),
        directive=t["directive"],
        claimed=t["claimed"],
    )


def _clock(c: Mapping[str, Any]) -> Clock:
    return Clock(
        id=UUID(c["id"]),
        task_id=_uuid(c["task_id"]),
        policy=c["policy"],
        allowance=c["allowance"],
        ladder=c["ladder"],
        started_at=datetime.fromisoformat(c["started_at"]),
        due_at=datetime.fromisoformat(c["due_at"]),
        paused_at=_instant(c["paused_at"]),
        fired={int(step): times for step, times in c["fired"].items()},
        kind=ClockKind(c["kind"]),
        calendar=c["calendar"],
        calendar_version=c["calendar_version"],
        pause_reason=c["pause_reason"],
        pauses=tuple(_pause(p) for p in c["pauses"]),
        next_fire_at=_instant(c["next_fire_at"]),
    )


def _pause(p: Mapping[str, str]) -> Pause:
    return Pause(datetime.fromisoformat(p["from"]), datetime.fromisoformat(p["to"]), p["reason"])
