"""The ledger of what came in, and what a clerk decides on what is kept in quarantine."""

import logging
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime
from sqlalchemy.orm import Session
from starlette.responses import Response, StreamingResponse

from docflow.api import openapi
from docflow.api.asking import READ, WRITE, Call, Calling, Reader, answer, find, once, reading_as, require_role
from docflow.api.bodies import json_bytes, parse
from docflow.api.documents import note_reading
from docflow.api.files import GUARDS, disposed
from docflow.api.paging import Cursor, Limit, Pages, page
from docflow.api.representations import Json, arrival_json, intake_json, mailbox_json, proof_json, when
from docflow.db.models import Intake
from docflow.db.queries.intake import Wanted, arrivals_of, intake_of, intakes, marks, proofs, raw_size
from docflow.domain.commands import Command, Nothing
from docflow.domain.errors import IntegrityFailure, Invalid, NotFound
from docflow.domain.roles import Role
from docflow.services import quarantine
from docflow.services.asked import Asked
from docflow.services.idempotency import first_answer
from docflow.services.intake import Received
from docflow.services.letters import TakenIn
from docflow.services.ports import ObjectStore
from docflow.services.quarantine import RAW, UNREAD, Link, Reject, Release

log = logging.getLogger("docflow.api")
router = APIRouter(prefix="/api/v1", tags=["intake"])

Raw = Annotated[bytes, Depends(json_bytes)]
Word = Annotated[str | None, Query(min_length=1, max_length=40)]
UNSEEN = "There is no such letter, or it is not yours to see."


def clerk(session: Session, call: Call, scope: str = READ) -> Reader:
    """Who stands in for a clerk reads as one; to decide they say for whom they act."""
    reader = call.reader(session, scope)
    if scope != READ or not reader.sight.intake:
        require_role(reader, Role.CLERK)
    return reader


@router.get("/intake", responses=openapi.problems(403, 422))
def get_intake(
    call: Calling,
    state: Literal["document", "linked", "quarantine", "rejected"] | None = None,
    channel: Word = None,
    kind: Literal["mail", "edxml", "file"] | None = None,
    reason_code: Word = None,
    q: Annotated[str | None, Query(max_length=200, description="Words of sender and subject")] = None,
    since: AwareDatetime | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Newest first; for clerks."""
    wanted = Wanted(state, channel, kind, reason_code, q, since)
    pages = Pages(call.container.settings, "intake", [state, channel, kind, reason_code, q, when(since)])
    if "\x00" in f"{channel}{reason_code}{q}":
        raise Invalid("There are no NUL characters in what came in. Leave them out.", field="q")
    with call.container.sessions.begin() as session:
        reader = clerk(session, call)
        after = pages.read(cursor)
        last = UUID(after[0]) if after else None
        rows = intakes(session, reader.sight, wanted, after=last, limit=limit + 1)
        items = [intake_json(row, reader.directory, readable=seen) for row, seen in rows[:limit]]
    return answer(page(items, pages.write([items[-1]["id"]]) if len(rows) > limit else None))


@router.get("/intake/mailboxes", responses=openapi.problems(403))
def get_mailboxes(call: Calling) -> Response:
    """When each mailbox was looked at last, and what stands in the way; for clerks and administrators."""
    with call.container.sessions.begin() as session:
        require_role(call.reader(session), Role.CLERK, Role.ADMIN)
        items = [mailbox_json(mark) for mark in marks(session)]
    return answer(page(items, None))


@router.get("/intake/proofs", responses=openapi.problems(403, 422))
def get_proofs(
    call: Calling,
    mailbox: Annotated[str | None, Query(max_length=63)] = None,
    agreed: bool | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Whether mailboxes and ledger agreed, day by day, newest first; for clerks, administrators and supervisors."""
    pages = Pages(call.container.settings, "proofs", [mailbox, agreed])
    with call.container.sessions.begin() as session:
        require_role(call.reader(session), Role.CLERK, Role.ADMIN, Role.SUPERVISOR)
        after = pages.read(cursor)
        last = UUID(after[0]) if after else None
        rows = proofs(session, mailbox=mailbox, agreed=agreed, after=last, limit=limit + 1)
        items = [proof_json(row) for row in rows[:limit]]
    return answer(page(items, pages.write([items[-1]["id"]]) if len(rows) > limit else None))


@router.get("/intake/{intake_id}", responses=openapi.problems(403, 404))
def get_letter(call: Calling, intake_id: UUID) -> Response:
    """One letter with each of its arrivals, the decision on it and the document it became."""
    with call.container.sessions.begin() as session:
        reader = clerk(session, call)
        row, seen = _found(session, reader, intake_id)
        told = seen or row.document_id is None
        arrivals = [arrival_json(a) for a in arrivals_of(session, intake_id)] if told else []
        body = intake_json(row, reader.directory, readable=seen) | {"arrivals": arrivals}
    return answer(body)


def _found(session: Session, reader: Reader, intake_id: UUID) -> tuple[Intake, bool]:
    found = intake_of(session, reader.sight, intake_id)
    if found is None:
        raise NotFound(UNSEEN)
    return found


BYTES: dict[int | str, dict[str, Any]] = {200: {"description": "The bytes as they came", "content": {"*/*": {}}}}


@router.get(
    "/intake/{intake_id}/raw",
    response_class=StreamingResponse,
    responses=BYTES | openapi.problems(403, 404),
)
def get_raw(call: Calling, intake_id: UUID) -> Response:
    """The bytes as they came, checked against their hash. Who read them is logged; of a secret document it stands in
    its history."""
    with call.container.sessions.begin() as session:
        reader = clerk(session, call)
        row, seen = _found(session, reader, intake_id)
        if row.document_id is not None:
            if not seen:
                raise NotFound(UNSEEN)
            _note(session, call, reader, row.document_id, row)
        name, media_type = RAW.get(row.kind, (str(row.envelope.get("name") or "tep"), UNREAD))
        sha256, size = row.raw_sha256, raw_size(session, row.raw_sha256)
        if row.state != "document" or row.scan not in ("", "clean"):
            media_type = UNREAD
    log.info("letter %s is read raw by %s [%s]", intake_id, reader.person.username, call.request_id)
    headers = GUARDS | {"ETag": f'"{sha256}"', "Content-Disposition": disposed(name, "attachment")}
    headers |= {"Accept-Ranges": "none", "Content-Length": str(size)}
    return StreamingResponse(_open(call.container.store, sha256), media_type=media_type, headers=headers)


def _note(session: Session, call: Call, reader: Reader, document_id: UUID, row: Intake) -> None:
    seen = find(session, reader, document_id)
    if seen.document.secrecy > 0:
        note_reading(session, call, reading_as(reader, seen), document_id, {"intake": str(row.id)})


def _open(store: ObjectStore, sha256: str) -> Iterator[bytes]:
    try:
        return store.open(sha256)
    except NotFound as error:
        raise IntegrityFailure(
            "The stored letter is missing. Restore it from a backup; its record is right.", sha256=sha256
        ) from error


# -- decisions ------------------------------------------------------------------------------------------------------

Making = Callable[[Session, TakenIn, Asked], Received]
STATUSES = {"document": 201, "linked": 200, "quarantine": 200, "rejected": 200}
RELEASED: dict[int | str, dict[str, Any]] = {200: {"description": "It belongs to a document that is there already"}}
STAYED: dict[int | str, dict[str, Any]] = {200: {"description": "It belongs to a document, or stays in quarantine"}}


def _reread(call: Call, intake_id: UUID, action: str, model: type[Command], raw: bytes, make: Making) -> Response:
    """Bytes first: the letter is read outside of any transaction, then everything is written in one."""
    container = call.container
    with container.sessions.begin() as session:
        asked = call.asked_again(clerk(session, call, WRITE), parse(model, raw))
        body = first_answer(session, asked)
        letter = None if body else quarantine.held(session, container.pictures, intake_id, action)
    if letter is None:
        return _told(call, body or {}, repeated=True)
    taken = quarantine.read_again(container.intake_tools, letter)
    with container.sessions.begin() as session:
        clerk(session, call, WRITE)
        body, repeated = once(session, asked, lambda asked: make(session, taken, asked).as_json())
    container.waker.wake()
    return _told(call, body, repeated=repeated)


def _told(call: Call, body: Json, *, repeated: bool) -> Response:
    location = f"/api/v1/documents/{body['document_id']}" if body["state"] == "document" else None
    return answer(body, STATUSES[body["state"]], repeated=repeated, location=location)


RELEASE = {"as it is": {}, "with a better record": {"subject": "Về việc báo cáo quý I", "issuer": "Sở Tài chính"}}


@router.post(
    "/intake/{intake_id}/release",
    status_code=201,
    responses=RELEASED | openapi.problems(400, 403, 404, 409, 413, 422),
    openapi_extra=openapi.change(openapi.json_body(Release, RELEASE, required=False)),
)
def post_release(call: Calling, intake_id: UUID, raw: Raw) -> Response:
    """Make a document of it, with the record as the clerk gives it; what is left out is as the letter and the rules
    say. Of what cannot be read the raw bytes are the main file. A virus is never released."""

    def make(session: Session, taken: TakenIn, asked: Asked) -> Received:
        command = parse(Release, raw)
        return quarantine.release(session, call.container.pictures, intake_id, taken, command, asked)

    return _reread(call, intake_id, "release", Release, raw, make)


@router.post(
    "/intake/{intake_id}/reparse",
    status_code=201,
    responses=STAYED | openapi.problems(400, 403, 404, 409, 413, 422),
    openapi_extra=openapi.change(openapi.json_body(Nothing, {"nothing to say": {}}, required=False)),
)
def post_reparse(call: Calling, intake_id: UUID, raw: Raw) -> Response:
    """Read it anew with today's scanner, reader and rules, as if it came in now."""

    def make(session: Session, taken: TakenIn, asked: Asked) -> Received:
        return quarantine.reparse(session, call.container.pictures, intake_id, taken, asked)

    return _reread(call, intake_id, "reparse", Nothing, raw, make)


@router.post(
    "/intake/{intake_id}/link",
    responses=openapi.problems(400, 403, 404, 409, 413, 422),
    openapi_extra=openapi.change(
        openapi.json_body(Link, {"to a document": {"document_id": "019a0c5e-7c1e-7b3a-9d55-0f3b1a2c4d5e"}})
    ),
)
def post_link(call: Calling, intake_id: UUID, raw: Raw) -> Response:
    """The letter and its files become attachments of an open document."""

    def make(session: Session, taken: TakenIn, asked: Asked) -> Received:
        document_id = parse(Link, raw).document_id
        return quarantine.link(session, call.container.pictures, intake_id, document_id, taken, asked)

    return _reread(call, intake_id, "link", Link, raw, make)


@router.post(
    "/intake/{intake_id}/reject",
    responses=openapi.problems(400, 403, 404, 409, 413, 422),
    openapi_extra=openapi.change(openapi.json_body(Reject, {"spam": {"reason": "Thư quảng cáo"}})),
)
def post_reject(call: Calling, intake_id: UUID, raw: Raw) -> Response:
    """Nothing is made of it; it stays in the ledger with its bytes and the reason."""
    container = call.container
    with container.sessions.begin() as session:
        reader = clerk(session, call, WRITE)
        command = parse(Reject, raw)

        def make(asked: Asked) -> dict[str, Any]:
            return quarantine.reject(session, container.pictures, intake_id, command.reason, asked).as_json()

        body, repeated = once(session, call.asked_again(reader, command), make)
    container.waker.wake()
    return _told(call, body, repeated=repeated)
