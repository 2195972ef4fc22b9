"""My work: open tasks, nearest deadline first."""

from fastapi import APIRouter
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import Calling, answer
from docflow.api.paging import Cursor, Limit, Pages, page
from docflow.api.representations import inbox_json
from docflow.db.queries.inbox import open_tasks, sources_of

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
