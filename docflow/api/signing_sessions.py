"""Signatures in two phases, by keys that lie elsewhere: prepare, sign the digest there, finish."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from sqlalchemy.orm import Session
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import READ, WRITE, Call, Calling, Reader, answer, find, once
from docflow.api.bodies import json_bytes, parse
from docflow.api.representations import ROOT, utc, when
from docflow.db.models import SigningSession
from docflow.domain.errors import SessionOver
from docflow.services import signing_sessions as sessions
from docflow.services.asked import Asked
from docflow.services.signing_sessions import Finish, Start
from docflow.services.transition import Moved

router = APIRouter(prefix="/api/v1/documents/{document_id}/signing", tags=["actions"])
Raw = Annotated[bytes, Depends(json_bytes)]

START = {
    "the person": {"certificate": "MIIDqTCCApGgAwIBAgIU…", "capacity": "KT.", "note": "Ký thay Chủ tịch"},
    "the agency": {"certificate": "-----BEGIN CERTIFICATE-----\n…", "purpose": "seal"},
}
FINISH = {"signed": {"signature": "pXQ5vUe1kmZs3O0…"}}


@router.post(
    "",
    status_code=201,
    responses=openapi.problems(400, 403, 404, 409, 412, 413, 415, 422),
    openapi_extra=openapi.change(openapi.json_body(Start, START), match=True),
)
def post_signing(call: Calling, document_id: UUID, raw: Raw) -> Response:
    """Prepare the document's signature, or its seal, for a key that docflow does not hold.

    The key signs `to_sign` (its SHA-256 is `digest`) before `expires_at`; for a seal, that of each file under
    `attachments`, too. A change of the document voids it.
    """
    container = call.container
    with container.sessions.begin() as session:
        reader = _reader(session, call, document_id, WRITE)
        start = parse(Start, raw)
        asked = call.asked_again(reader, start)
        work = sessions.begin(session, container.pictures, document_id, start, asked)
    if isinstance(work, Moved):
        return _created(work.answer, repeated=True)
    prepared = sessions.prepare(container.workshop, work, start, call.now)

    def make(free: Asked) -> dict[str, Any]:
        return session_json(sessions.open_session(session, work, prepared, start, free), call)

    with container.sessions.begin() as session:
        body, repeated = once(session, asked, make)
    return _created(body, repeated=repeated)


def _created(body: dict[str, Any], *, repeated: bool) -> Response:
    return answer(body, 201, repeated=repeated, location=body["href"])


@router.get("/{session_id}", responses=openapi.problems(403, 404))
def get_signing(call: Calling, document_id: UUID, session_id: UUID) -> Response:
    """A signature in preparation of one's own."""
    with call.container.sessions.begin() as session:
        reader = _reader(session, call, document_id, READ)
        body = session_json(sessions.find_session(session, document_id, session_id, reader.asked), call)
    return answer(body)


@router.put(
    "/{session_id}",
    responses=openapi.problems(400, 403, 404, 409, 412, 413, 415, 422),
    openapi_extra=openapi.change(openapi.json_body(Finish, FINISH), match=True),
)
def put_signing(call: Calling, document_id: UUID, session_id: UUID, raw: Raw) -> Response:
    """Finish it. The signed file is stored only once it verifies; then the document moves as by `sign` or `seal`."""
    container = call.container
    with container.sessions.begin() as session:
        reader = _reader(session, call, document_id, WRITE)
        sessions.find_session(session, document_id, session_id, reader.asked)
        finish = parse(Finish, raw)
        asked = call.asked_again(reader, finish)
        what = sessions.waiting(session, container.pictures, document_id, session_id, asked)
    if isinstance(what, sessions.Waiting):
        made = sessions.complete(container.workshop, what, finish)
        with container.sessions.begin() as session:
            moved = sessions.conclude(session, container.pictures, what, made, asked)
    else:
        moved = what
    if isinstance(moved, SessionOver):
        raise moved
    container.waker.wake()
    return answer(utc(moved.answer), version=moved.answer["version"], repeated=moved.repeated)


@router.delete("/{session_id}", responses=openapi.problems(403, 404), openapi_extra=openapi.change())
def delete_signing(call: Calling, document_id: UUID, session_id: UUID) -> Response:
    """Give it up; the document stays as it is."""
    with call.container.sessions.begin() as session:
        reader = _reader(session, call, document_id, WRITE)
        body = session_json(sessions.give_up(session, document_id, session_id, reader.asked), call)
    return answer(body)


def _reader(session: Session, call: Call, document_id: UUID, scope: str) -> Reader:
    """Whoever may not see the document hears nothing of what was sent."""
    reader = call.reader(session, scope)
    find(session, reader, document_id)
    return reader


def session_json(row: SigningSession, call: Call) -> dict[str, Any]:
    main, *attachments = (_piece_json(facts) for facts in row.facts["pieces"])
    return {
        "id": str(row.id),
        "session": str(row.id),
        "document_id": str(row.document_id),
        "purpose": row.purpose,
        "state": sessions.state_of(row, call.now),
        **main,
        "attachments": attachments,
        "created_at": when(row.created_at),
        "expires_at": when(row.expires_at),
        "ended_at": when(row.ended_at),
        "href": f"{ROOT}/documents/{row.document_id}/signing/{row.id}",
    }


def _piece_json(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "file": facts["file"],
        "digest": facts["digest"],
        "digest_algorithm": "sha256",
        "to_sign": facts["to_sign"],
        "signature_algorithm": facts["algorithm"],
    }
