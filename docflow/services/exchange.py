"""Documents that came by edXML: what their sender asks of them later, what we answer, and how far it is told they are.

A code is told once for a document. What is to be told follows from the whole of its history, so that nothing is
skipped after a crash, and a repeat queues nothing new.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, time
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, StringConstraints
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Document
from docflow.db.queries.exchange import QUEUE, Step, steps_of
from docflow.domain.commands import Command, WithReason, clean_text
from docflow.domain.decide import allowed
from docflow.domain.directory import Directory
from docflow.domain.edxml import EXCHANGE, Status
from docflow.domain.errors import Forbidden, IllegalTransition, Invalid
from docflow.domain.lifecycle import ENDS, Action, State
from docflow.domain.partners import Partner, by_organ
from docflow.domain.plan import Plan
from docflow.domain.roles import Role
from docflow.domain.snapshot import Actor, Snapshot, Task
from docflow.services.asked import Asked
from docflow.services.pictures import Pictures
from docflow.services.transition import Moved, Planner, lock, move, perform, picture, read

TAKE_BACK = "take_back"
WORDS = {
    Status.ARRIVED: "Văn bản đã đến, chờ văn thư xử lý",
    Status.REFUSED: "Từ chối tiếp nhận",
    Status.REGISTERED: "Văn thư đã tiếp nhận, vào sổ văn bản đến",
    Status.ASSIGNED: "Đã phân công xử lý",
    Status.HANDLED: "Đang xử lý",
    Status.COMPLETED: "Đã hoàn thành",
    Status.AGREED: "Đồng ý",
    Status.DISAGREED: "Không đồng ý",
}
HANDLING = frozenset({"claim", "opinion", "submit", "approve", "request_changes", "forward", "consult", "attach"})
"""What people do in review that shows that the document is being handled."""
FURTHEST = 2 * 366  # days; a later due date is taken for a slip of the pen
SHORT = 500


class ExchangeAnswer(Command):
    """To a sender who wants a document back, or sent a new version of one."""

    answer: Literal["agree", "refuse"]
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000), AfterValidator(clean_text)] = ""


# -- what the sender asks -------------------------------------------------------------------------------------------


def ask_back(session: Session, pictures: Pictures, document_id: UUID, organ_id: str, reason: str, asked: Asked) -> None:
    """Its sender wants it back: clerks and all who hold it are told, and a clerk answers (``answer``)."""

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        plan.data |= {"asked": TAKE_BACK, "organ_id": organ_id, "reason": reason[:SHORT]}
        _tell_all(plan, "exchange_take_back", reason)
        return plan

    lock(session, document_id)
    move(session, pictures, document_id, EXCHANGE, asked, planner)
    came = _came_with(session, document_id)
    _keep(session, document_id, came | {"asked": {"wish": TAKE_BACK, "reason": reason[:SHORT]}})


def tell_of_successor(
    session: Session, pictures: Pictures, earlier: UUID, later: UUID, kind: str, reason: str, asked: Asked
) -> None:
    """Who works on the earlier document hears that another updates or replaces it."""

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        plan.data |= {"by": str(later), "kind": kind, "reason": reason[:SHORT]}
        _tell_all(plan, f"exchange_{kind}", reason)
        return plan

    move(session, pictures, earlier, EXCHANGE, asked, planner)


def _tell_all(plan: Plan, kind: str, text: str) -> None:
    told = {p.id for p in plan.actor.directory.holders(Role.CLERK, plan.actor.directory.root.id)}
    for task in plan.active():
        told |= set(_people_of(task, plan.actor.directory))
    for user_id in sorted(told):
        plan.notify(user_id, kind, f"{EXCHANGE}:{plan.doc.id}:{plan.doc.seq + 1}", data={"text": text[:SHORT]})


def _people_of(task: Task, directory: Directory) -> Iterator[UUID]:
    if task.user_id is not None:
        yield task.user_id
    elif task.unit_id is not None and task.pool_role is not None:
        yield from (p.id for p in directory.reached(task.pool_role, task.unit_id))


def take_over_due(session: Session, pictures: Pictures, document_id: UUID, due: date, asked: Asked) -> None:
    """The sender's due date becomes the deadline, at the end of that working day, unless it has passed already."""

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        hours = plan.hours()
        at = hours.end_of_working_day(datetime.combine(due, time(), hours.zone))
        plan.data["due"] = due.isoformat()
        if at > asked.now:
            plan.restart(None, at)
            plan.set_due(at)
        return plan

    local = asked.now.date()
    if abs((due - local).days) <= FURTHEST:
        move(session, pictures, document_id, EXCHANGE, asked, planner)


# -- what a clerk answers -------------------------------------------------------------------------------------------


def answer(session: Session, pictures: Pictures, document_id: UUID, command: ExchangeAnswer, asked: Asked) -> Moved:
    """Tell the sender whether its wish is met. A document that is given back ends, where the rules let the clerk return
    or recall it; else its handlers go on and the answer says so (``ended``).

    Raises NotFound, Forbidden for anyone but a clerk, IllegalTransition where nothing was asked.
    """
    if command.answer == "refuse" and not command.reason:
        raise Invalid("Say why: the sender will read it.", field="reason")
    status = Status.AGREED if command.answer == "agree" else Status.DISAGREED
    lock(session, document_id)
    moved = move(
        session, pictures, document_id, EXCHANGE, asked, _answering(session, document_id, command, status, asked)
    )
    if moved.repeated:
        return moved
    came = _came_with(session, document_id)
    wish = came.pop("asked")["wish"]
    said = {"code": status.value, "reason": command.reason, "wish": wish, "at": asked.now.isoformat()}
    _keep(session, document_id, came | {"answered": said})
    _, configuration = pictures.newest(session)
    partner = partner_of(configuration.partners, came)
    text = f"{WORDS[status]}: {command.reason}" if command.reason else WORDS[status]
    key = f"{document_id}:{status.value}:{moved.answer['seq']}"
    if partner is not None and takes_statuses(partner):
        _queue(session, key, document_id, partner, came, status, text, asked.now, asked.now)
    if wish == TAKE_BACK and status is Status.AGREED:
        ended = _give_back(session, pictures, document_id, command, asked)
        return Moved((ended or moved).answer | {"ended": ended is not None}, plan=moved.plan)
    return moved


def _answering(session: Session, document_id: UUID, command: ExchangeAnswer, status: Status, asked: Asked) -> Planner:
    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        if not actor.has(Role.CLERK, actor.directory.root.id):
            raise Forbidden("Only a clerk may answer the sender.")
        wish = _came_with(session, document_id).get("asked")
        if not wish:
            raise IllegalTransition(
                snapshot.state.value, EXCHANGE, [], "Its sender has asked for nothing that is not answered yet."
            )
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        plan.data |= {"answer": status.value, "wish": wish["wish"], "reason": command.reason}
        return plan

    return planner


def _give_back(
    session: Session, pictures: Pictures, document_id: UUID, command: ExchangeAnswer, asked: Asked
) -> Moved | None:
    """None where it has ended, or the rules let a clerk neither return nor recall it."""
    snapshot, actor = picture(session, pictures, read(session, document_id, asked), asked)
    possible = allowed(snapshot, actor) if snapshot.state not in ENDS else []
    action = next((a for a in (Action.RETURN, Action.RECALL) if a in possible), None)
    if action is None:
        return None
    told = replace(asked, key=None, if_match=None, facts={**asked.facts, EXCHANGE: Status.AGREED.value})
    reason = WithReason(reason=command.reason or "Nơi gửi thu hồi văn bản")
    return perform(session, pictures, document_id, action, reason, told)


# -- what its sender is told ----------------------------------------------------------------------------------------


def tell_progress(session: Session, pictures: Pictures, document_id: UUID, now: datetime) -> int:
    """Queue every status that its history calls for and that is not queued yet. Returns how many."""
    came = session.scalar(select(Document.exchange).where(Document.id == document_id))
    _, configuration = pictures.newest(session)
    partner = partner_of(configuration.partners, came) if came else None
    if came is None or partner is None or not takes_statuses(partner):
        return 0
    told: dict[Status, tuple[str, datetime]] = {}
    for status, text, at in statuses(steps_of(session, document_id)):
        told.setdefault(status, (text, at))
    return sum(
        _queue(session, f"{document_id}:{status.value}", document_id, partner, came, status, text, at, now)
        for status, (text, at) in told.items()
    )


def statuses(steps: list[Step]) -> Iterator[tuple[Status, str, datetime]]:
    """What each step means to the sender (domain.md §6), with words and instant; the first of a code counts."""
    for step in steps:
        status = _status_of(step)
        if status is not None:
            reason = str(step.data.get("reason", "")) if status is Status.REFUSED else ""
            yield status, f"{WORDS[status]}: {reason}"[:SHORT] if reason else WORDS[status], step.at


def _status_of(step: Step) -> Status | None:
    if step.state_from is None:
        return Status.ARRIVED
    if step.state_to != step.state_from and step.state_to in ENDS:
        return None if step.data.get(EXCHANGE) == Status.AGREED else _END.get(State(step.state_to))
    if step.action == Action.REGISTER:
        return Status.REGISTERED
    if step.action == Action.ASSIGN:
        return Status.ASSIGNED
    return Status.HANDLED if step.state_from == State.REVIEW and step.action in HANDLING else None


_END: Mapping[State, Status] = {
    State.CLOSED: Status.COMPLETED,
    State.RETURNED: Status.REFUSED,
    State.REJECTED: Status.REFUSED,
}


def _queue(
    session: Session,
    key: str,
    document_id: UUID,
    partner: Partner,
    came: Mapping[str, Any],
    status: Status,
    text: str,
    at: datetime,
    now: datetime,
) -> bool:
    """False where it was queued before."""
    facts = {name: came.get(name, "") for name in ("organ_id", "document_id", "number_symbol", "date")}
    row = {
        "id": new_id(),
        "key": key,
        "document": document_id,
        "partner": partner.name,
        "code": status.value,
        "facts": json.dumps(facts | {"text": text, "at": at.isoformat()}),
        "now": now,
    }
    return session.execute(QUEUE, row).one_or_none() is not None


def partner_of(partners: tuple[Partner, ...], came: Mapping[str, Any]) -> Partner | None:
    return next((p for p in partners if p.name == came["partner"]), None) or by_organ(partners, came["organ_id"])


def takes_statuses(partner: Partner) -> bool:
    return partner.edxml is not None and partner.edxml.url is not None and partner.edxml.statuses


def _came_with(session: Session, document_id: UUID) -> dict[str, Any]:
    """Raises Invalid for a document that did not come by edXML."""
    came = session.scalar(select(Document.exchange).where(Document.id == document_id))
    if not came:
        raise Invalid("This document did not come by edXML. Answer its sender in the way it came.")
    return dict(came)


def _keep(session: Session, document_id: UUID, came: dict[str, Any]) -> None:
    session.execute(update(Document).where(Document.id == document_id).values(exchange=came))
