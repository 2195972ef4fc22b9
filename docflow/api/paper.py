"""What leaves on paper: the list to print, and the clerk's word that it was posted and received."""

import csv
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from io import StringIO
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends
from sqlalchemy.orm import Session
from starlette.responses import Response

from docflow.adapters.print_list import Handed, print_list
from docflow.api import openapi
from docflow.api.asking import WRITE, Call, Calling, answer, find, once, require_role
from docflow.api.bodies import json_bytes, parse
from docflow.api.paging import Cursor, Limit, Pages, page
from docflow.api.representations import day as day_of
from docflow.api.representations import delivery_json, utc, when
from docflow.db.models import Delivery, Document
from docflow.db.queries.deliveries import documents_of
from docflow.db.queries.paper import PaperRow, on_paper
from docflow.domain.commands import Command
from docflow.domain.configuration import Secrecy
from docflow.domain.roles import Role
from docflow.services import paper
from docflow.services.asked import Asked
from docflow.services.paper import Posted, PostedItems, Received
from docflow.services.spreadsheet import harmless
from docflow.services.transition import Moved

router = APIRouter(prefix="/api/v1", tags=["deliveries on paper"])

PaperState = Literal["queued", "sent", "delivered", "all"]
STATES: dict[str, tuple[str, ...]] = {
    "queued": ("queued",),
    "sent": ("sent",),
    "delivered": ("delivered",),
    "all": ("queued", "sent", "delivered"),
}
PERIODS = {"queued": "chờ gửi", "sent": "đã gửi", "delivered": "đã nhận", "all": "tất cả"}
MOST_PRINTED = 2000
Body = TypeVar("Body", bound=Command)
TITLES = {
    "day": "Ngày chuyển",
    "notation": "Số, ký hiệu văn bản",
    "recipient": "Nơi nhận văn bản",
    "address": "Địa chỉ",
    "postal_number": "Số bưu gửi",
    "received": "Ký nhận",
    "note": "Ghi chú",
}
PRINTED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The list", "content": {"application/json": {}, "text/csv": {}, "application/pdf": {}}}
}
REFUSED = openapi.problems(400, 403, 404, 409, 412, 413, 422)


@router.get("/deliveries/paper", responses=PRINTED | openapi.problems(403, 422))
def get_paper(
    call: Calling,
    state: PaperState = "queued",
    day: date | None = None,
    format: Literal["json", "csv", "pdf"] = "json",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """What waits to be posted (`queued`), was posted (`sent`) or received (`delivered`), oldest first; of one `day`
    those that left then, or that were dispatched then and wait. As `pdf` in the layout of a *sổ chuyển giao văn bản
    đi*, with room for signatures; as `pdf` and `csv` without pages, up to 2,000."""
    pages = Pages(call.container.settings, "paper", [state, day])
    with call.container.sessions.begin() as session:
        reader = call.reader(session)
        require_role(reader, Role.CLERK)
        zone = call.container.pictures.current_calendars(session)[1].for_units().zone
        after = pages.read(cursor)
        most = limit + 1 if format == "json" else MOST_PRINTED
        start = UUID(after[0]) if after else None
        rows = on_paper(session, reader.sight, STATES[state], _between(day, zone), start, most)
        if format != "json":
            return _printed(session, call, format, state, day, zone, rows)
        items = [_paper_json(delivery, document) for delivery, document in rows[:limit]]
    return answer(page(items, pages.write([items[-1]["id"]]) if len(rows) > limit else None))


def _between(day: date | None, zone: ZoneInfo) -> tuple[datetime, datetime] | None:
    if day is None:
        return None
    begins = datetime.combine(day, time(), zone).astimezone(UTC)
    return begins, begins + timedelta(days=1)


def _paper_json(delivery: Delivery, document: Document) -> dict[str, Any]:
    return paper_json(delivery) | {
        "document": {
            "id": str(document.id),
            "notation": document.notation or document.number_symbol or None,
            "date": day_of(document.document_date),
            "subject": _subject(document),
            "state": document.state,
            "secrecy": document.secrecy,
        }
    }


def _subject(document: Document) -> str | None:
    """That of a *tuyệt mật* document is written on no list (domain.md §3)."""
    return document.subject if document.secrecy < Secrecy.TUYET_MAT else None


def paper_json(delivery: Delivery) -> dict[str, Any]:
    return delivery_json(delivery) | {
        "postal_number": delivery.postal_number or None,
        "carrier": delivery.carrier or None,
        "received_by": delivery.received_by or None,
        "received_at": when(delivery.received_at),
    }


def _printed(
    session: Session,
    call: Call,
    form: str,
    state: PaperState,
    day: date | None,
    zone: ZoneInfo,
    rows: Sequence[PaperRow],
) -> Response:
    lines = [_line(delivery, document, zone, call.now) for delivery, document in rows]
    name = f"chuyen-giao-{day.isoformat() if day else state}"
    if form == "csv":
        return _file(_table(lines), "text/csv; charset=utf-8", f"{name}.csv")
    agency = call.container.pictures.newest(session)[1].agency.name
    period = f"Ngày {_shown(day)} – {PERIODS[state]}" if day else PERIODS[state].capitalize()
    made = f"Lập lúc {call.now.astimezone(zone).strftime('%H:%M ngày %d/%m/%Y')}."
    return _file(print_list(agency, period, made, lines), "application/pdf", f"{name}.pdf")


def _line(delivery: Delivery, document: Document, zone: ZoneInfo, now: datetime) -> Handed:
    left = delivery.settled_at or now
    signed = delivery.received_at
    return Handed(
        day=_shown(left.astimezone(zone).date()),
        notation=document.notation or document.number_symbol or "",
        recipient=delivery.recipient,
        address=delivery.address,
        postal_number=" ".join(filter(None, (delivery.carrier, delivery.postal_number))),
        received=f"{delivery.received_by} {_shown(signed.astimezone(zone).date())}" if signed else "",
        note=Secrecy(document.secrecy).vietnamese if document.secrecy else "",
    )


def _shown(day: date) -> str:
    return day.strftime("%d/%m/%Y")


def _table(lines: Sequence[Handed]) -> bytes:
    out = StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(TITLES.values())
    for line in lines:
        writer.writerow([harmless(getattr(line, name)) for name in TITLES])
    return out.getvalue().encode("utf-8-sig")


def _file(content: bytes, media_type: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type=media_type, headers=headers)


POSTED = {
    "by post": {"postal_number": "EA123456789VN", "carrier": "VNPost", "posted_on": "2026-03-02"},
    "by messenger today": {"carrier": "Nguyễn Văn A"},
}
MANY = {
    "two": {
        "items": [
            {
                "delivery_id": "019a0c5e-7c1e-7b3a-9d55-0f3b1a2c4d5e",
                "postal_number": "EA123456789VN",
                "carrier": "VNPost",
            },
            {
                "delivery_id": "019a0c5e-7c1e-7b3a-9d55-0f3b1a2c4d5f",
                "postal_number": "EA123456790VN",
                "carrier": "VNPost",
            },
        ]
    }
}
RECEIVED = {"signed for": {"received_by": "Trần Thị B", "received_on": "2026-03-04"}}


@router.post(
    "/deliveries/paper/post",
    responses=openapi.problems(400, 403, 413, 422),
    openapi_extra=openapi.change(openapi.json_body(PostedItems, MANY)),
)
def post_many(call: Calling, raw: Annotated[bytes, Depends(json_bytes)]) -> Response:
    """Several were posted, each with its number. Every item has its own result; one that fails stops no other."""
    pictures = call.container.pictures
    with call.container.sessions.begin() as session:
        reader = call.reader_as(session, call.identify(session, WRITE))
        require_role(reader, Role.CLERK)
        command = parse(PostedItems, raw)
        known = documents_of(session, reader.sight, [item.delivery_id for item in command.items])
        items = [(known.get(item.delivery_id), item) for item in command.items]
        asked = call.asked_again(reader, command)
        body, repeated = once(session, asked, lambda asked: paper.post_many(session, pictures, items, asked))
    call.container.waker.wake()
    return answer(body, repeated=repeated)


@router.post(
    "/documents/{document_id}/deliveries/{delivery_id}/post",
    responses=REFUSED,
    openapi_extra=openapi.change(openapi.json_body(Posted, POSTED, required=False), match=True),
)
def post_one(
    call: Calling, document_id: UUID, delivery_id: UUID, raw: Annotated[bytes, Depends(json_bytes)]
) -> Response:
    """A delivery on paper was handed to the carrier: `sent`. Once more mends the number."""

    def act(session: Session, command: Posted, asked: Asked) -> Moved:
        return paper.post(session, call.container.pictures, document_id, delivery_id, command, asked)

    return moved(call, document_id, Posted, raw, act)


@router.post(
    "/documents/{document_id}/deliveries/{delivery_id}/receipt",
    responses=REFUSED,
    openapi_extra=openapi.change(openapi.json_body(Received, RECEIVED), match=True),
)
def receive_one(
    call: Calling, document_id: UUID, delivery_id: UUID, raw: Annotated[bytes, Depends(json_bytes)]
) -> Response:
    """Somebody signed for a delivery on paper: `delivered`."""

    def act(session: Session, command: Received, asked: Asked) -> Moved:
        return paper.receive(session, call.container.pictures, document_id, delivery_id, command, asked)

    return moved(call, document_id, Received, raw, act)


def moved(
    call: Call, document_id: UUID, model: type[Body], raw: bytes, act: Callable[[Session, Body, Asked], Moved]
) -> Response:
    """One change of a document's deliveries by somebody signed in, with its guards and its answer."""
    with call.container.sessions.begin() as session:
        reader = call.reader_as(session, call.identify(session, WRITE))
        find(session, reader, document_id)
        command = parse(model, raw)
        asked = call.asked_again(reader, command)
        body, repeated = once(session, asked, lambda asked: utc(act(session, command, asked).answer))
    call.container.waker.wake()
    return answer(body, version=body["version"], repeated=repeated)
