"""The signatures in a document's files: who, when, and what they are worth."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import Call, Calling, answer, find
from docflow.api.paging import page
from docflow.api.representations import file_json, when
from docflow.db.models import Document, DocumentFile, MadeSignature, Verification
from docflow.db.queries.documents import beside
from docflow.db.queries.verification import made_here, verifications_of
from docflow.services import verification
from docflow.services.looked_at import LOOKED_INTO
from docflow.services.signing_ports import Trust

router = APIRouter(prefix="/api/v1/documents/{document_id}", tags=["parts of a document"])


@router.get("/signatures", responses=openapi.problems(403, 404, 503))
def get_signatures(call: Calling, document_id: UUID) -> Response:
    """Every signature in the document's PDF files and signed containers, by the trust list that counts now.

    A file's `verdict` is the worst of its signatures': `trusted`, `untrusted`, `changed`, `broken`; `none` where there
    are none, `failed` where the file cannot be looked at. `reason` says why, and what to do. `made` stands at
    signatures that were made here."""
    with call.container.sessions.begin() as session:
        seen = find(session, call.reader(session), document_id)
        files = beside(session, [document_id]).files.get(document_id, [])
        made = made_here(session, document_id)
    wanted = [f for f in files if f.media_type in LOOKED_INTO]
    known = _looked_at(call, wanted)
    items = [_file_json(seen.document, f, known[f.sha256], made) for f in wanted]
    return answer(page(items, None), version=seen.document.version)


def _looked_at(call: Call, files: Iterable[DocumentFile]) -> dict[str, Verification]:
    """What is known already, and what has to be looked at now: nobody did yet, or by another trust list."""
    container = call.container
    sources = {file.sha256: file.media_type for file in files}
    trust = container.trust()
    with container.sessions.begin() as session:
        known = verifications_of(session, sources)
    stale = [sha256 for sha256 in sources if verification.is_stale(known.get(sha256), trust.key)]
    for sha256 in stale:
        _look(call, trust, sha256, sources[sha256])
    if not stale:
        return known
    with container.sessions.begin() as session:
        return verifications_of(session, sources)


def _look(call: Call, trust: Trust, sha256: str, media_type: str) -> None:
    container = call.container
    found = verification.verify(container.store, container.verifier, trust, sha256, media_type)
    with container.sessions.begin() as session:
        verification.record(session, sha256, found, call.now)


def _file_json(document: Document, file: DocumentFile, known: Verification, made: list[MadeSignature]) -> Any:
    ours = {(one.field, one.certificate_sha256): one for one in made}
    signatures = [
        report | {"made": _made_json(ours.get((report["field"], report["certificate_sha256"])))}
        for report in known.reports
    ]
    return {
        "file": file_json(document, file),
        "verdict": known.verdict,
        "reason": known.reason,
        "checked_at": when(known.checked_at),
        "signatures": signatures,
    }


def _made_json(made: MadeSignature | None) -> Any:
    if made is None:
        return None
    return {
        "kind": made.kind,
        "signer_id": str(made.signer_id) if made.signer_id else None,
        "capacity": made.capacity,
        "level": made.level,
        "signed_at": when(made.signed_at),
        "renew_at": when(made.renew_at) if made.renew_at else None,
    }
