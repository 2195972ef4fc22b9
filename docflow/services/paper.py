"""What leaves on paper: it waits for the clerk, is posted with a number, and somebody signs for it."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Delivery
from docflow.domain.commands import Command, clean_text
from docflow.domain.errors import DocflowError, Forbidden, IllegalTransition, Invalid, NotFound
from docflow.domain.lifecycle import DeliveryState
from docflow.domain.plan import Plan
from docflow.domain.roles import Role
from docflow.domain.snapshot import Actor, Snapshot
from docflow.services.asked import Asked
from docflow.services.delivery_events import note
from docflow.services.dispatch import close_when_settled
from docflow.services.pictures import Pictures
from docflow.services.transition import Moved, lock, move

PAPER = "paper"
MOST_AT_ONCE = 200
Waybill = Annotated[str, StringConstraints(strip_whitespace=True, max_length=50), AfterValidator(clean_text)]
Named = Annotated[str, StringConstraints(strip_whitespace=True, max_length=100), AfterValidator(clean_text)]


class Posted(Command):
    """How it left. ``postal_number`` is the item's number at the carrier, empty where it goes by messenger;
    ``posted_on`` left out is today."""

    postal_number: Waybill = ""
    carrier: Named = ""
    posted_on: date | None = None


class PostedItem(Posted):
    delivery_id: UUID


class PostedItems(Command):
    items: Annotated[tuple[PostedItem, ...], Field(min_length=1, max_length=MOST_AT_ONCE)]


class Received(Command):
    """Who signed for it."""

    received_by: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(clean_text)
    ]
    received_on: date | None = None


def post(
    session: Session, pictures: Pictures, document_id: UUID, delivery_id: UUID, posted: Posted, asked: Asked
) -> Moved:
    """It was handed to the carrier. Once more mends the number or the carrier.

    Raises NotFound, Forbidden for anyone but a clerk, IllegalTransition where it was received or taken back already,
    Invalid for a day that has not come.
    """
    may_be = frozenset({DeliveryState.QUEUED, DeliveryState.SENT})

    def change(delivery: Delivery, at: datetime) -> dict[str, Any]:
        delivery.state, delivery.settled_at = DeliveryState.SENT.value, at
        delivery.postal_number, delivery.carrier = posted.postal_number, posted.carrier
        told = {"postal_number": posted.postal_number, "carrier": posted.carrier}
        words = " ".join(filter(None, (posted.carrier, posted.postal_number)))
        note(session, delivery.id, "posted", asked.now, detail=f"{at.date()} {words}".strip())
        return {name: value for name, value in told.items() if value}

    return _changed(session, pictures, document_id, delivery_id, asked, "post", may_be, posted.posted_on, change)


def receive(
    session: Session, pictures: Pictures, document_id: UUID, delivery_id: UUID, received: Received, asked: Asked
) -> Moved:
    """Somebody signed for it; what never went by post was handed over. Raises as ``post``."""
    may_be = frozenset({DeliveryState.QUEUED, DeliveryState.SENT})

    def change(delivery: Delivery, at: datetime) -> dict[str, Any]:
        delivery.state, delivery.settled_at = DeliveryState.DELIVERED.value, delivery.settled_at or at
        delivery.received_by, delivery.received_at = received.received_by, at
        note(session, delivery.id, "received", asked.now, detail=f"{at.date()} {received.received_by}")
        return {"received_by": received.received_by}

    return _changed(session, pictures, document_id, delivery_id, asked, "receive", may_be, received.received_on, change)


def _changed(
    session: Session,
    pictures: Pictures,
    document_id: UUID,
    delivery_id: UUID,
    asked: Asked,
    verb: str,
    may_be: frozenset[DeliveryState],
    on: date | None,
    change: Callable[[Delivery, datetime], dict[str, Any]],
) -> Moved:
    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        if not actor.has(Role.CLERK, actor.directory.root.id):
            raise Forbidden("Only a clerk may say how paper left and who received it.")
        delivery = _paper(session, document_id, delivery_id)
        if DeliveryState(delivery.state) not in may_be:
            raise IllegalTransition(f"delivery {delivery.state}", verb, [])
        at = _instant(on, delivery.created_at, asked.now, snapshot.calendars.for_units().zone)
        told = change(delivery, at)
        session.flush()
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        plan.data |= {"delivery": str(delivery.id), "kind": delivery.kind, "recipient": delivery.recipient}
        plan.data |= {"channel": PAPER, "state": delivery.state, "on": at.date().isoformat(), **told}
        return plan

    lock(session, document_id)
    moved = move(session, pictures, document_id, "deliver", asked, planner)
    if not moved.repeated:
        return close_when_settled(session, pictures, document_id, Asked(asked.now, "flow")) or moved
    return moved


def _paper(session: Session, document_id: UUID, delivery_id: UUID) -> Delivery:
    delivery = session.get(Delivery, delivery_id, with_for_update=True, populate_existing=True)
    if delivery is None or delivery.document_id != document_id or delivery.channel != PAPER:
        raise NotFound("There is no such delivery on paper on this document.")
    return delivery


def _instant(on: date | None, created: datetime, now: datetime, zone: ZoneInfo) -> datetime:
    """Now, or noon of the day that is named: paper tells the day alone."""
    today = now.astimezone(zone).date()
    if on is None or on == today:
        return now.astimezone(zone)
    if on > today:
        raise Invalid(f"{on.isoformat()} has not come yet. Name the day it happened.", field="day")
    if on < created.astimezone(zone).date():
        raise Invalid(f"It was not dispatched yet on {on.isoformat()}. Name the day it happened.", field="day")
    return datetime.combine(on, time(12), zone)


def post_many(
    session: Session, pictures: Pictures, items: Sequence[tuple[UUID | None, PostedItem]], asked: Asked
) -> dict[str, Any]:
    """Each with its document, None where it is not to be seen; one that cannot be posted stops no other.

    Returns a row an item, in their order, and how many were posted and failed.
    """
    results: dict[int, dict[str, Any]] = {}
    for index, (document_id, item) in sorted(enumerate(items), key=lambda one: str(one[1][0])):
        results[index] = _posted(session, pictures, document_id, item, asked)
    rows = [results[index] for index in range(len(items))]
    posted = sum(row["status"] == "posted" for row in rows)
    return {"items": rows, "posted": posted, "failed": len(rows) - posted}


def _posted(
    session: Session, pictures: Pictures, document_id: UUID | None, item: PostedItem, asked: Asked
) -> dict[str, Any]:
    row: dict[str, Any] = {"delivery_id": str(item.delivery_id)}
    try:
        if document_id is None:
            raise NotFound("There is no such delivery, or it is not yours to see.")
        with session.begin_nested():
            post(session, pictures, document_id, item.delivery_id, item, asked)
    except DocflowError as error:
        return row | {"status": "failed", "problem": {"code": error.code, "detail": error.message}}
    return row | {"status": "posted", "document_id": str(document_id)}
