"""edXML messages handed in, and what is exchanged about one document."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, BinaryIO, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import WRITE, Calling, answer, find, once
from docflow.api.bodies import json_bytes, parse
from docflow.api.intake import OTHERWISE, WITH_TOKEN_OR_SIGNED, Brought, brought_by, received
from docflow.api.representations import utc, when
from docflow.db.models import Delivery, Document, ExchangeMessage, History
from docflow.domain.edxml import EXCHANGE
from docflow.domain.errors import Invalid
from docflow.services import exchange
from docflow.services.asked import Asked
from docflow.services.exchange import ExchangeAnswer
from docflow.services.intake import take_in

router = APIRouter(prefix="/api/v1", tags=["edXML"])

ACCEPTED = ("application/xml", "text/xml", "application/octet-stream", "")
MESSAGE = """<?xml version="1.0" encoding="UTF-8"?>
<edXML xmlns="http://www.mic.gov.vn/TBT/QCVN_102_2016"><edXMLEnvelope><edXMLHeader>
<MessageHeader>
<From><OrganId>H99</OrganId><OrganName>Ủy ban nhân dân tỉnh</OrganName></From>
<To><OrganId>H99.15</OrganId></To>
<DocumentId>H99,2026/03/02,15/QĐ-UBND</DocumentId>
<Code><CodeNumber>15</CodeNumber><CodeNotation>QĐ-UBND</CodeNotation></Code>
<PromulgationInfo><PromulgationDate>2026/03/02</PromulgationDate></PromulgationInfo>
<DocumentType><TypeName>Quyết định</TypeName></DocumentType>
<Subject>Về việc kiểm tra công tác văn thư</Subject>
</MessageHeader>
<TraceHeaderList><Bussiness><BussinessDocType>0</BussinessDocType></Bussiness></TraceHeaderList>
</edXMLHeader></edXMLEnvelope></edXML>
"""


async def raw_message(request: Request) -> AsyncIterator[Brought]:
    async for brought in brought_by(request, ACCEPTED):
        yield brought


@router.post(
    "/intake/edxml",
    status_code=201,
    responses=OTHERWISE | openapi.problems(401, 403, 413, 415, 422),
    openapi_extra=openapi.change(openapi.raw_body("application/xml", MESSAGE)) | WITH_TOKEN_OR_SIGNED,
)
def post_edxml(call: Calling, brought: Annotated[Brought, Depends(raw_message)]) -> Response:
    """Hand in one message, with a token or signed as for `/intake/email`. A new document answers 201, a status or a
    wish to take one back 200; a damaged message is kept whole in quarantine. What is answered with 2xx is kept."""
    if not brought.file.read(1):
        raise Invalid("The message is empty. Send the edXML as the body.")
    brought.file.seek(0)
    source = cast(BinaryIO, brought.file)
    limit = call.container.settings.mail_limit
    taken = take_in(call.container.intake_tools, source, brought.envelope(call), kind="edxml", limit=limit)
    return received(call, brought, taken)


@router.get("/documents/{document_id}/exchange", responses=openapi.problems(403, 404))
def get_exchange(call: Calling, document_id: UUID) -> Response:
    """The edXML message it came with, what its sender was told since, and what recipients told of it."""
    with call.container.sessions.begin() as session:
        document = find(session, call.reader(session), document_id).document
        told = select(ExchangeMessage).where(ExchangeMessage.document_id == document_id).order_by(ExchangeMessage.id)
        went = (Delivery.document_id == document_id) & (Delivery.channel == "edxml")
        sent = select(Delivery).where(went).order_by(Delivery.id)
        body = {
            "document_id": str(document_id),
            "came_with": _came_with(session, document),
            "told": [_message_json(row) for row in session.scalars(told)],
            "sent": [_sent_json(row) for row in session.scalars(sent)],
        }
    return answer(body, version=document.version)


def _came_with(session: Session, document: Document) -> dict[str, Any] | None:
    if document.exchange is None:
        return None
    first = (History.document_id == document.id) & (History.seq == 1)
    remarks = session.scalar(select(History.data[EXCHANGE]).where(first)) or {}
    return document.exchange | {name: remarks.get(name) for name in ("odd", "unknown")}


def _message_json(row: ExchangeMessage) -> dict[str, Any]:
    return {
        "status_code": row.status_code,
        "text": row.facts.get("text", ""),
        "partner": row.partner,
        "state": row.state,
        "attempts": row.attempts,
        "last_error": row.last_error,
        "created_at": when(row.created_at),
        "settled_at": when(row.settled_at),
    }


def _sent_json(row: Delivery) -> dict[str, Any]:
    names = ("kind", "recipient", "address", "state", "status_code", "answer", "last_error")
    return {"id": str(row.id), "edxml_id": row.message_id, **{name: getattr(row, name) for name in names}}


EXAMPLES = {
    "agree": {"answer": "agree", "reason": "Đã hủy bản điện tử"},
    "refuse": {"answer": "refuse", "reason": "Văn bản đã giải quyết xong"},
}


@router.post(
    "/documents/{document_id}/exchange",
    responses=openapi.problems(400, 403, 404, 409, 412, 413, 415, 422),
    openapi_extra=openapi.change(openapi.json_body(ExchangeAnswer, EXAMPLES), match=True),
)
def answer_sender(call: Calling, document_id: UUID, raw: Annotated[bytes, Depends(json_bytes)]) -> Response:
    """A clerk's answer to a sender who wants the document back or sent a new version of it: status 15 or 16. With an
    agreement to give it back the document ends where the clerk may return or recall it now; `ended` says so."""
    pictures = call.container.pictures
    with call.container.sessions.begin() as session:
        identity = call.identify(session, WRITE)
        reader = call.reader_as(session, identity)
        find(session, reader, document_id)
        command = parse(ExchangeAnswer, raw)

        def make(asked: Asked) -> dict[str, Any]:
            return utc(exchange.answer(session, pictures, document_id, command, asked).answer)

        body, repeated = once(session, call.asked_again(reader, command), make)
    call.container.waker.wake()
    return answer(body, version=body["version"], repeated=repeated)
