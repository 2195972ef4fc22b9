"""Where what was sent has got to: one recipient at a time, and what clerks decide about it."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import WRITE, Call, Calling, answer, find, once, require_role
from docflow.api.bodies import JSON_LIMIT, check_length, json_bytes, limited, media_type, parse
from docflow.api.errors import UnsupportedMediaType
from docflow.api.paging import Cursor, Limit, Pages, page
from docflow.api.paper import moved, paper_json
from docflow.api.representations import brief_json, utc, when
from docflow.db.models import Delivery, DeliveryEvent, PortalAccess
from docflow.db.queries.deliveries import DeliveryFilters, Told, across, documents_of, told_of
from docflow.domain.commands import Command, Nothing
from docflow.domain.errors import DocflowError, Invalid, NotFound
from docflow.domain.lifecycle import DeliveryState
from docflow.domain.roles import Role
from docflow.services import answer_deadlines, recipients
from docflow.services.answer_deadlines import AnswerNote
from docflow.services.asked import Asked
from docflow.services.dispatch import decide_delivery
from docflow.services.recipients import RecipientList, read_table
from docflow.services.transition import Moved

router = APIRouter(prefix="/api/v1", tags=["deliveries"])

REFUSED = openapi.problems(400, 403, 404, 409, 412, 413, 422)
NOTHING = openapi.change(openapi.json_body(Nothing, {"nothing to say": {}}, required=False), match=True)
Raw = Annotated[bytes, Depends(json_bytes)]
MOST_AT_ONCE = 200


# -- looking --------------------------------------------------------------------------------------------------------


@router.get("/documents/{document_id}/deliveries", responses=openapi.problems(403, 404))
def get_deliveries(call: Calling, document_id: UUID) -> Response:
    """One row a recipient: state, channel, attempts and all that befell it (`events`), the answer that was asked of it.
    `dead` rows wait for a clerk: send again or give up. Receipts for what came in are of kind `acknowledge`: they hold
    nothing open."""
    with call.container.sessions.begin() as session:
        seen = find(session, call.reader(session), document_id)
        items = [_told_json(told, call.now) for told in told_of(session, document_id)]
    return answer(page(items, None), version=seen.document.version)


def _told_json(told: Told, now: datetime) -> dict[str, Any]:
    return _delivery_json(told.delivery, now) | {
        "events": [_event_json(event) for event in told.events],
        "portal": _portal_json(told.access) if told.access else None,
    }


def _delivery_json(delivery: Delivery, now: datetime) -> dict[str, Any]:
    due, answered = delivery.answer_due_at, delivery.answered_at
    return paper_json(delivery) | {
        "group": delivery.group or None,
        "dead": delivery.state == DeliveryState.FAILED,
        "answer_due_at": when(due),
        "answered_at": when(answered),
        "answered_by": str(delivery.answered_by) if delivery.answered_by else None,
        "answer_overdue": due is not None and due < (answered or now),
    }


def _event_json(event: DeliveryEvent) -> dict[str, Any]:
    return {
        "at": when(event.at),
        "kind": event.kind,
        "attempt": event.attempt or None,
        "worker": event.worker or None,
        "detail": event.detail or None,
    }


def _portal_json(access: PortalAccess) -> dict[str, Any]:
    return {
        "expires_at": when(access.expires_at),
        "codes_sent": access.codes_sent,
        "opened_at": when(access.opened_at),
        "downloads": access.downloads,
    }


State = Literal["queued", "sent", "delivered", "read", "refused", "bounced", "failed", "cancelled"]
Channel = Literal["email", "paper", "edxml", "webhook", "portal"]


@router.get("/deliveries", responses=openapi.problems(403, 422))
def list_deliveries(
    call: Calling,
    state: Annotated[
        list[State] | None, Query(description="Left out: what failed, came back, was refused or waits")
    ] = None,
    channel: Annotated[list[Channel] | None, Query()] = None,
    group: Annotated[str | None, Query(max_length=63)] = None,
    awaiting_answer: bool | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Across all documents that are yours to see, newest first; for clerks."""
    filters = DeliveryFilters(tuple(state or ()), tuple(channel or ()), group, awaiting_answer)
    pages = Pages(call.container.settings, "deliveries", [filters.states, filters.channels, group, awaiting_answer])
    with call.container.sessions.begin() as session:
        reader = call.reader(session)
        require_role(reader, Role.CLERK)
        after = pages.read(cursor)
        rows = across(session, reader.sight, filters, UUID(after[0]) if after else None, limit + 1)
        items = [
            _delivery_json(delivery, call.now) | {"document": brief_json(document, call.now)}
            for delivery, document in rows[:limit]
        ]
    return answer(page(items, pages.write([items[-1]["id"]]) if len(rows) > limit else None))


# -- deciding -------------------------------------------------------------------------------------------------------


@router.post("/documents/{document_id}/deliveries/{delivery_id}/retry", responses=REFUSED, openapi_extra=NOTHING)
def retry_delivery(call: Calling, document_id: UUID, delivery_id: UUID, raw: Raw) -> Response:
    """Send a failed delivery again."""
    return _decide(call, document_id, delivery_id, raw, again=True)


@router.post("/documents/{document_id}/deliveries/{delivery_id}/give-up", responses=REFUSED, openapi_extra=NOTHING)
def give_up_delivery(call: Calling, document_id: UUID, delivery_id: UUID, raw: Raw) -> Response:
    """Give a failed delivery up; with the last one the document closes."""
    return _decide(call, document_id, delivery_id, raw, again=False)


def _decide(call: Call, document_id: UUID, delivery_id: UUID, raw: bytes, *, again: bool) -> Response:
    def act(session: Session, _: Nothing, asked: Asked) -> Moved:
        return decide_delivery(session, call.container.pictures, document_id, delivery_id, again=again, asked=asked)

    return moved(call, document_id, Nothing, raw, act)


class Again(Command):
    deliveries: Annotated[tuple[UUID, ...], Field(min_length=1, max_length=MOST_AT_ONCE)]


AGAIN = {"two": {"deliveries": ["019a0c5e-7c1e-7b3a-9d55-0f3b1a2c4d5e", "019a0c5e-7c1e-7b3a-9d55-0f3b1a2c4d5f"]}}


@router.post(
    "/deliveries/retry",
    responses=openapi.problems(400, 403, 413, 422),
    openapi_extra=openapi.change(openapi.json_body(Again, AGAIN)),
)
def retry_many(call: Calling, raw: Raw) -> Response:
    """Send several failed deliveries again. Every one has its own result; one that cannot be sent stops no other."""
    with call.container.sessions.begin() as session:
        reader = call.reader_as(session, call.identify(session, WRITE))
        require_role(reader, Role.CLERK)
        wanted = list(dict.fromkeys(parse(Again, raw).deliveries))
        known = documents_of(session, reader.sight, wanted)
        asked = call.asked_again(reader, [str(one) for one in wanted])
        body, repeated = once(session, asked, lambda asked: _retried(call, session, wanted, known, asked))
    call.container.waker.wake()
    return answer(body, repeated=repeated)


def _retried(call: Call, session: Session, wanted: list[UUID], known: dict[UUID, UUID], asked: Asked) -> dict[str, Any]:
    """By document, as all lock documents in one order."""
    results: dict[UUID, dict[str, Any]] = {}
    for delivery_id in sorted(wanted, key=lambda one: str(known.get(one))):
        results[delivery_id] = _retried_one(call, session, known.get(delivery_id), delivery_id, asked)
    rows = [results[one] for one in wanted]
    queued = sum(row["status"] == "queued" for row in rows)
    return {"items": rows, "queued": queued, "failed": len(rows) - queued}


def _retried_one(
    call: Call, session: Session, document_id: UUID | None, delivery_id: UUID, asked: Asked
) -> dict[str, Any]:
    row: dict[str, Any] = {"delivery_id": str(delivery_id)}
    try:
        if document_id is None:
            raise NotFound("There is no such delivery, or it is not yours to see.")
        with session.begin_nested():
            decide_delivery(session, call.container.pictures, document_id, delivery_id, again=True, asked=asked)
    except DocflowError as error:
        return row | {"status": "failed", "problem": {"code": error.code, "detail": error.message}}
    return row | {"status": "queued", "document_id": str(document_id)}


# -- answers --------------------------------------------------------------------------------------------------------

NOTES = {"by telephone": {"note": "Trả lời qua điện thoại ngày 05/3"}}
NOTED = openapi.change(openapi.json_body(AnswerNote, NOTES, required=False), match=True)


@router.post("/documents/{document_id}/deliveries/{delivery_id}/answered", responses=REFUSED, openapi_extra=NOTED)
def note_answer(call: Calling, document_id: UUID, delivery_id: UUID, raw: Raw) -> Response:
    """The answer that was asked of this recipient came, but not by mail or edXML. With the last one the clock stops."""

    def act(session: Session, said: AnswerNote, asked: Asked) -> Moved:
        pictures = call.container.pictures
        return answer_deadlines.note_answer(session, pictures, document_id, delivery_id, said, asked)

    return moved(call, document_id, AnswerNote, raw, act)


@router.post("/documents/{document_id}/answers/close", responses=REFUSED, openapi_extra=NOTED)
def close_answers(call: Calling, document_id: UUID, raw: Raw) -> Response:
    """No more answers are waited for: their clock stops, whoever is missing."""

    def act(session: Session, said: AnswerNote, asked: Asked) -> Moved:
        return answer_deadlines.close_answers(session, call.container.pictures, document_id, said, asked)

    return moved(call, document_id, AnswerNote, raw, act)


# -- lists of recipients --------------------------------------------------------------------------------------------

LIST = {
    "a group and one more": {
        "groups": ["cac_xa"],
        "recipients": [{"name": "Sở Tài chính", "address": "stc@tinh.example"}],
    }
}
CSV = "name,address,channel\nSở Tài chính,vanthu@stc.example,email\nÔng Nguyễn Văn A,Số 12 Nguyễn Huệ,paper\n"
LISTED = openapi.json_body(RecipientList, LIST)
LISTED["requestBody"]["content"]["text/csv"] = {"schema": {"type": "string"}, "example": CSV}


async def table_or_json(request: Request) -> AsyncIterator[bytes]:
    check_length(request, JSON_LIMIT)
    yield b"".join([piece async for piece in limited(request, JSON_LIMIT)])


@router.post(
    "/documents/{document_id}/recipients",
    responses=openapi.problems(400, 403, 404, 409, 412, 413, 415, 422),
    openapi_extra=openapi.change(LISTED, match=True),
)
def set_recipients(call: Calling, document_id: UUID, raw: Annotated[bytes, Depends(table_or_json)]) -> Response:
    """Whom the document goes to, each once, up to 1,000: as a table (`text/csv`: name, address, channel), or as JSON
    with groups. It takes the place of the list before; where a line is wrong, `lines` tells each and none is taken."""
    pictures = call.container.pictures
    with call.container.sessions.begin() as session:
        reader = call.reader_as(session, call.identify(session, WRITE))
        find(session, reader, document_id)
        listed = _list_of(call.request, raw)

        def make(asked: Asked) -> dict[str, Any]:
            moved, found = recipients.set_recipients(session, pictures, document_id, listed, asked)
            return utc(moved.answer) | {"recipients": [one._asdict() for one in found], "count": len(found)}

        body, repeated = once(session, call.asked_again(reader, listed), make)
    call.container.waker.wake()
    return answer(body, version=body["version"], repeated=repeated)


def _list_of(request: Request, raw: bytes) -> RecipientList:
    kind = media_type(request)
    if kind in ("application/json", ""):
        return parse(RecipientList, raw)
    if kind != "text/csv":
        raise UnsupportedMediaType(f"Send text/csv or application/json, not {kind}.")
    try:
        return RecipientList(recipients=tuple(read_table(raw.decode())))
    except UnicodeDecodeError as error:
        raise Invalid("The table is not UTF-8. Save it as CSV UTF-8 and send it again.", field="body") from error
