"""What a document replaces or corrects."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import WRITE, Call, Calling, answer, find, once
from docflow.api.bodies import json_bytes, parse
from docflow.api.representations import utc
from docflow.services.asked import Asked
from docflow.services.successors import Succeeds, relate, withdraw
from docflow.services.transition import Moved

router = APIRouter(prefix="/api/v1/documents/{document_id}/relations", tags=["parts of a document"])
SOME = "01999999-0000-7000-8000-000000000000"
EXAMPLES = {
    "replace": {"kind": "replaces", "document": SOME},
    "correct": {"kind": "corrects", "document": SOME},
}
REFUSED = openapi.problems(400, 403, 404, 409, 412, 413, 415, 422)


WORDS = openapi.change(openapi.json_body(Succeeds, EXAMPLES), match=True)


@router.post("", status_code=201, responses=REFUSED, openapi_extra=WORDS)
def post_relation(call: Calling, document_id: UUID, raw: Annotated[bytes, Depends(json_bytes)]) -> Response:
    """Say that this document, not sent yet, replaces one of the same type that was sent, or corrects it by an official
    letter. Whoever got the earlier one is proposed as recipient where none is named, and will read what this one does
    to it."""
    return _change(call, document_id, raw, relate, 201)


@router.post("/withdraw", responses=REFUSED, openapi_extra=WORDS)
def withdraw_relation(call: Calling, document_id: UUID, raw: Annotated[bytes, Depends(json_bytes)]) -> Response:
    """Take that back, as long as it was not sent."""
    return _change(call, document_id, raw, withdraw, 200)


def _change(call: Call, document_id: UUID, raw: bytes, service: Callable[..., Moved], status: int) -> Response:
    pictures = call.container.pictures
    with call.container.sessions.begin() as session:
        identity = call.identify(session, WRITE)
        reader = call.reader_as(session, identity)
        find(session, reader, document_id)
        command = parse(Succeeds, raw)
        find(session, reader, command.document)

        def make(asked: Asked) -> dict[str, Any]:
            return utc(service(session, pictures, document_id, command, asked).answer)

        body, repeated = once(session, call.asked_again(reader, command), make)
    call.container.waker.wake()
    return answer(body, status, version=body["version"], repeated=repeated)
