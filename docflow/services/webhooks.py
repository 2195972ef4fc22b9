"""Webhooks: other systems that are told, and the calls that tell them.

A call is made at least once and carries the same key over all tries. One webhook's calls go one after the other, and
while it does not answer its next ones wait: it costs the others nothing.
"""

import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Webhook, WebhookCall
from docflow.domain.audit import instant
from docflow.domain.commands import Command, clean_text
from docflow.domain.errors import DeliveryFailed, DocflowError, IllegalTransition, Invalid
from docflow.domain.notices import Group
from docflow.services.backoff import LEASE, MOST_ATTEMPTS, delay_after

AGENCY_EVENTS = frozenset({"deadline"})
OWN_EVENTS = frozenset(group.value for group in Group)
PING = "ping"
MOST_OWN = 10

Url = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Events = Annotated[tuple[Annotated[str, Field(max_length=40)], ...], Field(min_length=1, max_length=20)]
Description = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(clean_text)]


class NewWebhook(Command):
    """``mine``: my own notifications, by group; else what happens in the agency."""

    url: Url
    events: Events
    mine: bool = False
    active: bool = True
    description: Description = ""


class WebhookPatch(Command):
    url: Url | None = None
    events: Events | None = None
    active: bool | None = None
    description: Description | None = None


def checked_url(url: str, *, loopback: bool) -> str:
    """Raises Invalid for anything but https, or http to this machine where ``loopback`` allows it."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise _wrong("it is no address") from None
    if not host or parts.fragment or not url.isascii() or any(c.isspace() or not c.isprintable() for c in url):
        raise _wrong("it is no address")
    if parts.username is not None or parts.password is not None:
        raise _wrong("it holds a user name or password, which would stand in logs; the signature says who calls")
    here = _is_here(host)
    if here and not loopback:
        raise _wrong("it leads to this very machine")
    if parts.scheme != "https" and not (here and parts.scheme == "http"):
        raise _wrong("it is not encrypted")
    return url


def _wrong(what: str) -> Invalid:
    return Invalid(f"The webhook cannot be called: {what}. Send an address such as https://host/path.", field="url")


def _is_here(host: str) -> bool:
    """Whether it names this machine. Raises Invalid for addresses that name no single one."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        raise _wrong("nothing can be called at this address")
    return address.is_loopback


def _checked_events(events: tuple[str, ...], *, own: bool) -> list[str]:
    known = OWN_EVENTS if own else AGENCY_EVENTS
    if unknown := set(events) - known:
        listed = ", ".join(sorted(known))
        raise Invalid(f"Unknown event {', '.join(sorted(unknown))}. Known here: {listed}.", field="events")
    return sorted(set(events))


def create_webhook(session: Session, new: NewWebhook, by: UUID, now: datetime, *, loopback: bool) -> Webhook:
    """Its ``secret`` is told once, by whoever calls this. Raises Invalid for what cannot be called, or too many."""
    if new.mine and len(session.scalars(select(Webhook.id).where(Webhook.user_id == by)).all()) >= MOST_OWN:
        raise Invalid(f"You have {MOST_OWN} webhooks already. Delete one of them first.", field="mine")
    row = Webhook(
        url=checked_url(new.url, loopback=loopback),
        secret="whsec_" + secrets.token_urlsafe(32),
        events=_checked_events(new.events, own=new.mine),
        user_id=by if new.mine else None,
        active=new.active,
        description=new.description,
        created_by=by,
        created_at=now,
    )
    session.add(row)
    session.flush()
    return row


def change_webhook(session: Session, row: Webhook, patch: WebhookPatch, now: datetime, *, loopback: bool) -> None:
    """Only what is given changes. One that is switched off makes no more calls, also none that waited."""
    if patch.url is not None:
        row.url = checked_url(patch.url, loopback=loopback)
    if patch.events is not None:
        row.events = _checked_events(patch.events, own=row.user_id is not None)
    if patch.description is not None:
        row.description = patch.description
    if patch.active is not None:
        row.active = patch.active
    session.flush()
    if not row.active:
        waiting = (WebhookCall.webhook_id == row.id) & (WebhookCall.state == "queued")
        given_up = {"state": "failed", "settled_at": now, "last_error": "The webhook was switched off."}
        session.execute(update(WebhookCall).where(waiting).values(**given_up))


def ping(session: Session, row: Webhook, now: datetime) -> WebhookCall:
    """A call that says nothing. Raises Invalid where the webhook is switched off."""
    if not row.active:
        raise Invalid("This webhook is switched off. Set active to true first.", field="active")
    call = WebhookCall(
        webhook_id=row.id,
        key=f"{PING}:{new_id()}",
        event=PING,
        body={},
        state="queued",
        attempts=0,
        next_attempt_at=now,
        created_at=now,
    )
    session.add(call)
    session.flush()
    return call


def call_again(session: Session, call: WebhookCall, now: datetime) -> None:
    """Raises IllegalTransition for one that arrived: under its key it would be dropped there."""
    if call.state == "delivered":
        raise IllegalTransition("call delivered", "retry", [])
    call.state, call.attempts, call.next_attempt_at = "queued", 0, now
    call.claimed_by, call.settled_at = None, None
    session.flush()


# -- calls ----------------------------------------------------------------------------------------------------------

# A webhook rests while a call of its own is on its way, or has failed a few times and waits to be tried again.
CLAIM = text(
    """
WITH ready AS MATERIALIZED (
  SELECT DISTINCT ON (c.webhook_id) c.id, c.next_attempt_at
  FROM webhook_call c JOIN webhook w ON w.id = c.webhook_id AND w.active LEFT JOIN person p ON p.id = w.user_id
  WHERE c.state = 'queued' AND c.next_attempt_at <= :now AND (w.user_id IS NULL OR p.active)
    AND NOT EXISTS (SELECT FROM webhook_call b WHERE b.webhook_id = c.webhook_id AND b.state = 'queued'
                    AND b.next_attempt_at > :now AND (b.claimed_by IS NOT NULL OR b.attempts BETWEEN 1 AND 3))
  ORDER BY c.webhook_id, c.next_attempt_at, c.created_at, c.id),
due AS (
  SELECT id FROM webhook_call WHERE state = 'queued' AND next_attempt_at <= :now
    AND id IN (SELECT id FROM ready ORDER BY next_attempt_at LIMIT :most) FOR UPDATE SKIP LOCKED)
UPDATE webhook_call c SET next_attempt_at = :until, attempts = c.attempts + 1, claimed_by = :worker
FROM due, webhook w WHERE c.id = due.id AND w.id = c.webhook_id
RETURNING c.id, w.url, w.secret, c.key, c.event, c.body, c.created_at, c.attempts
"""
)


@dataclass(frozen=True, slots=True)
class Call:
    """Everything a call needs, read in one go: no transaction is open while it is made."""

    id: UUID
    url: str
    secret: str
    key: str
    event: str
    body: Mapping[str, Any]
    created_at: datetime
    attempts: int


def claim(session: Session, worker: str, now: datetime, *, most: int = 8) -> list[Call]:
    """Take one call each of up to ``most`` webhooks for the length of a lease, the one that waited longest first."""
    if most < 1:
        return []
    rows = session.execute(CLAIM, {"worker": worker, "now": now, "until": now + LEASE, "most": most})
    return [Call(*row) for row in rows]


def signature(secret: str, timestamp: str, body: bytes) -> str:
    return "sha256=" + hmac.digest(secret.encode(), timestamp.encode() + b"." + body, sha256).hex()


def request_of(call: Call, now: datetime) -> tuple[bytes, dict[str, str]]:
    """Body and headers. The body is the same over all tries; the timestamp is that of the try."""
    told = {"event": call.event, "key": call.key, "created_at": instant(call.created_at), "data": call.body}
    body = json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    timestamp = str(int(now.timestamp()))
    return body, {
        "Content-Type": "application/json",
        "User-Agent": "docflow",
        "X-Docflow-Event": call.event,
        "X-Docflow-Delivery": call.key,
        "X-Docflow-Timestamp": timestamp,
        "X-Docflow-Signature": signature(call.secret, timestamp, body),
    }


def answered(session: Session, call: Call, worker: str, status: int, now: datetime) -> None:
    """2xx: it was taken. Anything else is tried again, and given up after ``MOST_ATTEMPTS`` tries."""
    if 200 <= status < 300:
        _settle(session, call, worker, state="delivered", settled_at=now, last_status=status, last_error="")
        return
    _try_later(session, call, worker, now, f"The other side answered {status}.", status)


def failed(session: Session, call: Call, worker: str, error: DocflowError, now: datetime) -> None:
    if isinstance(error, DeliveryFailed) and error.permanent:
        _settle(session, call, worker, state="failed", settled_at=now, last_error=error.message[:500])
        return
    _try_later(session, call, worker, now, error.message[:500], None)


def _try_later(session: Session, call: Call, worker: str, now: datetime, error: str, status: int | None) -> None:
    if call.attempts >= MOST_ATTEMPTS:
        _settle(session, call, worker, state="failed", settled_at=now, last_error=error, last_status=status)
        return
    again = now + delay_after(call.attempts)
    _settle(session, call, worker, next_attempt_at=again, last_error=error, last_status=status)


def _settle(session: Session, call: Call, worker: str, **values: object) -> None:
    """Nothing where the claim was lost meanwhile: somebody else makes the call, under the same key."""
    mine = (WebhookCall.id == call.id) & (WebhookCall.claimed_by == worker) & (WebhookCall.state == "queued")
    session.execute(update(WebhookCall).where(mine).values(**values, claimed_by=None))
