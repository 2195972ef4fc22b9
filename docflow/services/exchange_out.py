"""What leaves by edXML: sending it, and telling partners how far their documents are. No transaction is open while a
message travels."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import ExchangeMessage
from docflow.db.queries.exchange import CLAIM_MESSAGES
from docflow.domain.configuration import Agency, Configuration
from docflow.domain.edxml import EXCHANGE, EdxmlMessage, Organ, Reference, Status
from docflow.domain.errors import DeliveryFailed, DocflowError, Invalid
from docflow.domain.partners import EdxmlExchange, Partner, addressed
from docflow.domain.plan import Plan
from docflow.domain.snapshot import Actor, ClockKind, Snapshot
from docflow.services.asked import Asked
from docflow.services.backoff import LEASE, MOST_ATTEMPTS, delay_after
from docflow.services.dispatch import for_clerks
from docflow.services.pictures import Pictures
from docflow.services.ports import ObjectStore, WebhookClient
from docflow.services.transition import move
from docflow.services.webhooks import signature

Write = Callable[[EdxmlMessage, Sequence[Path], IO[bytes]], None]
UNREADABLE = frozenset({400, 413, 415, 422})
"""Answers that trying again does not change."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message with the hashes of its files, and the partner it goes to, where ``address`` names one."""

    address: str
    partner: Partner | None
    message: EdxmlMessage
    files: tuple[str, ...] = ()
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """A claimed status message."""

    id: UUID
    document_id: UUID
    status: Status
    attempts: int
    letter: Letter


@dataclass(frozen=True, slots=True)
class Post:
    """What sending needs of the outside world; ``secret`` finds a shared secret by its name."""

    store: ObjectStore
    client: WebhookClient
    write: Write
    secret: Callable[[str], bytes | None]


def send(letter: Letter, post: Post, now: datetime) -> str:
    """Hand it to the partner, signed, and return the answer's status. A repeat is the same message under the same
    DocumentId, which its receiver can drop.

    Raises DeliveryFailed; Invalid for what can never leave; IntegrityFailure or Unavailable of the store.
    """
    if letter.secret:
        raise Invalid("A secret document does not leave by edXML. Send it on paper.")
    way = _way_to(letter)
    with ExitStack() as opened:
        files = [opened.enter_context(post.store.fetch(sha256)) for sha256 in letter.files]
        target = opened.enter_context(TemporaryFile(prefix="docflow-out-"))
        post.write(letter.message, files, target)
        target.seek(0)
        body = target.read()
    assert way.url is not None, "looked at above"
    status = post.client.post(way.url, body, _headers(way, post, body, now))
    if not 200 <= status < 300:
        raise DeliveryFailed(f"The partner answered {status}.", permanent=status in UNREADABLE)
    return f"HTTP {status}"


def _way_to(letter: Letter) -> EdxmlExchange:
    way = letter.partner.edxml if letter.partner else None
    if way is None or way.url is None:
        raise Invalid(
            f"No partner takes edXML under '{letter.address}'. Give it a URL in config/partners.yaml and send this "
            "again, or send it another way."
        )
    return way


def _headers(way: EdxmlExchange, post: Post, body: bytes, now: datetime) -> dict[str, str]:
    headers = {"Content-Type": "application/xml", "User-Agent": "docflow"}
    if way.secret is None:
        return headers
    secret = post.secret(way.secret)
    if secret is None:
        raise DeliveryFailed(f"The secret '{way.secret}' is not set. Set DOCFLOW_SECRETS__ and it.", permanent=False)
    timestamp = str(int(now.timestamp()))
    return headers | {
        "X-Docflow-Source": way.sign_as or way.secret,
        "X-Docflow-Timestamp": timestamp,
        "X-Docflow-Signature": signature(secret.decode(), timestamp, body),
    }


def organ_of(agency: Agency) -> Organ:
    return Organ(
        agency.code,
        agency.name,
        agency.email,
        address=agency.address or "",
        telephone=agency.telephone or "",
        website=agency.website or "",
    )


# -- statuses -------------------------------------------------------------------------------------------------------


def claim_statuses(session: Session, pictures: Pictures, worker: str, now: datetime, *, most: int) -> list[Told]:
    rows = session.execute(CLAIM_MESSAGES, {"worker": worker, "now": now, "until": now + LEASE, "most": most}).all()
    if not rows:
        return []
    _, configuration = pictures.newest(session)
    return [_told(row, configuration) for row in sorted(rows, key=lambda row: str(row.id))]


def _told(row: Any, configuration: Configuration) -> Told:
    facts: Mapping[str, str] = row.facts
    status = Status(row.status_code)
    day = date.fromisoformat(facts["date"]) if facts.get("date") else None
    message = EdxmlMessage(
        sender=organ_of(configuration.agency),
        recipients=(Organ(facts["organ_id"]),),
        document_id=facts["document_id"],
        status=status,
        status_text=facts["text"],
        answers=(Reference(facts["organ_id"], facts["document_id"], facts.get("number_symbol", ""), day),),
        at=datetime.fromisoformat(facts["at"]),
    )
    letter = Letter(row.partner, addressed(configuration.partners, row.partner), message)
    return Told(row.id, row.document_id, status, row.attempts, letter)


def was_told(session: Session, pictures: Pictures, told: Told, worker: str, answer: str, asked: Asked) -> None:
    """Nothing where the claim was lost meanwhile. That its sender knows of it stops that clock (Decree 30/2020 art.
    21)."""
    if not _settle(session, told, worker, state="sent", settled_at=asked.now, last_error=""):
        return

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        plan.data |= {"told": told.status.value, "partner": told.letter.address, "answer": answer}
        plan.visible_change = False
        plan.stop(ClockKind.ACKNOWLEDGE)
        return plan

    move(session, pictures, told.document_id, EXCHANGE, asked, planner)


def was_not_told(
    session: Session, pictures: Pictures, told: Told, worker: str, error: DocflowError, asked: Asked
) -> None:
    """Later again; given up after ``MOST_ATTEMPTS`` tries, which the clerks are told."""
    permanent = isinstance(error, Invalid) or (isinstance(error, DeliveryFailed) and error.permanent)
    if not permanent and told.attempts < MOST_ATTEMPTS:
        again = asked.now + delay_after(told.attempts)
        _settle(session, told, worker, next_attempt_at=again, last_error=error.message[:2000])
        return
    if not _settle(session, told, worker, state="failed", settled_at=asked.now, last_error=error.message[:2000]):
        return

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        plan.data |= {"not_told": told.status.value, "partner": told.letter.address, "answer": error.message[:500]}
        plan.visible_change = False
        plan.notices += for_clerks(actor.directory, snapshot, "delivery_failed", told.id, asked.now)
        return plan

    move(session, pictures, told.document_id, EXCHANGE, asked, planner)


def _settle(session: Session, told: Told, worker: str, **values: object) -> bool:
    row = ExchangeMessage
    mine = (row.id == told.id) & (row.claimed_by == worker) & (row.state == "queued")
    changed = session.execute(update(row).where(mine).values(**values, claimed_by=None).returning(row.id))
    return changed.one_or_none() is not None
