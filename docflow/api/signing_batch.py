"""Many documents signed with one PIN."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import WRITE, Call, Calling, answer
from docflow.api.bodies import json_bytes, parse
from docflow.api.errors import status_of
from docflow.api.representations import utc
from docflow.api.signing_moves import sign_pinned
from docflow.domain.commands import Sign
from docflow.domain.errors import DocflowError
from docflow.services import sign
from docflow.services.asked import Asked
from docflow.services.idempotency import first_answer, keep_answer
from docflow.services.signing_batch import Batch, Outcome, SignOne, counted, refuse_conditions, sign_all
from docflow.services.transition import Moved

router = APIRouter(prefix="/api/v1", tags=["actions"])

EXAMPLE = {
    "documents": [
        {"id": "01990000-0000-7000-8000-000000000000", "version": 7},
        {"id": "01990000-0000-7000-8000-000000000001", "capacity": "KT."},
    ],
    "pin": "******",
    "note": "Ký duyệt",
}
BODY = openapi.json_body(Batch, {"batch": EXAMPLE})


@router.post(
    "/signing",
    responses=openapi.problems(400, 403, 413, 415, 422),
    openapi_extra=openapi.change(BODY),
)
def post_batch(call: Calling, raw: Annotated[bytes, Depends(json_bytes)]) -> Response:
    """Sign up to 200 documents. Each has its own result: `signed` with where it is now, or `failed` with its problem.
    After a wrong PIN the rest are not tried."""
    container = call.container
    with container.sessions.begin() as session:
        identity = call.identify(session, WRITE)
        batch = parse(Batch, raw)
        asked = call.asked(identity, batch)
        refuse_conditions(asked)
        first = first_answer(session, asked)
    if first is not None:
        return answer(first, repeated=True)
    outcomes = list(sign_all(batch, asked, _one(call)))
    signed, failed = counted(outcomes)
    told = {"items": [_told(outcome) for outcome in outcomes], "signed": signed, "failed": failed}
    with container.sessions.begin() as session:
        first = first_answer(session, asked)
        if first is None:
            keep_answer(session, asked, told)
    container.waker.wake()
    return answer(first or told, repeated=first is not None)


def _one(call: Call) -> SignOne:
    container = call.container

    def sign_one(document_id: UUID, command: Sign, asked: Asked) -> Moved:
        with container.sessions.begin() as session:
            what = sign.pinned(session, container.pictures, document_id, command, asked)
        return what if isinstance(what, Moved) else sign_pinned(container, what, command, asked)

    return sign_one


def _told(outcome: Outcome) -> dict[str, Any]:
    document_id = str(outcome.document_id)
    if outcome.moved is not None:
        return {"id": document_id, "status": "signed", "document": utc(outcome.moved.answer)}
    assert outcome.problem is not None, "an outcome is one or the other"
    return {"id": document_id, "status": "failed", "problem": problem_json(outcome.problem)}


def problem_json(error: DocflowError) -> dict[str, Any]:
    """A problem document (RFC 9457) for a part of an answer; a failed signature's code says what failed."""
    status, title = status_of(error)
    code = error.details.get("code", error.code)
    told = {"type": f"urn:docflow:problem:{code}", "title": title, "status": status, "detail": error.message}
    return {**error.details, **told, "code": code}
