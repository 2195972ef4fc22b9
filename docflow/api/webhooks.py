"""Webhooks: the agency's, for the administrator, and everybody's own."""

from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, Depends
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import ADMIN, READ, WRITE, Call, Calling, Reader, answer, once
from docflow.api.bodies import json_bytes, parse
from docflow.api.paging import Cursor, Limit, Pages, page
from docflow.api.representations import Json, when
from docflow.bootstrap import LOOPBACK
from docflow.db.models import Webhook, WebhookCall
from docflow.domain.commands import Nothing
from docflow.domain.errors import Forbidden, NotFound
from docflow.domain.roles import Role
from docflow.services.asked import Asked
from docflow.services.webhooks import NewWebhook, WebhookPatch, call_again, change_webhook, create_webhook, ping

router = APIRouter(prefix="/api/v1", tags=["administration"])

Raw = Annotated[bytes, Depends(json_bytes)]


def webhook_json(row: Webhook) -> Json:
    return {
        "id": str(row.id),
        "url": row.url,
        "events": row.events,
        "mine": row.user_id is not None,
        "active": row.active,
        "description": row.description,
        "created_at": when(row.created_at),
        "links": {"self": f"/api/v1/webhooks/{row.id}", "calls": f"/api/v1/webhooks/{row.id}/calls"},
    }


def call_json(row: WebhookCall) -> Json:
    return {
        "id": str(row.id),
        "event": row.event,
        "key": row.key,
        "state": row.state,
        "attempts": row.attempts,
        "last_status": row.last_status,
        "last_error": row.last_error,
        "next_attempt_at": when(row.next_attempt_at) if row.state == "queued" else None,
        "created_at": when(row.created_at),
        "settled_at": when(row.settled_at),
    }


def _asking(session: Session, call: Call, *, own: bool | None, change: bool = False) -> Reader:
    """Who asks about a webhook of their own, or (False) the agency's; None where either will do."""
    scope = ADMIN if own is False else WRITE if change else READ
    identity = call.identify(session, scope)
    reader = call.reader_as(session, identity)
    if own is False and not _administers(reader):
        raise Forbidden("Only an administrator makes webhooks of the agency. Send mine: true for one of your own.")
    return reader


def _administers(reader: Reader) -> bool:
    return reader.actor.has(Role.ADMIN)


def _loopback(call: Call, own: bool) -> bool:
    """People's own webhooks may call this machine only where the office itself is on it alone."""
    return not own or urlsplit(call.container.settings.base_url).hostname in LOOPBACK


def _find(session: Session, call: Call, webhook_id: UUID, *, change: bool = False) -> tuple[Reader, Webhook]:
    """Raises NotFound for what is absent or somebody else's."""
    identity = call.identify(session, None)
    row = session.get(Webhook, webhook_id)
    mine = row is not None and row.user_id == identity.user_id
    agency = row is not None and row.user_id is None and _administers(call.reader_as(session, identity))
    if row is None or not (mine or agency):
        raise NotFound("There is no such webhook, or it is not yours to see.")
    return _asking(session, call, own=mine, change=change), row


@router.get("/webhooks", responses=openapi.problems(403))
def get_webhooks(call: Calling) -> Response:
    """My own, and the agency's for the administrator; the secret is not among what is shown."""
    with call.container.sessions.begin() as session:
        reader = _asking(session, call, own=None)
        shown = Webhook.user_id == reader.person.id
        if _administers(reader):
            shown |= Webhook.user_id.is_(None)
        rows = session.scalars(select(Webhook).where(shown).order_by(Webhook.id))
        return answer(page([webhook_json(row) for row in rows], None))


@router.get("/webhooks/{webhook_id}", responses=openapi.problems(403, 404))
def get_webhook(call: Calling, webhook_id: UUID) -> Response:
    with call.container.sessions.begin() as session:
        return answer(webhook_json(_find(session, call, webhook_id)[1]))


NEW = {
    "deadlines of the agency": {"url": "https://giamsat.tinh.example/docflow", "events": ["deadline"]},
    "my own": {"url": "https://chat.example/hooks/7", "events": ["task", "deadline", "urge"], "mine": True},
}


@router.post(
    "/webhooks",
    status_code=201,
    responses=openapi.problems(400, 403, 413, 422),
    openapi_extra=openapi.change(openapi.json_body(NewWebhook, NEW)),
)
def post_webhook(call: Calling, raw: Raw) -> Response:
    """Its secret is told once: a repeat under the same key answers without it."""
    told: dict[str, str] = {}
    with call.container.sessions.begin() as session:
        call.identify(session, None)
        new = parse(NewWebhook, raw)
        reader = _asking(session, call, own=new.mine, change=True)

        def make(asked: Asked) -> dict[str, Any]:
            loopback = _loopback(call, new.mine)
            row = create_webhook(session, new, reader.person.id, call.now, loopback=loopback)
            told["secret"] = row.secret
            return webhook_json(row)

        body, repeated = once(session, call.asked_again(reader, new), make)
    response = answer(body | told, 201, repeated=repeated, location=f"/api/v1/webhooks/{body['id']}")
    response.headers["Cache-Control"] = "no-store"
    return response


@router.patch(
    "/webhooks/{webhook_id}",
    responses=openapi.problems(400, 403, 404, 413, 422),
    openapi_extra=openapi.json_body(WebhookPatch, {"pause": {"active": False}}),
)
def patch_webhook(call: Calling, webhook_id: UUID, raw: Raw) -> Response:
    """Only what is given changes. One that is switched off gives up the calls that wait."""
    with call.container.sessions.begin() as session:
        _, row = _find(session, call, webhook_id, change=True)
        patch = parse(WebhookPatch, raw)
        change_webhook(session, row, patch, call.now, loopback=_loopback(call, row.user_id is not None))
        return answer(webhook_json(row))


@router.delete("/webhooks/{webhook_id}", status_code=204, responses=openapi.problems(403, 404))
def delete_webhook(call: Calling, webhook_id: UUID) -> Response:
    """With the record of its calls."""
    with call.container.sessions.begin() as session:
        _, row = _find(session, call, webhook_id, change=True)
        session.delete(row)
    return Response(status_code=204)


@router.get("/webhooks/{webhook_id}/calls", responses=openapi.problems(403, 404, 422))
def get_calls(
    call: Calling,
    webhook_id: UUID,
    state: Literal["queued", "delivered", "failed"] | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Newest first."""
    pages = Pages(call.container.settings, "webhook calls", [webhook_id, state])
    with call.container.sessions.begin() as session:
        _find(session, call, webhook_id)
        query = select(WebhookCall).where(WebhookCall.webhook_id == webhook_id)
        if state is not None:
            query = query.where(WebhookCall.state == state)
        after = pages.read(cursor)
        if after:
            place = (datetime.fromisoformat(after[0]), UUID(after[1]))
            query = query.where(tuple_(WebhookCall.created_at, WebhookCall.id) < place)
        query = query.order_by(WebhookCall.created_at.desc(), WebhookCall.id.desc())
        rows = session.scalars(query.limit(limit + 1)).all()
        items = [call_json(row) for row in rows[:limit]]
    following = pages.write([items[-1]["created_at"], items[-1]["id"]]) if len(rows) > limit else None
    return answer(page(items, following))


NOTHING = openapi.change(openapi.json_body(Nothing, {"nothing to say": {}}, required=False))


@router.post(
    "/webhooks/{webhook_id}/ping",
    status_code=202,
    responses=openapi.problems(400, 403, 404, 413, 422),
    openapi_extra=NOTHING,
)
def post_ping(call: Calling, webhook_id: UUID, raw: Raw) -> Response:
    """A call of event `ping`, to see whether it arrives; look it up under `calls`."""
    with call.container.sessions.begin() as session:
        reader, row = _find(session, call, webhook_id, change=True)
        given = parse(Nothing, raw)

        def make(asked: Asked) -> dict[str, Any]:
            return call_json(ping(session, row, call.now))

        body, repeated = once(session, call.asked_again(reader, given), make)
    call.container.waker.wake()
    return answer(body, 202, repeated=repeated)


@router.post(
    "/webhooks/{webhook_id}/calls/{call_id}/retry",
    status_code=202,
    responses=openapi.problems(400, 403, 404, 409, 413, 422),
    openapi_extra=NOTHING,
)
def post_retry(call: Calling, webhook_id: UUID, call_id: UUID, raw: Raw) -> Response:
    """Make a call again that failed, or now one that waits; its key stays the same."""
    with call.container.sessions.begin() as session:
        reader, row = _find(session, call, webhook_id, change=True)
        given = parse(Nothing, raw)
        made = session.get(WebhookCall, call_id, with_for_update=True)
        if made is None or made.webhook_id != row.id:
            raise NotFound("This webhook has no such call.")

        def make(asked: Asked) -> dict[str, Any]:
            call_again(session, made, call.now)
            return call_json(made)

        body, repeated = once(session, call.asked_again(reader, given), make)
    call.container.waker.wake()
    return answer(body, 202, repeated=repeated)
