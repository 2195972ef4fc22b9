"""A legal hold on a document, and how long its files are kept."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from sqlalchemy.orm import Session
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import WRITE, Calling, answer, find, once
from docflow.api.bodies import json_bytes, parse
from docflow.api.representations import when
from docflow.db.models import Document, DocumentFile, Retention
from docflow.db.queries.retention import kept_of
from docflow.services.asked import Asked
from docflow.services.legal_hold import LegalHold, set_hold, standing

router = APIRouter(prefix="/api/v1/documents/{document_id}/legal-hold", tags=["parts of a document"])
EXAMPLES = {
    "put": {"on": True, "reason": "Phục vụ thanh tra theo Quyết định số 15/QĐ-TTr"},
    "lift": {"on": False, "reason": "Đã kết thúc thanh tra"},
}


@router.get("", responses=openapi.problems(403, 404))
def get_legal_hold(call: Calling, document_id: UUID) -> Response:
    """Whether a legal hold keeps the document's files, and each file's lock in the object store. `wanted_until` and
    `wanted_hold` say what shall be, `locked_until` and `held` what the store was seen to do; `state` is `none` for
    files that nothing keeps."""
    with call.container.sessions.begin() as session:
        seen = find(session, call.reader(session), document_id)
        body = _represented(session, seen.document)
    return answer(body, version=seen.document.version)


@router.put(
    "",
    responses=openapi.problems(400, 403, 404, 409, 412, 413, 415, 422),
    openapi_extra=openapi.change(openapi.json_body(LegalHold, EXAMPLES), match=True),
)
def put_legal_hold(call: Calling, document_id: UUID, raw: Annotated[bytes, Depends(json_bytes)]) -> Response:
    """Keep all of the document's files from being deleted, beyond their retention, or let them go again. For
    supervisors and leaders; it stands in the document's history and changes nothing else."""
    pictures = call.container.pictures
    with call.container.sessions.begin() as session:
        identity = call.identify(session, WRITE)
        reader = call.reader_as(session, identity)
        find(session, reader, document_id)
        command = parse(LegalHold, raw)

        def make(asked: Asked) -> dict[str, Any]:
            set_hold(session, pictures, document_id, command, asked)
            document = session.get_one(Document, document_id, populate_existing=True)
            return _represented(session, document) | {"version": document.version}

        body, repeated = once(session, call.asked_again(reader, command), make)
    call.container.waker.wake()
    return answer(body, version=body["version"], repeated=repeated)


def _represented(session: Session, document: Document) -> dict[str, Any]:
    said = standing(session, document)
    return {
        "document_id": str(document.id),
        "on": said.since is not None,
        "since": when(said.since),
        "by": said.by,
        "reason": said.reason,
        "files": [_file_json(file, kept) for file, kept in kept_of(session, document.id)],
    }


def _file_json(file: DocumentFile, kept: Retention | None) -> dict[str, Any]:
    named = {"id": str(file.id), "name": file.name, "kind": file.kind, "sha256": file.sha256}
    if kept is None:
        return named | {
            "state": "none",
            "wanted_until": None,
            "wanted_hold": False,
            "locked_until": None,
            "held": False,
        }
    return named | {
        "state": kept.state,
        "wanted_until": when(kept.wanted_until),
        "wanted_hold": kept.wanted_hold,
        "locked_until": when(kept.locked_until),
        "held": kept.held,
        "last_error": kept.last_error,
    }
