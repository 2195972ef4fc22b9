"""Files of documents: put to them, and read back with their hash checked."""

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from threading import Lock
from time import monotonic
from typing import Annotated, Any, Literal
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends
from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.responses import Response, StreamingResponse

from docflow.api import openapi
from docflow.api.asking import WRITE, Call, Calling, answer, find, once, reading_as
from docflow.api.bodies import text_of, uploads
from docflow.api.documents import note_reading, uploaded
from docflow.api.errors import RangeNotSatisfiable, RenditionNotAvailable, RenditionNotReady, ValidationFailed
from docflow.api.representations import file_json, utc
from docflow.api.uploads import Prepared, prepare
from docflow.db.models import Document, DocumentFile
from docflow.db.queries.documents import beside, file_of, rendition_of
from docflow.domain.errors import IntegrityFailure, Invalid, NotFound
from docflow.services.asked import Asked
from docflow.services.files import next_version, upload
from docflow.services.ports import ObjectStore
from docflow.services.recognition import readable

router = APIRouter(prefix="/api/v1", tags=["files"])

KINDS = ("main", "answer", "attachment")
FORM = openapi.form_body(
    {"files": openapi.FILES, "kind": {"type": "string", "enum": list(KINDS), "default": "attachment"}},
    {"files": ["du-thao.pdf"], "kind": "answer"},
)


@router.get("/documents/{document_id}/files", responses=openapi.problems(403, 404))
def get_files(call: Calling, document_id: UUID) -> Response:
    """The document's files, oldest first, with all versions of its main file and answer."""
    with call.container.sessions.begin() as session:
        seen = find(session, call.reader(session), document_id)
        files = beside(session, [document_id]).files.get(document_id, [])
        items = [file_json(seen.document, f) for f in files]
    return answer({"items": items, "next": None}, version=seen.document.version)


@router.post(
    "/documents/{document_id}/files",
    status_code=201,
    responses=openapi.problems(400, 403, 404, 409, 412, 413, 415, 422),
    openapi_extra=openapi.change(FORM, match=True),
)
def post_files(call: Calling, document_id: UUID, form: Annotated[FormData, Depends(uploaded)]) -> Response:
    """Put files to a document: attachments, or a new version of its main file or answer."""
    with call.container.sessions.begin() as session:
        find(session, call.reader(session, WRITE), document_id)
    prepared = _prepared(call, form)
    with call.container.sessions.begin() as session:
        identity = call.identify(session, WRITE)
        facts = [(p.file.name, p.file.sha256, p.file.kind) for p in prepared]
        reader = call.reader_as(session, identity, facts)
        find(session, reader, document_id)

        def make(asked: Asked) -> dict[str, Any]:
            versions = {kind: next_version(session, document_id, kind) for kind in {p.file.kind for p in prepared}}
            rows = [(p.stored, replace(p.file, version_no=versions[p.file.kind])) for p in prepared]
            moved = upload(session, call.container.pictures, document_id, rows, asked)
            document = session.get_one(Document, document_id, populate_existing=True)
            new = {p.file.id for p in prepared}
            files = [f for f in beside(session, [document_id]).files[document_id] if f.id in new]
            return utc(moved.answer) | {"files": [file_json(document, f) for f in files]}

        body, repeated = once(session, reader.asked, make)
    call.container.waker.wake()
    location = body["files"][0]["links"]["self"]
    return answer(body, 201, version=body["version"], repeated=repeated, location=location)


def _prepared(call: Call, form: FormData) -> list[Prepared]:
    files = uploads(form, "files", {"kind"})
    kind = text_of(form, "kind") or "attachment"
    if kind not in KINDS:
        message = f"is not one of {', '.join(KINDS)}"
        errors = [{"field": "kind", "message": message, "code": "enum"}]
        raise ValidationFailed(f"The part 'kind' {message}.", errors=errors)
    if not files:
        raise Invalid("No file came along. Send at least one part named 'files'.", field="files")
    if kind != "attachment" and len(files) > 1:
        raise Invalid(f"Only one file can be the {kind} file. Send the others as attachments.", field="files")
    return prepare(call.container, files, [kind] * len(files))


class RenditionKind(StrEnum):
    TEXT = "text"
    PREVIEW = "preview"
    THUMBNAIL = "thumbnail"
    PDF = "pdf"


RENDITION_TYPES = {
    RenditionKind.TEXT: ("text/plain; charset=utf-8", "txt"),
    RenditionKind.PREVIEW: ("image/png", "png"),
    RenditionKind.THUMBNAIL: ("image/png", "png"),
    RenditionKind.PDF: ("application/pdf", "pdf"),
}
GUARDS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cache-Control": "private, no-cache",
    "Accept-Ranges": "bytes",
}
BYTES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The bytes; a read that does not match its hash breaks off", "content": {"*/*": {}}},
    206: {"description": "The bytes of the range", "content": {"*/*": {}}},
    304: {"description": "You have it already"},
}


@router.get(
    "/documents/{document_id}/files/{file_id}",
    response_class=StreamingResponse,
    responses=BYTES | openapi.problems(403, 404, 416),
)
def get_file(
    call: Calling,
    document_id: UUID,
    file_id: UUID,
    rendition: RenditionKind | None = None,
    disposition: Literal["attachment", "inline"] = "attachment",
) -> Response:
    """A file's bytes, or text, preview, thumbnail or (of office documents) PDF made from them. Ranges are answered.

    `Text-Source` says where a text is from: `file`, or `ocr` where it was read from the pictures of pages.
    """
    with call.container.sessions.begin() as session:
        reader = call.reader(session)
        seen = find(session, reader, document_id)
        file = file_of(session, document_id, file_id)
        if file is None:
            raise NotFound("There is no such file on this document. List them under /documents/{id}/files.")
        sha256, size = file.sha256, file.size
        source: dict[str, str] = {}
        if rendition is not None:
            sha256, source = _rendition(session, file, rendition)
            size = -1
        if seen.document.secrecy > 0:
            what = {"file": str(file.id)} | ({"rendition": rendition.value} if rendition else {})
            note_reading(session, call, reading_as(reader, seen), document_id, what)
    if f'"{sha256}"' in call.request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers={"ETag": f'"{sha256}"'})
    media_type, name = file.media_type, file.name
    if rendition is not None:
        media_type, ending = RENDITION_TYPES[rendition]
        name = f"{file.name}.{ending}"
    headers = GUARDS | source | {"ETag": f'"{sha256}"', "Content-Disposition": disposed(name, disposition)}
    return _bytes(call, sha256, size, media_type, headers)


def _rendition(session: Session, file: DocumentFile, kind: RenditionKind) -> tuple[str, dict[str, str]]:
    """The hash of its bytes, and headers that tell of it. The text of scanned pages stands in for a missing one."""
    row = rendition_of(session, file.sha256, kind.value)
    if row is None:
        raise RenditionNotReady("It has not been made yet. Try again in a moment.")
    source = {"Text-Source": "file"} if kind is RenditionKind.TEXT else {}
    if row.sha256 is None and kind is RenditionKind.TEXT and row.state == "none":
        read = rendition_of(session, file.sha256, "ocr")
        if read is None and readable(file.media_type, file.origin):
            raise RenditionNotReady("Its pages are pictures and wait to be read. Try again in some minutes.")
        row, source = read or row, {"Text-Source": "ocr"}
    if row.sha256 is None:
        reason = row.reason or f"none is made of {file.media_type}"
        raise RenditionNotAvailable(f"There is none and there will be none: {reason}. Read the file itself.")
    return row.sha256, source


def disposed(name: str, how: str) -> str:
    plain = re.sub(r"[^\w .()-]", "_", name, flags=re.ASCII)
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _bytes(call: Call, sha256: str, size: int, media_type: str, headers: dict[str, str]) -> Response:
    store = call.container.store
    wanted = call.request.headers.get("range")
    if_range = call.request.headers.get("if-range")
    if size < 0 or (if_range is not None and if_range != headers["ETag"]):
        wanted = None
    span = range_of(wanted, size)
    if span is None:
        length = {"Content-Length": str(size)} if size >= 0 else {}
        return StreamingResponse(_open(store, sha256), media_type=media_type, headers=headers | length)
    first, last = span
    CHECKED.check(store, sha256)
    length = {"Content-Length": str(last - first + 1), "Content-Range": f"bytes {first}-{last}/{size}"}
    pieces = _open(store, sha256, first, last - first + 1)
    return StreamingResponse(pieces, 206, media_type=media_type, headers=headers | length)


def _open(store: ObjectStore, sha256: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
    try:
        return store.open(sha256, start=start, length=length)
    except NotFound as error:
        raise IntegrityFailure(
            "The stored file is missing. Restore it from a backup; its record is right.", sha256=sha256
        ) from error


_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def range_of(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte of the one range asked for; None where the whole is to be sent (RFC 9110 §14.2)."""
    found = _RANGE.fullmatch((header or "").strip())
    if found is None or found.group(1) == found.group(2) == "":
        return None
    first, last = found.groups()
    if first == "":
        start, end = max(size - int(last), 0), size - 1
        satisfiable = int(last) > 0
    else:
        start, end = int(first), min(int(last or size - 1), size - 1)
        if last and int(last) < start:
            return None
        satisfiable = start < size
    if not satisfiable:
        raise RangeNotSatisfiable(f"The range lies behind the end. The file has {size} bytes.", size=size)
    return start, end


class Checked:
    """Which objects were read in full and found right a short while ago: a part alone cannot be checked.

    A reader of many ranges pays for one full read.
    """

    LASTS = 600.0
    MOST = 1000

    def __init__(self) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def check(self, store: ObjectStore, sha256: str) -> None:
        with self._lock:
            if monotonic() - self._seen.get(sha256, -self.LASTS) < self.LASTS:
                return
        for _ in _open(store, sha256):
            pass
        with self._lock:
            self._seen[sha256] = monotonic()
            while len(self._seen) > self.MOST:
                self._seen.popitem(last=False)


CHECKED = Checked()
