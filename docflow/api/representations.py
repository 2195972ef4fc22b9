"""How things look from outside: one function a thing, instants as ISO 8601 in UTC."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

from docflow.db.models import (
    Arrival,
    Delivery,
    Document,
    DocumentFile,
    History,
    Intake,
    MailboxMark,
    MailboxProof,
    Substitution,
    Task,
)
from docflow.db.queries.documents import Beside
from docflow.db.queries.people import Account
from docflow.domain.audit import instant
from docflow.domain.deadlines import overdue
from docflow.domain.directory import Directory, Person, Unit
from docflow.domain.lifecycle import ENDS
from docflow.services.renditions import OFFICE

Json = dict[str, Any]
ROOT = "/api/v1"


def when(at: datetime | None) -> str | None:
    return None if at is None else instant(at)


def day(value: date | None) -> str | None:
    return None if value is None else value.isoformat()


def utc(answer: Json) -> Json:
    """The instants of a move's answer, whatever zone the rule that found them computed in."""
    for name in ("due_at", "ended_at"):
        if answer.get(name):
            answer[name] = instant(datetime.fromisoformat(answer[name]))
    return answer


def person_json(person: Person | None, user_id: UUID | None = None) -> Json | None:
    if person is not None:
        return {"id": str(person.id), "username": person.username, "full_name": person.full_name}
    return {"id": str(user_id)} if user_id else None


def someone(directory: Directory, user_id: UUID | None) -> Json | None:
    return person_json(directory.people.get(user_id) if user_id else None, user_id)


def unit_json(unit: Unit | None, unit_id: UUID | None = None) -> Json | None:
    if unit is not None:
        return {"id": str(unit.id), "code": unit.code, "name": unit.name}
    return {"id": str(unit_id)} if unit_id else None


def some_unit(directory: Directory, unit_id: UUID | None) -> Json | None:
    return unit_json(directory.units.get(unit_id) if unit_id else None, unit_id)


def lateness(due_at: datetime | None, held_at: datetime | None, done_at: datetime | None, now: datetime) -> Json:
    """``overdue``: open past its deadline; ``done_late``: done, but past it. By one rule."""
    late = overdue(due_at, now, paused_at=held_at, done_at=done_at)
    return {"overdue": late and done_at is None, "done_late": late and done_at is not None}


def document_lateness(document: Document, now: datetime) -> Json:
    return lateness(document.due_at, document.held_at, document.ended_at, now)


COPIED = (
    "version",
    "seq",
    "direction",
    "route",
    "config_version",
    "state",
    "step",
    "round",
    "subject",
    "document_type",
    "urgency",
    "secrecy",
    "issuer",
    "issuer_address",
    "number_symbol",
    "book",
    "book_year",
    "number",
    "notation",
    "answer_required",
    "trusted",
    "recipients",
    "details",
)
INSTANTS = ("registered_at", "due_at", "created_at", "updated_at", "ended_at", "dispatched_at", "archived_at")


def document_json(
    document: Document, beside: Beside, directory: Directory, now: datetime, prefect_url: str = ""
) -> Json:
    return {
        "id": str(document.id),
        **{name: getattr(document, name) for name in COPIED},
        **{name: when(getattr(document, name)) for name in INSTANTS},
        "document_date": day(document.document_date),
        "held": document.held_at is not None,
        **document_lateness(document, now),
        "created_by": someone(directory, document.created_by),
        "owner_unit": some_unit(directory, document.owner_unit_id),
        "duplicate_of": str(document.duplicate_of) if document.duplicate_of else None,
        "files": [file_json(document, f) for f in beside.files.get(document.id, ())],
        "flow_run": run_json(beside.runs.get(document.id), prefect_url),
        "links": links(document.id),
    }


def links(document_id: UUID) -> Json:
    own = f"{ROOT}/documents/{document_id}"
    parts = ("actions", "history", "deadlines", "tasks", "urgings", "deliveries", "relations", "signatures", "files")
    return {"self": own} | {part: f"{own}/{part}" for part in parts}


def run_json(run_id: UUID | None, prefect_url: str) -> Json | None:
    """Where Prefect shows the document's way; ``prefect_url`` is its API's address."""
    if run_id is None:
        return None
    page = prefect_url.rstrip("/").removesuffix("/api")
    return {"id": str(run_id), "url": f"{page}/runs/flow-run/{run_id}" if page else None}


def file_json(document: Document, file: DocumentFile) -> Json:
    current = (document.main_file_id, document.answer_file_id, document.signed_file_id)
    own = f"{ROOT}/documents/{document.id}/files/{file.id}"
    return {
        "id": str(file.id),
        "kind": file.kind,
        "version_no": file.version_no,
        "name": file.name,
        "media_type": file.media_type,
        "size": file.size,
        "sha256": file.sha256,
        "origin": file.origin,
        "derived_from": str(file.derived_from) if file.derived_from else None,
        "current": file.kind == "attachment" or file.id in current,
        "created_at": when(file.created_at),
        "links": {"self": own} | {kind: f"{own}?rendition={kind}" for kind in _renditions(file)},
    }


def _renditions(file: DocumentFile) -> tuple[str, ...]:
    made = ("text", "preview", "thumbnail")
    return (*made, "pdf") if file.media_type in OFFICE else made


def task_json(task: Task, document: Document, directory: Directory, now: datetime) -> Json:
    """A document on hold stands still, and so do its tasks."""
    return {
        "id": str(task.id),
        "document_id": str(task.document_id),
        "parent_id": str(task.parent_id) if task.parent_id else None,
        "role": task.role,
        "state": task.state,
        "user": someone(directory, task.user_id),
        "unit": some_unit(directory, task.unit_id),
        "pool_role": task.pool_role,
        "claimed": task.claimed,
        "step": task.step,
        "round": task.round,
        "assigned_by": someone(directory, task.assigned_by),
        "directive": task.directive,
        "due_at": when(task.due_at),
        **lateness(task.due_at, document.held_at, task.closed_at, now),
        "opened_at": when(task.opened_at),
        "closed_at": when(task.closed_at),
        "closed_by": someone(directory, task.closed_by),
        "outcome": task.outcome,
    }


def inbox_json(task: Task, document: Document, acting_for: Person | None, directory: Directory, now: datetime) -> Json:
    return {
        "task": task_json(task, document, directory, now),
        "document": brief_json(document, now),
        "acting_for": person_json(acting_for),
    }


def brief_json(document: Document, now: datetime) -> Json:
    """Enough of a document for a line in a list."""
    names = ("version", "direction", "state", "step", "subject", "document_type", "urgency", "secrecy", "issuer")
    more = ("number_symbol", "book", "number", "notation")
    return {
        "id": str(document.id),
        **{name: getattr(document, name) for name in names + more},
        "due_at": when(document.due_at),
        "held": document.held_at is not None,
        **document_lateness(document, now),
        "ended": document.state in ENDS,
        "links": {"self": f"{ROOT}/documents/{document.id}"},
    }


def delivery_json(delivery: Delivery) -> Json:
    names = ("kind", "recipient", "address", "channel", "state", "message_id", "attempts", "last_error", "answer")
    return {
        "id": str(delivery.id),
        **{name: getattr(delivery, name) for name in names},
        "status_code": delivery.status_code or None,
        "file_id": str(delivery.file_id) if delivery.file_id else None,
        "next_attempt_at": when(delivery.next_attempt_at) if delivery.state == "queued" else None,
        "created_at": when(delivery.created_at),
        "settled_at": when(delivery.settled_at),
    }


def history_json(row: History) -> Json:
    """All that the hash is taken over, in the form it is taken over (``docflow.domain.audit.canonical``)."""
    return {
        "document_id": str(row.document_id),
        "seq": row.seq,
        "at": when(row.at),
        "actor_id": str(row.actor_id) if row.actor_id else None,
        "actor": row.actor,
        "acting_for_id": str(row.acting_for_id) if row.acting_for_id else None,
        "acting_for": row.acting_for,
        "source": row.source,
        "action": row.action,
        "from": row.state_from,
        "to": row.state_to,
        "data": row.data,
        "run_id": row.run_id,
        "request_id": row.request_id,
        "prev_hash": row.prev_hash,
        "hash": row.hash,
    }


def account_json(account: Account, *, in_full: bool) -> Json:
    """Clearance and locks are for the administrator and the person themselves."""
    user = account.user
    own: Mapping[str, Any] = {"clearance": user.clearance, "created_at": when(user.created_at)} if in_full else {}
    return {
        "id": str(user.id),
        "username": user.username,
        "full_name": user.full_name,
        "email": user.email,
        "active": user.active,
        "capacity": user.capacity or None,
        "memberships": [
            {
                "unit": {"id": str(unit.id), "code": unit.code, "name": unit.name},
                "role": m.role,
                "position": m.position,
                "authorised_processor": m.authorised_processor,
            }
            for m, unit in account.memberships
        ],
        **own,
    }


def substitution_json(row: Substitution, directory: Directory, now: datetime) -> Json:
    until = row.ended_at or row.ends_at
    return {
        "id": str(row.id),
        "absent": someone(directory, row.absent_id),
        "substitute": someone(directory, row.substitute_id),
        "starts_at": when(row.starts_at),
        "ends_at": when(row.ends_at),
        "ended_at": when(row.ended_at),
        "active": row.starts_at <= now < until,
        "roles": row.roles,
        "reason": row.reason,
        "created_by": someone(directory, row.created_by),
        "created_at": when(row.created_at),
    }


def intake_json(row: Intake, directory: Directory, *, readable: bool) -> Json:
    """Where the document is not the reader's to see, neither is what the letter said."""
    told = readable or row.document_id is None
    own = f"{ROOT}/intake/{row.id}"
    return {
        "id": str(row.id),
        "kind": row.kind,
        "channel": row.channel,
        "state": row.state,
        "reason_code": row.reason_code,
        "reason": row.reason,
        "scan": row.scan or None,
        "rule": row.rule,
        "message_id": row.message_id if told else None,
        "sender": row.sender if told else None,
        "subject": row.subject if told else None,
        "document_id": str(row.document_id) if row.document_id and told else None,
        "repeats": row.repeats,
        "defects": row.defects if told else [],
        "received_at": when(row.received_at),
        "received_by": someone(directory, row.received_by),
        "decision": _decision_json(row, directory),
        "links": {"self": own} | ({"raw": f"{own}/raw"} if told else {}),
    }


def _decision_json(row: Intake, directory: Directory) -> Json | None:
    if row.decided_at is None:
        return None
    action, _, reason = row.decision.partition(": ")
    by = someone(directory, row.decided_by)
    return {"action": action, "reason": reason or None, "by": by, "at": when(row.decided_at)}


def arrival_json(arrival: Arrival) -> Json:
    names = ("channel", "source", "place", "moved_to", "envelope")
    return {
        "id": str(arrival.id),
        **{name: getattr(arrival, name) for name in names},
        "sha256": arrival.raw_sha256,
        "received_at": when(arrival.received_at),
    }


def mailbox_json(mark: MailboxMark) -> Json:
    return {
        "name": mark.name,
        "looked_at": when(mark.looked_at),
        "failing_since": when(mark.failing_since),
        "last_error": mark.last_error,
        "troubles": mark.troubles,
    }


def proof_json(proof: MailboxProof) -> Json:
    names = ("mailbox", "held", "known", "recovered", "agreed", "findings")
    return {
        "id": str(proof.id),
        "day": day(proof.day),
        "made_at": when(proof.made_at),
        **{name: getattr(proof, name) for name in names},
    }
