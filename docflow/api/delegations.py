"""Written delegations to sign."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import Calling, Reader, answer, once
from docflow.api.bodies import json_bytes, parse
from docflow.api.paging import Cursor, Limit, Pages, page
from docflow.api.people import administrator
from docflow.api.representations import Json, day, someone, when
from docflow.db.models import Delegation
from docflow.db.queries.delegations import delegations
from docflow.domain.roles import Role
from docflow.services.asked import Asked
from docflow.services.delegations import NewDelegation, create_delegation, revoke_delegation

router = APIRouter(prefix="/api/v1/delegations", tags=["administration"])

EXAMPLE = {
    "delegator": "chutich",
    "delegate": "chanhvp",
    "capacity": "TUQ.",
    "starts_at": "2026-03-09T00:00:00+07:00",
    "ends_at": "2026-06-09T00:00:00+07:00",
    "document_types": ["giay_moi", "thong_bao"],
    "content": "Ký giấy mời và thông báo về họp của Ủy ban nhân dân",
    "basis": "12/GUQ-UBND",
    "basis_date": "2026-03-06",
}


def _reads_all(reader: Reader) -> bool:
    return reader.person.has(Role.ADMIN) or reader.person.has(Role.SUPERVISOR)


@router.get("", responses=openapi.problems(403, 422))
def get_delegations(call: Calling, current: bool = False, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Newest first: one's own, on either side; all of them for administrators and supervisors."""
    pages = Pages(call.container.settings, "delegations", current)
    with call.container.sessions.begin() as session:
        reader = call.reader(session, None)
        after = pages.read(cursor)
        rows = delegations(
            session,
            concerning=None if _reads_all(reader) else reader.person.id,
            ending_after=call.now if current else None,
            after=UUID(after[0]) if after else None,
            limit=limit + 1,
        )
        items = [delegation_json(row, reader, call) for row in rows[:limit]]
    return answer(page(items, pages.write([items[-1]["id"]]) if len(rows) > limit else None))


@router.post(
    "",
    status_code=201,
    responses=openapi.problems(400, 403, 413, 422),
    openapi_extra=openapi.change(openapi.json_body(NewDelegation, {"for three months": EXAMPLE})),
)
def post_delegation(call: Calling, raw: Annotated[bytes, Depends(json_bytes)]) -> Response:
    """The administrator enters what was delegated in writing. Only an office gives it: whoever signs by delegation
    passes nothing on."""
    with call.container.sessions.begin() as session:
        reader = administrator(session, call)
        new = parse(NewDelegation, raw)
        types = {kind.id for kind in call.container.pictures.newest(session)[1].document_types}

        def make(asked: Asked) -> dict[str, Any]:
            row = create_delegation(session, reader.directory, new, types, reader.person.id, call.now)
            return delegation_json(row, reader, call)

        body, repeated = once(session, call.asked_again(reader, new), make)
    return answer(body, 201, repeated=repeated, location=f"/api/v1/delegations/{body['id']}")


@router.delete("/{delegation_id}", responses=openapi.problems(403, 404))
def delete_delegation(call: Calling, delegation_id: UUID) -> Response:
    """It ends now; the record of it stays."""
    with call.container.sessions.begin() as session:
        reader = administrator(session, call)
        body = delegation_json(revoke_delegation(session, delegation_id, call.now), reader, call)
    return answer(body)


def delegation_json(row: Delegation, reader: Reader, call: Calling) -> Json:
    until = row.revoked_at or row.ends_at
    return {
        "id": str(row.id),
        "delegator": someone(reader.directory, row.delegator_id),
        "delegate": someone(reader.directory, row.delegate_id),
        "capacity": f"{row.capacity}.",
        "starts_at": when(row.starts_at),
        "ends_at": when(row.ends_at),
        "revoked_at": when(row.revoked_at),
        "active": row.starts_at <= call.now < until,
        "document_types": row.document_types,
        "content": row.content,
        "basis": row.basis,
        "basis_date": day(row.basis_date),
        "basis_document": str(row.basis_document_id) if row.basis_document_id else None,
        "created_by": someone(reader.directory, row.created_by),
        "created_at": when(row.created_at),
    }
