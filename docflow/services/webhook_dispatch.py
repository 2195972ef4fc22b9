"""Documents as signed JSON to partners that take them so. No transaction is open while one travels."""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from docflow.db.models import Document
from docflow.db.queries.deliveries import signer_of
from docflow.domain.configuration import Configuration
from docflow.domain.errors import DeliveryFailed, Invalid
from docflow.domain.lifecycle import DeliveryState
from docflow.domain.partners import DocumentWebhook, addressed
from docflow.services.carry import Pouch
from docflow.services.parcels import Enclosed, Parcel
from docflow.services.pictures import Pictures
from docflow.services.webhooks import signature

TRY_AGAIN = frozenset({408, 409, 425, 429})
"""Refusals that only mean: not now."""
MOST_BYTES = 64 * 1024 * 1024
"""Of all files of one document: they travel inside the JSON, a third larger."""


@dataclass(frozen=True, slots=True)
class Reply:
    """``body`` is the beginning of the answer, as far as anybody looks at it."""

    status: int
    body: bytes = b""


class DocumentCaller(Protocol):
    def call(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Send it and return the answer, whatever it is; redirects are not followed.

        Raises DeliveryFailed where no answer came in time."""


@dataclass(frozen=True, slots=True)
class Telling:
    """A parcel with what its receiver is told of the document, and where it takes that; None where no partner does."""

    parcel: Parcel
    to: DocumentWebhook | None
    facts: Mapping[str, Any]


def tellings(session: Session, pictures: Pictures, parcels: list[Parcel]) -> list[Telling]:
    """By the newest configuration: a partner's address may change while a document waits."""
    if not parcels:
        return []
    _, configuration = pictures.newest(session)
    ids = {parcel.document_id for parcel in parcels}
    documents = {d.id: d for d in session.scalars(select(Document).where(Document.id.in_(ids)))}
    facts = {i: _facts(session, configuration, documents[i]) for i in ids}
    return [_telling(configuration, parcel, facts[parcel.document_id]) for parcel in parcels]


def _telling(configuration: Configuration, parcel: Parcel, facts: Mapping[str, Any]) -> Telling:
    partner = addressed(configuration.partners, parcel.address)
    return Telling(parcel, partner.webhook if partner else None, facts)


def _facts(session: Session, configuration: Configuration, document: Document) -> dict[str, Any]:
    kind = next((t for t in configuration.document_types if t.id == document.document_type), None)
    signer, capacity = signer_of(session, document.id)
    return {
        "id": str(document.id),
        "agency": {"code": configuration.agency.code, "name": configuration.agency.name},
        "number": document.number if document.direction == "outgoing" else None,
        "notation": document.notation or document.number_symbol or None,
        "date": _day(document.document_date),
        "type": {"id": document.document_type, "name": kind.name if kind else "", "code": kind.code if kind else None},
        "subject": document.subject,
        "urgency": document.urgency,
        "signer": {"name": document.details.get("signer_name") or signer, "capacity": capacity},
        "recipients": [str(r.get("name", "")) for r in document.recipients],
    }


def _day(value: date | None) -> str | None:
    return value.isoformat() if value else None


def send(
    telling: Telling, client: DocumentCaller, pouch: Pouch, secret: Callable[[str], bytes | None], now: datetime
) -> tuple[DeliveryState, str]:
    """Hand it over; returns how far it is known to have got, and the answer. A repeat is the same body under the same
    ``X-Docflow-Delivery``, which its receiver can drop.

    Raises DeliveryFailed; Invalid for what can never leave; what ``Pouch`` raises.
    """
    parcel = telling.parcel
    if parcel.secret:
        raise Invalid("A secret document does not leave by webhook. Send it on paper.")
    if telling.to is None:
        raise Invalid(
            f"No partner takes documents by webhook under '{parcel.address}'. Give it a webhook in "
            "config/partners.yaml and send this again, or send it another way."
        )
    key = secret(telling.to.secret)
    if key is None:
        raise DeliveryFailed(
            f"The secret '{telling.to.secret}' is not set. Set DOCFLOW_SECRETS__ and it.", permanent=False
        )
    body = body_of(telling, pouch)
    reply = client.call(telling.to.url, body, _headers(telling.to, parcel.id, key, body, now))
    return _end(reply)


def body_of(telling: Telling, pouch: Pouch) -> bytes:
    """The same bytes over all tries. Raises Invalid where the files are too large to travel so."""
    parcel = telling.parcel
    size = sum(file.size for file in parcel.files)
    if size > MOST_BYTES:
        raise Invalid(
            f"Its files have {size:,} bytes; by webhook at most {MOST_BYTES:,} leave. Send it by the channel 'portal'."
        )
    told: dict[str, Any] = {
        "event": parcel.kind,
        "delivery": str(parcel.id),
        "recipient": parcel.recipient,
        "document": telling.facts,
        "files": [_file(file, pouch) for file in parcel.files],
    }
    if parcel.reason:
        told["reason"] = parcel.reason
    return json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _file(file: Enclosed, pouch: Pouch) -> dict[str, Any]:
    return {
        "name": file.name,
        "media_type": file.media_type,
        "size": file.size,
        "sha256": file.sha256,
        "content": b64encode(pouch.path(file).read_bytes()).decode("ascii"),
    }


def _headers(to: DocumentWebhook, delivery_id: UUID, key: bytes, body: bytes, now: datetime) -> dict[str, str]:
    timestamp = str(int(now.timestamp()))
    return {
        "Content-Type": "application/json",
        "User-Agent": "docflow",
        "X-Docflow-Delivery": str(delivery_id),
        "X-Docflow-Source": to.sign_as or to.secret,
        "X-Docflow-Timestamp": timestamp,
        "X-Docflow-Signature": signature(key.decode(), timestamp, body),
    }


def _end(reply: Reply) -> tuple[DeliveryState, str]:
    if 200 <= reply.status < 300:
        state = DeliveryState.DELIVERED if _received(reply.body) else DeliveryState.SENT
        return state, f"HTTP {reply.status}"
    permanent = 400 <= reply.status < 500 and reply.status not in TRY_AGAIN
    raise DeliveryFailed(f"The partner answered {reply.status}.", permanent=permanent)


def _received(body: bytes) -> bool:
    """Whether the receiver says that it has it: ``{"received": true}``."""
    try:
        said = json.loads(body)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("received") is True
