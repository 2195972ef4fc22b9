"""Documents: entered, listed, read, mended."""

import unicodedata
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import WRITE, Call, Calling, Reader, answer, find, once, reading_as
from docflow.api.bodies import json_bytes, media_type, parse, read_form, text_of, uploads
from docflow.api.errors import UnsupportedMediaType, ValidationFailed
from docflow.api.paging import Cursor, Limit, Pages, page
from docflow.api.representations import document_json
from docflow.api.uploads import Prepared, prepare
from docflow.bootstrap import Container
from docflow.db.base import new_id
from docflow.db.models import Document
from docflow.db.queries.documents import Filters, beside, conditions, list_documents
from docflow.db.queries.search import search
from docflow.domain.lifecycle import State
from docflow.domain.plan import Plan
from docflow.domain.searching import query
from docflow.domain.snapshot import Actor, Snapshot
from docflow.domain.timing import Urgency
from docflow.services.asked import Asked
from docflow.services.documents import NewDocument, Patch, create, mend
from docflow.services.files import record_blob
from docflow.services.transition import move

router = APIRouter(prefix="/api/v1", tags=["documents"])

NEW = {
    "direction": "incoming",
    "subject": "Về việc báo cáo tình hình thu ngân sách quý I",
    "document_type": "cong_van",
    "urgency": "khan",
    "issuer": "Sở Tài chính",
    "number_symbol": "125/STC-NS",
    "document_date": "2026-03-02",
}


def represented(
    session: Session, call: Call, reader: Reader, document: Document, more: dict[str, Any] | None = None
) -> dict[str, Any]:
    found = beside(session, [document.id])
    url = call.container.settings.prefect_api_url
    return document_json(document, found, reader.directory, call.now, url) | (more or {})


@dataclass(frozen=True, slots=True)
class Entered:
    """What a request to enter a document brought; files lie in ``form`` until they are stored."""

    new: NewDocument
    form: FormData | None


async def entered(request: Request) -> AsyncIterator[Entered]:
    """Whoever is not signed in sends no files: the token is looked at before the body is read."""
    await run_in_threadpool(_signed_in, Call(request))
    if media_type(request) in ("application/json", ""):
        yield Entered(parse(NewDocument, await json_bytes(request)), None)
        return
    form = await form_of(request)
    try:
        yield Entered(_metadata(form), form)
    finally:
        await form.close()


async def uploaded(request: Request) -> AsyncIterator[FormData]:
    await run_in_threadpool(_signed_in, Call(request))
    form = await form_of(request)
    try:
        yield form
    finally:
        await form.close()


async def form_of(request: Request) -> FormData:
    if media_type(request) != "multipart/form-data":
        raise UnsupportedMediaType(f"Send multipart/form-data, not {media_type(request) or 'nothing'}.")
    container: Container = request.app.state.container
    return await read_form(request, container.settings.upload_limit)


def _signed_in(call: Call) -> None:
    with call.container.sessions.begin() as session:
        call.identify(session, WRITE)


def _metadata(form: FormData) -> NewDocument:
    text = text_of(form, "metadata")
    if text is None:
        errors = [{"field": "metadata", "message": "is missing", "code": "missing"}]
        raise ValidationFailed("Send the part 'metadata' with the document's record as JSON.", errors=errors)
    return parse(NewDocument, text or " ")


FORM = openapi.form_body(
    {
        "metadata": {"$ref": openapi.REF.format(model="NewDocument")},
        "files": openapi.FILES,
        "main_file": {"type": "string", "description": "Name of the main file; the first one otherwise"},
    },
    {"metadata": NEW, "files": ["125-STC-NS.pdf"]},
    openapi.json_body(NewDocument, {"without files": NEW})["requestBody"]["content"],
)


@router.post(
    "/documents",
    status_code=201,
    responses=openapi.problems(400, 403, 409, 413, 415, 422),
    openapi_extra=openapi.change(FORM),
)
def create_document(call: Calling, given: Annotated[Entered, Depends(entered)]) -> Response:
    """Enter a document with its files. Bytes are stored and verified first, then the record is written."""
    prepared = _prepared(call, given.form)
    with call.container.sessions.begin() as session:
        identity = call.identify(session, WRITE)
        facts = [(p.file.name, p.file.sha256, p.file.kind) for p in prepared]
        reader = call.reader_as(session, identity, given.new, facts)

        def make(asked: Asked) -> dict[str, Any]:
            for one in prepared:
                record_blob(session, one.stored, call.now)
            moved = create(session, call.container.pictures, given.new, tuple(p.file for p in prepared), asked)
            document = session.get_one(Document, UUID(moved.answer["id"]), populate_existing=True)
            return represented(session, call, reader, document, {"warnings": moved.answer.get("warnings", [])})

        body, repeated = once(session, reader.asked, make)
    call.container.waker.wake()
    location = f"/api/v1/documents/{body['id']}"
    return answer(body, 201, version=body["version"], repeated=repeated, location=location)


def _prepared(call: Call, form: FormData | None) -> list[Prepared]:
    if form is None:
        return []
    files = uploads(form, "files", {"metadata", "main_file"})
    wanted = text_of(form, "main_file")
    if wanted is not None:
        wanted = unicodedata.normalize("NFC", wanted)
        if not any(unicodedata.normalize("NFC", f.filename or "") == wanted for f in files):
            errors = [{"field": "main_file", "message": "names no file of this form", "code": "unknown"}]
            raise ValidationFailed("The part 'main_file' names no file of this form.", errors=errors)
    main = next((i for i, f in enumerate(files) if unicodedata.normalize("NFC", f.filename or "") == wanted), 0)
    kinds = ["main" if index == main else "attachment" for index in range(len(files))]
    return prepare(call.container, files, kinds)


class Sort(StrEnum):
    OLDEST = "created_at"
    NEWEST = "-created_at"
    DUE = "due_at"
    DUE_LAST = "-due_at"
    NUMBER = "number"
    NUMBER_LAST = "-number"


DAY = Annotated[date | None, Query(ge=date(1900, 1, 1), le=date(2999, 12, 31))]
ASKED = (
    'Words that all have to be there, of the record or of its files, with or without accents; "phrases" in quotes; '
    "numbers such as 15/QĐ-UBND. The document of that number comes first, then those with the accents that are typed."
)
NAME = Annotated[str | None, Query(max_length=200)]


@dataclass(frozen=True, slots=True)
class Asking:
    """The filters of a list, as the address gives them; days are of the agency's zone, both ends included."""

    direction: Literal["incoming", "outgoing"] | None = None
    state: Annotated[list[State] | None, Query()] = None
    route: NAME = None
    unit: Annotated[str | None, Query(max_length=200, description="Code or id")] = None
    type: NAME = None
    urgency: Urgency | None = None
    since: Annotated[date | None, Query(alias="from", ge=date(1900, 1, 1), le=date(2999, 12, 31))] = None
    to: DAY = None
    overdue: bool | None = None
    held: bool | None = None
    q: Annotated[str | None, Query(max_length=200, description=ASKED)] = None


def start_of(day: date | None, zone: str) -> datetime | None:
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))


def filters_of(asking: Asking, reader: Reader, zone: str) -> Filters:
    end = start_of(asking.to + timedelta(days=1), zone) if asking.to else None
    return Filters(
        direction=asking.direction,
        states=tuple(s.value for s in asking.state or ()),
        route=asking.route,
        unit_id=reader.directory.unit(asking.unit).id if asking.unit else None,
        document_type=asking.type,
        urgency=asking.urgency.value if asking.urgency else None,
        created_from=start_of(asking.since, zone),
        created_before=end,
        overdue=asking.overdue,
        held=asking.held,
        query=query(asking.q or ""),
    )


@router.get("/documents", responses=openapi.problems(403, 422))
def get_documents(
    call: Calling,
    asking: Annotated[Asking, Depends()],
    sort: Annotated[Sort | None, Query(description="Without: the newest first; with `q`, the best first")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Documents one may see. `created_at` is the order of entry."""
    pages = Pages(call.container.settings, "documents", [asdict(asking), sort.value if sort else None])
    with call.container.sessions.begin() as session:
        reader = call.reader(session)
        zone = call.container.pictures.newest(session)[1].calendar.zone
        filters = filters_of(asking, reader, zone)
        found = _listed(session, reader, filters, sort, pages.read(cursor), limit + 1, call.now)
        shown = [document for document, _ in found[:limit]]
        around = beside(session, [d.id for d in shown])
        url = call.container.settings.prefect_api_url
        items = [document_json(d, around, reader.directory, call.now, url) for d in shown]
    following = pages.write(found[limit - 1][1]) if len(found) > limit else None
    return answer(page(items, following))


def _listed(
    session: Session, reader: Reader, filters: Filters, sort: Sort | None, after: Any, limit: int, now: datetime
) -> list[tuple[Document, list[Any]]]:
    """Each with the place of its own from which the list goes on."""
    if filters.query is not None and sort is None:
        last = (after[0], UUID(after[1])) if after else None
        found = search(session, reader.sight, filters.query, conditions(filters, now), last, limit)
        return [(one.document, [one.rank, one.document.id]) for one in found]
    sort = sort or Sort.NEWEST
    rows = list_documents(session, reader.sight, filters, sort.value, _position(sort, after), limit, now)
    return [(row, _key(sort, row)) for row in rows]


def _key(sort: Sort, last: Document) -> list[Any]:
    if sort in (Sort.DUE, Sort.DUE_LAST):
        return [last.due_at.isoformat() if last.due_at else None, last.id]
    if sort in (Sort.NUMBER, Sort.NUMBER_LAST):
        return [last.book_year, last.number, last.id]
    return [last.id]


def _position(sort: Sort, after: list[Any] | None) -> list[Any] | None:
    if after is None:
        return None
    *values, document_id = after
    if sort in (Sort.DUE, Sort.DUE_LAST):
        values = [datetime.fromisoformat(v) if v else None for v in values]
    return [*values, UUID(document_id)]


@router.get("/documents/{document_id}", responses=openapi.problems(403, 404))
def get_document(call: Calling, document_id: UUID) -> Response:
    """One document. Reading a secret one stands in its history."""
    with call.container.sessions.begin() as session:
        reader = call.reader(session)
        seen = find(session, reader, document_id)
        if seen.document.secrecy > 0:
            note_reading(session, call, reading_as(reader, seen), document_id, {})
            session.refresh(seen.document)
        body = represented(session, call, reader, seen.document)
    etag = f'"{body["version"]}"'
    if etag in call.request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers={"ETag": etag})
    return answer(body, version=body["version"])


def note_reading(session: Session, call: Call, asked: Asked, document_id: UUID, data: dict[str, str]) -> None:
    """Who looked at a secret document stands in its history (design §8); its version stays."""

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = Plan(snapshot, snapshot, actor, call.now, new_id, visible_change=False)
        plan.data |= data
        return plan

    move(session, call.container.pictures, document_id, "read", asked, planner)


@router.patch(
    "/documents/{document_id}",
    responses=openapi.problems(400, 403, 404, 409, 412, 413, 422, 428),
    openapi_extra=openapi.change(
        openapi.json_body(Patch, {"subject": {"subject": "Về việc báo cáo thu ngân sách quý I năm 2026"}}), match=True
    ),
)
def patch_document(call: Calling, document_id: UUID, raw: Annotated[bytes, Depends(json_bytes)]) -> Response:
    """Mend the record of an open document; If-Match is required."""
    with call.container.sessions.begin() as session:
        reader = call.reader(session, WRITE)
        find(session, reader, document_id)
        call.require_match()
        patch = parse(Patch, raw)
        mend(session, call.container.pictures, document_id, patch, call.asked_again(reader, patch))
        document = session.get_one(Document, document_id, populate_existing=True)
        body = represented(session, call, reader, document)
    call.container.waker.wake()
    return answer(body, version=body["version"])
