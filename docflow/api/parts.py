"""The parts of a document: history, deadlines, tasks, urgings, relations."""

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from docflow.api import explained, openapi
from docflow.api.asking import Calling, answer, find, reading_as
from docflow.api.chasing import consultation_json, urged_json, urging_json
from docflow.api.paging import Cursor, Limit, Pages, page
from docflow.api.representations import (
    brief_json,
    document_lateness,
    history_json,
    task_json,
    when,
)
from docflow.db.queries.chasing import opinions_given, urged, urgings_of
from docflow.db.queries.documents import tasks_of
from docflow.db.queries.history import history_of
from docflow.services.consultations import consultations
from docflow.services.deadlines import explain
from docflow.services.linking import relations_of
from docflow.services.transition import picture, read

router = APIRouter(prefix="/api/v1/documents/{document_id}", tags=["parts of a document"])


@router.get("/history", responses=openapi.problems(403, 404, 422))
def get_history(call: Calling, document_id: UUID, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Oldest first. `prev_hash` and `hash` chain the rows."""
    pages = Pages(call.container.settings, "history", str(document_id))
    with call.container.sessions.begin() as session:
        find(session, call.reader(session), document_id)
        after = pages.read(cursor) or [0]
        rows = history_of(session, document_id, after=int(after[0]), limit=limit + 1)
        items = [history_json(r) for r in rows[:limit]]
    following = pages.write([items[-1]["seq"]]) if len(rows) > limit else None
    return answer(page(items, following))


@router.get("/deadlines", responses=explained.RESPONSE | openapi.problems(403, 404))
def get_deadlines(call: Calling, document_id: UUID) -> Response:
    """What every clock stands at, and why: running ones first, then those that stopped."""
    with call.container.sessions.begin() as session:
        reader = call.reader(session)
        seen = find(session, reader, document_id)
        asked = reading_as(reader, seen)
        context = read(session, document_id, asked)
        pictures = call.container.pictures
        snapshot, _ = picture(session, pictures, context, asked)
        clocks = explain(session, pictures, snapshot, call.now)
        document = seen.document
        body = {
            "document_id": str(document_id),
            "due_at": when(document.due_at),
            **document_lateness(document, call.now),
            "held": document.held_at is not None,
            "zone": snapshot.calendars.by_name("").zone.key,
            "items": [explained.deadline_json(clock, reader.directory) for clock in clocks],
        }
    return answer(body, version=seen.document.version)


@router.get("/tasks", responses=openapi.problems(403, 404))
def get_tasks(call: Calling, document_id: UUID) -> Response:
    """Who has, and had, what to do, and how often they were urged; oldest first. Beside them how each consultation
    stands, with every answer."""
    with call.container.sessions.begin() as session:
        reader = call.reader(session)
        seen = find(session, reader, document_id)
        rows, counts = tasks_of(session, document_id), urged(session, document_id)
        asked = consultations(rows)
        said = opinions_given(session, document_id) if asked else {}
        people, now = reader.directory, call.now
        items = [task_json(t, seen.document, people, now) | {"urged": urged_json(counts.get(t.id, {}))} for t in rows]
        beside_them = [consultation_json(c, said, seen.document, people, now) for c in asked]
    return answer(page(items, None) | {"consultations": beside_them}, version=seen.document.version)


@router.get("/urgings", responses=openapi.problems(403, 404))
def get_urgings(call: Calling, document_id: UUID) -> Response:
    """Who was urged (đôn đốc) by whom, and how; oldest first. `urged_by` is null where a deadline's ladder did it."""
    with call.container.sessions.begin() as session:
        reader = call.reader(session)
        seen = find(session, reader, document_id)
        items = [urging_json(u, t, reader.directory) for u, t in urgings_of(session, document_id)]
    return answer(page(items, None), version=seen.document.version)


@router.get("/relations", responses=openapi.problems(403, 404))
def get_relations(call: Calling, document_id: UUID) -> Response:
    """Documents that this one answers, replaces, updates, revokes, repeats or has to do with, and those that do so
    to it (`outward` false); oldest first, without those that are not yours to see."""
    with call.container.sessions.begin() as session:
        reader = call.reader(session)
        seen = find(session, reader, document_id)
        related = relations_of(session, reader.sight, document_id)
        items = [
            {"kind": kind, "outward": outward, "at": when(at), "document": brief_json(document, call.now)}
            for kind, outward, at, document in related
        ]
    return answer(page(items, None), version=seen.document.version)
