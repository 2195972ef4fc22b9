"""Mail handed in as it is: by people and machines with a token, and by programs that sign what they send."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import IO, Annotated, Any, BinaryIO, cast

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import INTAKE, Call, Calling, answer, once, require_role
from docflow.api.bodies import media_type, spooled
from docflow.api.errors import UnsupportedMediaType
from docflow.api.signed import Signed, is_signed, signed_body
from docflow.domain.errors import Invalid
from docflow.domain.roles import Role
from docflow.services.asked import Asked
from docflow.services.intake import Envelope, receive, take_in
from docflow.services.letters import TakenIn

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


@dataclass(frozen=True, slots=True)
class Brought:
    """A body in a temporary file; ``signed`` where a program's signature stands for a token."""

    file: IO[bytes]
    signed: Signed | None = None

    def envelope(self, call: Call) -> Envelope:
        """What was signed once and sent again lies in the same place."""
        if self.signed is None:
            return Envelope("api", request_id=call.request_id or "")
        signed = self.signed
        return Envelope("webhook", signed.source, signed.signature, request_id=call.request_id or "")


async def raw_mail(request: Request) -> AsyncIterator[Brought]:
    """Who brings it is looked at before the body is read."""
    async for brought in brought_by(request, ACCEPTED):
        yield brought


async def brought_by(request: Request, accepted: tuple[str, ...]) -> AsyncIterator[Brought]:
    """Raises Unauthenticated, Forbidden, UnsupportedMediaType, TooLarge."""
    call = Call(request)
    limit = call.container.settings.mail_limit
    if not is_signed(request):
        await run_in_threadpool(_may_bring_mail, call)
    if media_type(request) not in accepted:
        raise UnsupportedMediaType(f"Send the raw message as {accepted[0]}, not {media_type(request)}.")
    if is_signed(request):
        async for signed in signed_body(request, limit):
            yield Brought(signed.file, signed)
    else:
        async for file in spooled(request, limit):
            yield Brought(file)


def _may_bring_mail(call: Call) -> None:
    with call.container.sessions.begin() as session:
        require_role(call.reader(session, INTAKE), Role.INTEGRATION, Role.CLERK)


WITH_TOKEN_OR_SIGNED: dict[str, Any] = {"security": [{"bearer": []}, {}]}


@router.post(
    "/intake/email",
    status_code=201,
    responses=OTHERWISE | openapi.problems(401, 403, 413, 415, 422),
    openapi_extra=openapi.change(openapi.raw_body("message/rfc822", MAIL)) | WITH_TOKEN_OR_SIGNED,
)
def post_email(call: Calling, mail: Annotated[Brought, Depends(raw_mail)]) -> Response:
    """Hand in one raw message, with a token or signed: `X-Docflow-Source` names the program, `X-Docflow-Timestamp` is
    in seconds since 1970, `X-Docflow-Signature` is `sha256=` and the HMAC-SHA256 of `timestamp.body` in hex. What is
    answered with 2xx is kept, whatever becomes of it."""
    container = call.container
    _refuse_empty(mail.file)
    source = cast(BinaryIO, mail.file)
    taken = take_in(container.intake_tools, source, mail.envelope(call), limit=container.settings.mail_limit)
    return received(call, mail, taken)


def received(call: Call, brought: Brought, taken: TakenIn) -> Response:
    """What lies safely in the store is entered, in one transaction."""
    container = call.container
    with container.sessions.begin() as session:

        def make(asked: Asked) -> dict[str, Any]:
            return receive(session, container.pictures, taken, asked).as_json()

        if brought.signed is not None:
            body, repeated = make(Asked(call.now, "webhook", request_id=call.request_id)), False
        else:
            identity = call.identify(session, INTAKE)
            body, repeated = once(session, call.reader_as(session, identity, taken.raw.sha256).asked, make)
    container.waker.wake()
    location = f"/api/v1/documents/{body['document_id']}" if body["document_id"] else None
    return answer(body, STATUSES[body["state"]], repeated=repeated, location=location)


def _refuse_empty(body: IO[bytes]) -> None:
    if not body.read(1):
        raise Invalid("The message is empty. Send the raw message as the body.")
    body.seek(0)
