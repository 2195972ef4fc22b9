"""What mail systems report of mails we sent (RFC 3464, RFC 8098) settles their deliveries."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Delivery
from docflow.domain.lifecycle import DeliveryState
from docflow.domain.plan import Plan
from docflow.domain.snapshot import Actor, Snapshot
from docflow.services.asked import Asked
from docflow.services.delivery_events import EventKind, note
from docflow.services.dispatch import close_when_settled, for_clerks
from docflow.services.letters import Admitted, TakenIn, quarantined
from docflow.services.linking import Match, by_reference, by_token, told
from docflow.services.parcels import ACKNOWLEDGE
from docflow.services.pictures import Pictures
from docflow.services.ports import MailReport, ParsedMail, ReportedRecipient
from docflow.services.transition import lock, move

Event = Literal["bounced", "delivered", "read", "noted"]
LOOK_BACK = timedelta(days=14)
"""How old a delivery may be that is found by its recipient's address alone."""

_ON_THE_WAY = frozenset({DeliveryState.QUEUED, DeliveryState.FAILED, DeliveryState.SENT})
"""A mail whose sending broke off may have got there all the same."""
_FORWARD: dict[Event, tuple[DeliveryState, frozenset[DeliveryState]]] = {
    "bounced": (DeliveryState.BOUNCED, _ON_THE_WAY | {DeliveryState.DELIVERED}),
    "delivered": (DeliveryState.DELIVERED, _ON_THE_WAY),
    "read": (DeliveryState.READ, _ON_THE_WAY | {DeliveryState.DELIVERED}),
}
"""Where each report leads, and from where: only ever forwards."""
_KNOWN_ALREADY: dict[Event, frozenset[DeliveryState]] = {
    "bounced": frozenset({DeliveryState.BOUNCED}),
    "delivered": frozenset({DeliveryState.DELIVERED, DeliveryState.READ}),
    "read": frozenset({DeliveryState.READ}),
    "noted": frozenset(),
}


@dataclass(frozen=True, slots=True)
class Told:
    """What a report says of one delivery."""

    event: Event
    action: str
    status: str = ""
    diagnostic: str = ""


def take(session: Session, pictures: Pictures, taken: TakenIn, mail: ParsedMail, asked: Asked) -> Admitted:
    """Settle the delivery that the report is about. Quarantined where it is about none of ours."""
    assert mail.report is not None, "asked for reports only"
    match = (
        by_token(session, taken.delivery_id)
        or by_reference(session, (*filter(None, (mail.report.original_id,)), *mail.in_reply_to))
        or _by_recipient(session, mail.report, asked)
    )
    if match is None:
        return quarantined(
            "unmatched_report",
            "It reports on a mail that is none of ours, or no longer known. Link it to a document, or reject it.",
        )
    settled = _settle(session, pictures, match, mail.report, asked)
    return Admitted("linked", match.document_id, reason_code=settled.event, reason=_reason(settled))


def _by_recipient(session: Session, report: MailReport, asked: Asked) -> Match | None:
    """Some systems name only whom they could not reach: enough where one mail alone went there lately."""
    addresses = {r.address.lower() for r in report.recipients if r.address}
    if len(addresses) != 1:
        return None
    sent = (
        (func.lower(Delivery.address) == addresses.pop())
        & (Delivery.channel == "email")
        & Delivery.state.in_((DeliveryState.SENT, DeliveryState.DELIVERED))
        & (Delivery.created_at >= asked.now - LOOK_BACK)
    )
    rows = session.execute(select(Delivery.document_id, Delivery.id, Delivery.kind).where(sent).limit(2)).all()
    return Match(rows[0][0], rows[0][1], rows[0][2], "recipient") if len(rows) == 1 else None


def _settle(session: Session, pictures: Pictures, match: Match, report: MailReport, asked: Asked) -> Told:
    lock(session, match.document_id)
    delivery = session.get_one(Delivery, match.delivery_id, with_for_update=True, populate_existing=True)
    found = _told(report, delivery)
    if delivery.channel == "portal" and found.event in ("delivered", "read"):
        found = replace(found, event="noted")  # that the link arrived: the document waits until somebody comes for it
    was = DeliveryState(delivery.state)
    if was in _KNOWN_ALREADY[found.event]:
        return found
    state = _next(was, found.event)
    _store(delivery, state, was, found, asked)
    session.flush()
    if found.event != "noted" or found.action == "delayed":
        befell: EventKind = "deferred" if found.event == "noted" else found.event
        note(session, delivery.id, befell, asked.now, detail=_reason(found))
    _record(session, pictures, match, delivery, found, was, asked)
    if delivery.kind == "document" and was is not state:
        close_when_settled(session, pictures, match.document_id, asked)
    return found


def _next(was: DeliveryState, event: Event) -> DeliveryState:
    state, sources = _FORWARD.get(event, (was, frozenset()))
    return state if was in sources else was


def _store(delivery: Delivery, state: DeliveryState, was: DeliveryState, found: Told, asked: Asked) -> None:
    if found.event == "noted" and found.diagnostic:
        delivery.last_error = found.diagnostic[:2000]
    if state is was:
        return
    delivery.state, delivery.claimed_by = state.value, None
    if state is DeliveryState.BOUNCED:
        delivery.answer, delivery.settled_at = _answer(found), asked.now
    delivery.settled_at = delivery.settled_at or asked.now


def _answer(found: Told) -> str:
    return " ".join(filter(None, (found.status, found.diagnostic)))[:2000] or "The mail came back."


def _told(report: MailReport, delivery: Delivery) -> Told:
    if report.kind == "receipt":
        read = "displayed" in report.disposition.lower()
        return Told("read" if read else "noted", report.disposition[:100] or "receipt")
    spoken_of = _spoken_of(report, delivery.address)
    if spoken_of is None:
        return Told("noted", "report")
    events: dict[str, Event] = {"failed": "bounced", "delivered": "delivered", "relayed": "delivered"}
    action = spoken_of.action.lower()
    return Told(events.get(action, "noted"), action[:100], spoken_of.status[:20], spoken_of.diagnostic)


def _spoken_of(report: MailReport, address: str) -> ReportedRecipient | None:
    """The recipient we wrote to. Where an alias or a list stands between, whoever it failed for, else the first."""
    own = [r for r in report.recipients if r.address.lower() == address.lower()]
    failed = [r for r in report.recipients if r.action.lower() == "failed"]
    return next(iter((*own, *failed, *report.recipients)), None)


def _record(
    session: Session,
    pictures: Pictures,
    match: Match,
    delivery: Delivery,
    found: Told,
    was: DeliveryState,
    asked: Asked,
) -> None:
    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        plan.data |= told(match) | {
            "kind": delivery.kind,
            "recipient": delivery.recipient,
            "state": delivery.state,
            "report": found.action,
            "status": found.status,
            "diagnostic": found.diagnostic[:500],
        }
        came_back = delivery.state == DeliveryState.BOUNCED and was != DeliveryState.BOUNCED
        if came_back and delivery.kind != ACKNOWLEDGE:
            plan.notices += for_clerks(actor.directory, snapshot, "delivery_bounced", delivery.id, asked.now)
        return plan

    move(session, pictures, match.document_id, "report_delivery", asked, planner)


def _reason(found: Told) -> str:
    said = " ".join(filter(None, (found.status, found.diagnostic)))
    return f"A report on a mail we sent ({found.action}){': ' + said if said else ''}"[:500]
