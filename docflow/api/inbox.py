"""My work: open tasks, nearest deadline first, and what I was told."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from sqlalchemy import func, update
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import WRITE, Calling, answer
from docflow.api.bodies import json_bytes, parse
from docflow.api.paging import Cursor, Limit, Pages, page
from docflow.api.representations import inbox_json, notification_json
from docflow.db.models import Document, Notification
from docflow.db.queries.inbox import notifications_of, open_tasks, sources_of
from docflow.db.queries.visible import visible
from docflow.domain.commands import Nothing
from docflow.domain.errors import NotFound

router = APIRouter(prefix="/api/v1", tags=["my work"])


@router.get("/inbox", responses=openapi.problems(403, 422))
def get_inbox(call: Calling, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """My open tasks, those of the pools I belong to, and (`acting_for`) those of people I stand in for."""
    pages = Pages(call.container.settings, "inbox")
    with call.container.sessions.begin() as session:
        reader = call.reader(session)
        sources = sources_of(reader.directory, reader.person, call.now)
        rows = open_tasks(session, reader.sight, list(sources), pages.read(cursor), limit + 1)
        absent = list(sources.values())
        items = [
            inbox_json(task, document, absent[source], reader.directory, call.now)
            for task, document, source in rows[:limit]
        ]
    following = None
    if len(rows) > limit:
        last = rows[limit - 1][0]
        following = pages.write([last.due_at.isoformat() if last.due_at else None, last.id])
    return answer(page(items, following))


@router.get("/notifications", responses=openapi.problems(403, 422))
def get_notifications(call: Calling, unread: bool = False, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Newest first."""
    pages = Pages(call.container.settings, "notifications", unread)
    with call.container.sessions.begin() as session:
        reader = call.reader(session)
        after = pages.read(cursor)
        last = UUID(after[0]) if after else None
        rows = notifications_of(session, reader.sight, reader.person.id, unread=unread, after=last, limit=limit + 1)
        items = [notification_json(n, d) for n, d in rows[:limit]]
    return answer(page(items, pages.write([items[-1]["id"]]) if len(rows) > limit else None))


@router.post(
    "/notifications/{notification_id}/read",
    status_code=204,
    responses=openapi.problems(400, 403, 404, 413, 422),
    openapi_extra=openapi.change(openapi.json_body(Nothing, {"nothing to say": {}}, required=False)),
)
def read_notification(call: Calling, notification_id: UUID, raw: Annotated[bytes, Depends(json_bytes)]) -> Response:
    """Mark it read; a repeat changes nothing."""
    with call.container.sessions.begin() as session:
        identity = call.identify(session, WRITE)
        parse(Nothing, raw)
        reader = call.reader_as(session, identity)
        mine = (Notification.id == notification_id) & (Notification.user_id == identity.user_id)
        of_seen = (Document.id == Notification.document_id) & visible(reader.sight)
        first_time = func.coalesce(Notification.read_at, call.now)
        marked = update(Notification).where(mine, of_seen).values(read_at=first_time).returning(Notification.id)
        if session.scalar(marked) is None:
            raise NotFound("You have no such notification.")
    return Response(status_code=204)
