"""The supervisor's: history across documents, and the proof that it holds."""

from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import READ, Calling, Reader, answer, require_role
from docflow.api.bodies import json_bytes, parse
from docflow.api.documents import start_of
from docflow.api.paging import Cursor, Limit, Pages, page
from docflow.api.representations import history_json, when
from docflow.db.queries.history import HistoryFilters, search_history
from docflow.domain.commands import Command
from docflow.domain.roles import Role
from docflow.services.audit import verify

router = APIRouter(prefix="/api/v1", tags=["audit"])


@dataclass(frozen=True, slots=True)
class Asking:
    document_id: UUID | None = None
    actor: Annotated[str | None, Query(max_length=200, description="Username or id")] = None
    acting_for: Annotated[str | None, Query(max_length=200, description="Username or id")] = None
    action: Annotated[str | None, Query(max_length=30)] = None
    source: Annotated[str | None, Query(max_length=10)] = None
    since: Annotated[date | None, Query(alias="from", ge=date(1900, 1, 1), le=date(2999, 12, 31))] = None
    to: Annotated[date | None, Query(ge=date(1900, 1, 1), le=date(2999, 12, 31))] = None


def _filters(asking: Asking, reader: Reader, zone: str) -> HistoryFilters:
    return HistoryFilters(
        document_id=asking.document_id,
        actor_id=_someone(reader, asking.actor),
        acting_for_id=_someone(reader, asking.acting_for),
        action=asking.action,
        source=asking.source,
        since=start_of(asking.since, zone),
        before=start_of(asking.to + timedelta(days=1) if asking.to else None, zone),
    )


def _someone(reader: Reader, name: str | None) -> UUID | None:
    """Also those who are active no more: their deeds stay."""
    if name is None:
        return None
    found = reader.directory.by_username.get(name)
    return found.id if found is not None else reader.directory.person(name).id


@router.get("/audit/history", responses=openapi.problems(403, 422))
def get_audit_history(
    call: Calling, asking: Annotated[Asking, Depends()], limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """Newest first, of all documents in the supervisor's scope."""
    pages = Pages(call.container.settings, "audit", asdict(asking))
    with call.container.sessions.begin() as session:
        reader = call.reader(session)
        require_role(reader, Role.SUPERVISOR)
        zone = call.container.pictures.newest(session)[1].calendar.zone
        found = search_history(session, reader.sight, _filters(asking, reader, zone), pages.read(cursor), limit + 1)
        items = [history_json(r) for r in found[:limit]]
    following = None
    if len(found) > limit:
        last = found[limit - 1]
        following = pages.write([last.at.isoformat(), last.document_id, last.seq])
    return answer(page(items, following))


class Verify(Command):
    """All documents, or one."""

    document_id: UUID | None = None


@router.post(
    "/audit/verify",
    responses=openapi.problems(400, 403, 413, 422),
    openapi_extra=openapi.change(openapi.json_body(Verify, {"everything": {}}, required=False)),
)
def post_verify(call: Calling, raw: Annotated[bytes, Depends(json_bytes)]) -> Response:
    """Walk the hash chains and replay history against what is stored; `problems` names every break."""
    with call.container.sessions.begin() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})
        identity = call.identify(session, READ)
        wanted = parse(Verify, raw)
        require_role(call.reader_as(session, identity, wanted), Role.SUPERVISOR)
        found = verify(session, wanted.document_id)
    body: dict[str, Any] = {
        "whole": not found.problems,
        "documents": found.documents,
        "rows": found.rows,
        "problems": found.problems,
        "verified_at": when(call.now),
    }
    return answer(body)
