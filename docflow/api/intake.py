"""Mail handed in as it is, and the ledger of what came in."""

from typing import IO, Annotated, Any, BinaryIO, Literal, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import INTAKE, Call, Calling, answer, once, require_role
from docflow.api.bodies import media_type, spooled
from docflow.api.errors import UnsupportedMediaType
from docflow.api.paging import Cursor, Limit, Pages, page
from docflow.api.representations import intake_json
from docflow.db.queries.intake import intakes
from docflow.domain.errors import Invalid
from docflow.domain.roles import Role
from docflow.services.asked import Asked
from docflow.services.intake import Envelope, receive, take_in

router = APIRouter(prefix="/api/v1", tags=["intake"])

ACCEPTED = ("message/rfc822", "application/octet-stream", "text/plain", "")
STATUSES = {"document": 201, "linked": 200, "duplicate": 200, "quarantine": 202}
MAIL = (
    "From: So Tai chinh <vanthu@stc.example>\r\nTo: vanthu@binhminh.example\r\nSubject: Bao cao quy I\r\n"
    "Date: Mon, 02 Mar 2026 09:00:00 +0700\r\nMessage-ID: <1@stc.example>\r\n\r\nKinh gui.\r\n"
)


OTHERWISE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The same mail came before; its document is named"},
    202: {"description": "Kept in quarantine, with the reason"},
}


async def raw_mail(request: Request) -> Any:
    """The token and the role are looked at before the body is read."""
    call = Call(request)
    await run_in_threadpool(_may_bring_mail, call)
    if media_type(request) not in ACCEPTED:
        raise UnsupportedMediaType(f"Send the raw message as message/rfc822, not {media_type(request)}.")
    async for file in spooled(request, call.container.settings.mail_limit):
        yield file


def _may_bring_mail(call: Call) -> None:
    with call.container.sessions.begin() as session:
        require_role(call.reader(session, INTAKE), Role.INTEGRATION, Role.CLERK)


@router.post(
    "/intake/email",
    status_code=201,
    responses=OTHERWISE | openapi.problems(403, 413, 415, 422),
    openapi_extra=openapi.change(openapi.raw_body("message/rfc822", MAIL)),
)
def post_email(call: Calling, mail: Annotated[IO[bytes], Depends(raw_mail)]) -> Response:
    """Hand in one raw message. What is answered with 2xx is kept, whatever becomes of it."""
    container = call.container
    _refuse_empty(mail)
    envelope = Envelope("api", request_id=call.request_id or "")
    taken = take_in(container.intake_tools, cast(BinaryIO, mail), envelope, limit=container.settings.mail_limit)
    with container.sessions.begin() as session:
        identity = call.identify(session, INTAKE)
        reader = call.reader_as(session, identity, taken.raw.sha256)

        def make(asked: Asked) -> dict[str, Any]:
            return receive(session, container.pictures, taken, asked).as_json()

        body, repeated = once(session, reader.asked, make)
    container.waker.wake()
    location = f"/api/v1/documents/{body['document_id']}" if body["document_id"] else None
    return answer(body, STATUSES[body["state"]], repeated=repeated, location=location)


def _refuse_empty(body: IO[bytes]) -> None:
    if not body.read(1):
        raise Invalid("The message is empty. Send the raw message as the body.")
    body.seek(0)


@router.get("/intake", responses=openapi.problems(403, 422))
def get_intake(
    call: Calling,
    state: Literal["document", "linked", "quarantine", "rejected"] | None = None,
    channel: str | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Newest first; for clerks."""
    pages = Pages(call.container.settings, "intake", [state, channel])
    if channel is not None and len(channel) > 20:
        raise Invalid("There is no such channel.", field="channel")
    with call.container.sessions.begin() as session:
        reader = call.reader(session)
        require_role(reader, Role.CLERK)
        after = pages.read(cursor)
        last = UUID(after[0]) if after else None
        rows = intakes(session, reader.sight, state=state, channel=channel, after=last, limit=limit + 1)
        items = [intake_json(row, readable=seen) for row, seen in rows[:limit]]
    return answer(page(items, pages.write([items[-1]["id"]]) if len(rows) > limit else None))
