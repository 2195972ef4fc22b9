"""Users, units, substitutions."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from sqlalchemy.orm import Session
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import ADMIN, WRITE, Call, Calling, Reader, answer, once, require_role
from docflow.api.bodies import json_bytes, parse
from docflow.api.paging import Cursor, Limit, Pages, page
from docflow.api.representations import account_json, substitution_json
from docflow.db.models import Substitution, Unit
from docflow.db.queries.people import account, accounts, substitutions
from docflow.domain.directory import Directory
from docflow.domain.errors import Forbidden, Invalid, NotFound
from docflow.domain.roles import Role
from docflow.services.asked import Asked
from docflow.services.people import (
    NewSubstitution,
    NewUnit,
    NewUser,
    UserPatch,
    change_user,
    create_substitution,
    create_unit,
    create_user,
    end_substitution,
)

router = APIRouter(prefix="/api/v1", tags=["administration"])

Raw = Annotated[bytes, Depends(json_bytes)]
NAME = Annotated[str | None, Query(max_length=200)]


def administrator(session: Session, call: Call, *what: Any) -> Reader:
    """Raises Forbidden for anyone but an administrator acting for themselves."""
    identity = call.identify(session, ADMIN)
    reader = call.reader_as(session, identity, *what)
    require_role(reader, Role.ADMIN)
    return reader


def sees_all(reader: Reader) -> bool:
    return reader.person.has(Role.ADMIN)


def user_json(session: Session, reader: Reader, user_id: UUID) -> dict[str, Any]:
    found = account(session, user_id)
    if found is None:
        raise NotFound("There is no such user.")
    return account_json(found, in_full=sees_all(reader) or user_id == reader.person.id)


@router.get("/users", responses=openapi.problems(403, 422))
def get_users(
    call: Calling,
    active: bool | None = None,
    unit: NAME = None,
    role: Role | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """By username. Clearances are for the administrator."""
    pages = Pages(call.container.settings, "users", [active, unit, role])
    with call.container.sessions.begin() as session:
        reader = call.reader(session, None)
        unit_id = reader.directory.unit(unit).id if unit else None
        after = pages.read(cursor)
        found = accounts(
            session, after=after[0] if after else None, limit=limit + 1, active=active, unit_id=unit_id, role=role
        )
        items = [account_json(a, in_full=sees_all(reader) or a.user.id == reader.person.id) for a in found[:limit]]
    return answer(page(items, pages.write([items[-1]["username"]]) if len(found) > limit else None))


@router.get("/users/{user_id}", responses=openapi.problems(403, 404))
def get_user(call: Calling, user_id: UUID) -> Response:
    with call.container.sessions.begin() as session:
        return answer(user_json(session, call.reader(session, None), user_id))


USER = {
    "username": "ngansach3",
    "full_name": "Nguyễn Thị Hoa",
    "email": "ngansach3@binhminh.example",
    "password": "mat-khau-ban-dau",
    "clearance": 0,
    "memberships": [{"unit": "PTCKH-NS", "role": "handler", "position": "Chuyên viên"}],
}


@router.post(
    "/users",
    status_code=201,
    responses=openapi.problems(400, 403, 409, 413, 422),
    openapi_extra=openapi.change(openapi.json_body(NewUser, {"a handler": USER})),
)
def post_user(call: Calling, raw: Raw) -> Response:
    with call.container.sessions.begin() as session:
        reader = administrator(session, call)
        new = parse(NewUser, raw)

        def make(asked: Asked) -> dict[str, Any]:
            return user_json(session, reader, create_user(session, new, call.now).id)

        body, repeated = once(session, call.asked_again(reader, new), make)
    return answer(body, 201, repeated=repeated, location=f"/api/v1/users/{body['id']}")


@router.patch(
    "/users/{user_id}",
    responses=openapi.problems(400, 403, 404, 413, 422),
    openapi_extra=openapi.json_body(UserPatch, {"leave": {"active": False}}),
)
def patch_user(call: Calling, user_id: UUID, raw: Raw) -> Response:
    """Only what is given changes; `memberships` are replaced as a whole."""
    with call.container.sessions.begin() as session:
        reader = administrator(session, call)
        patch = parse(UserPatch, raw)
        change_user(session, user_id, patch)
        body = user_json(session, reader, user_id)
    return answer(body)


def unit_row(unit: Unit, directory: Directory) -> dict[str, Any]:
    heads = directory.processors(unit.id) if unit.id in directory.units else []
    return {
        "id": str(unit.id),
        "code": unit.code,
        "name": unit.name,
        "parent_id": str(unit.parent_id) if unit.parent_id else None,
        "processors": [{"id": str(p.id), "username": p.username, "full_name": p.full_name} for p in heads],
    }


@router.get("/units", responses=openapi.problems(403))
def get_units(call: Calling) -> Response:
    """The whole tree, by code; `processors` receive what is addressed to the unit."""
    with call.container.sessions.begin() as session:
        directory = call.reader(session, None).directory
        rows = sorted(directory.units.values(), key=lambda u: u.code)
        items = [unit_row(Unit(id=u.id, code=u.code, name=u.name, parent_id=u.parent_id), directory) for u in rows]
    return answer(page(items, None))


UNIT = {"code": "PTCKH-KT", "name": "Tổ Kế toán", "parent": "PTCKH"}


@router.post(
    "/units",
    status_code=201,
    responses=openapi.problems(400, 403, 409, 413, 422),
    openapi_extra=openapi.change(openapi.json_body(NewUnit, {"below another": UNIT})),
)
def post_unit(call: Calling, raw: Raw) -> Response:
    with call.container.sessions.begin() as session:
        reader = administrator(session, call)
        new = parse(NewUnit, raw)
        if new.parent is None:
            raise Invalid("The agency has its root unit already. Name the parent.", field="parent")

        def make(asked: Asked) -> dict[str, Any]:
            return unit_row(create_unit(session, new), reader.directory)

        body, repeated = once(session, call.asked_again(reader, new), make)
    return answer(body, 201, repeated=repeated, location="/api/v1/units")


@router.get("/substitutions", responses=openapi.problems(403, 422))
def get_substitutions(call: Calling, current: bool = False, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Newest first: one's own, on either side; all of them for the administrator."""
    pages = Pages(call.container.settings, "substitutions", current)
    with call.container.sessions.begin() as session:
        reader = call.reader(session, None)
        after = pages.read(cursor)
        rows = substitutions(
            session,
            concerning=None if sees_all(reader) else reader.person.id,
            ending_after=call.now if current else None,
            after=UUID(after[0]) if after else None,
            limit=limit + 1,
        )
        items = [substitution_json(r, reader.directory, call.now) for r in rows[:limit]]
    return answer(page(items, pages.write([items[-1]["id"]]) if len(rows) > limit else None))


SUBSTITUTION = {
    "absent": "chutich",
    "substitute": "phochutich1",
    "starts_at": "2026-03-09T00:00:00+07:00",
    "ends_at": "2026-03-14T00:00:00+07:00",
    "reason": "Đi công tác",
}


@router.post(
    "/substitutions",
    status_code=201,
    responses=openapi.problems(400, 403, 413, 422),
    openapi_extra=openapi.change(openapi.json_body(NewSubstitution, {"for a week": SUBSTITUTION})),
)
def post_substitution(call: Calling, raw: Raw) -> Response:
    """Whoever will be absent enters it themselves; the administrator for anyone."""
    with call.container.sessions.begin() as session:
        identity = call.identify(session, WRITE)
        new = parse(NewSubstitution, raw)
        reader = call.reader_as(session, identity, new)
        _require_own(reader, new.absent)
        _require_known(reader.directory, new)

        def make(asked: Asked) -> dict[str, Any]:
            row = create_substitution(session, new, identity.user_id, call.now)
            return substitution_json(row, reader.directory, call.now)

        body, repeated = once(session, reader.asked, make)
    return answer(body, 201, repeated=repeated, location=f"/api/v1/substitutions/{body['id']}")


def _require_own(reader: Reader, absent: str) -> None:
    """Nobody hands on, as a substitute, what was handed to them."""
    if absent not in (reader.person.username, str(reader.person.id)) and not sees_all(reader):
        raise Forbidden("You may enter a substitution for yourself only. Ask the administrator for others.")


def _require_known(directory: Directory, new: NewSubstitution) -> None:
    for field, name in (("absent", new.absent), ("substitute", new.substitute)):
        try:
            directory.person(name)
        except Invalid as error:
            raise Invalid(error.message, field=field) from error


@router.delete("/substitutions/{substitution_id}", responses=openapi.problems(403, 404))
def delete_substitution(call: Calling, substitution_id: UUID) -> Response:
    """It ends now; the record of it stays."""
    with call.container.sessions.begin() as session:
        reader = call.reader(session, WRITE)
        row = session.get(Substitution, substitution_id)
        mine = row is not None and reader.person.id in (row.absent_id, row.substitute_id)
        if row is None or not (mine or sees_all(reader)):
            raise NotFound("There is no such substitution, or it is not yours to see.")
        if row.absent_id != reader.person.id and not sees_all(reader):
            raise Forbidden("Only the absent person or the administrator ends a substitution.")
        ended = end_substitution(session, substitution_id, call.now)
        body = substitution_json(ended, reader.directory, call.now)
    return answer(body)
