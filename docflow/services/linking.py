"""Which of our deliveries a mail that came in belongs to, and what an answer means for the document it answers."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Delivery, Document, Relation, Task
from docflow.db.queries.visible import Sight, visible
from docflow.domain.configuration import Configuration
from docflow.domain.lifecycle import TaskRole, TaskState
from docflow.domain.partners import by_address
from docflow.domain.plan import Plan
from docflow.domain.roles import Role
from docflow.domain.searching import searchable
from docflow.domain.snapshot import Actor, ClockKind, Snapshot
from docflow.services.answer_deadlines import take_answer
from docflow.services.asked import Asked
from docflow.services.letters import TakenIn
from docflow.services.pictures import Pictures
from docflow.services.ports import ParsedMail
from docflow.services.transition import lock, move

FoundBy = Literal["token", "reference", "subject", "recipient"]
_NOTATION = re.compile(r"\d{1,7}/[\w./-]*\w")
_MOST_NOTATIONS = 5
_MOST_DOCUMENTS = 50
_ANSWERED = frozenset({"document", "recall"})
"""The kinds of deliveries whose answer answers the document itself."""


@dataclass(frozen=True, slots=True)
class Match:
    """What a mail is about. Where a known partner names our document, ``delivery_id`` may be missing."""

    document_id: UUID
    delivery_id: UUID | None
    kind: str
    found_by: FoundBy


def find(session: Session, configuration: Configuration, taken: TakenIn, mail: ParsedMail) -> Match | None:
    """By the token in an address or subject, else by the mails it answers, else by our number in its subject, which
    counts only from somebody we sent the document to, or from a partner."""
    return (
        by_token(session, taken.delivery_id)
        or by_reference(session, mail.in_reply_to)
        or _by_subject(session, configuration, mail)
    )


def by_token(session: Session, delivery_id: UUID | None) -> Match | None:
    if delivery_id is None:
        return None
    return _first(session, Delivery.id == delivery_id, "token")


def by_reference(session: Session, message_ids: Sequence[str]) -> Match | None:
    """The delivery whose Message-ID stands nearest in ``message_ids``."""
    if not message_ids:
        return None
    known = select(Delivery.message_id).where(Delivery.message_id.in_(message_ids))
    sent = set(session.scalars(known))
    nearest = next((one for one in message_ids if one in sent), None)
    return None if nearest is None else _first(session, Delivery.message_id == nearest, "reference")


def _first(session: Session, which: ColumnElement[bool], found_by: FoundBy) -> Match | None:
    query = select(Delivery.document_id, Delivery.id, Delivery.kind).where(which).order_by(Delivery.id).limit(1)
    row = session.execute(query).one_or_none()
    return None if row is None else Match(row[0], row[1], row[2], found_by)


def _by_subject(session: Session, configuration: Configuration, mail: ParsedMail) -> Match | None:
    wanted = list(dict.fromkeys(map(searchable, _NOTATION.findall(mail.subject))))[:_MOST_NOTATIONS]
    if not wanted or not mail.sender:
        return None
    documents = _named(session, wanted)
    went_there = (
        Delivery.document_id.in_(documents)
        & (Delivery.kind == "document")
        & (func.lower(Delivery.address) == mail.sender.lower())
    )
    query = select(Delivery.document_id, Delivery.id, Delivery.kind).where(went_there)
    row = session.execute(query.order_by(Delivery.document_id.desc()).limit(1)).one_or_none()
    if row is not None:
        return Match(row[0], row[1], row[2], "subject")
    if documents and by_address(configuration.partners, mail.sender) is not None:
        return Match(documents[0], None, "document", "subject")
    return None


def _named(session: Session, wanted: Iterable[str]) -> list[UUID]:
    """The documents we sent that bear one of these numbers, newest first: numbers begin anew each year."""
    like = or_(*(Document.search.contains(one, autoescape=True) for one in wanted))
    query = select(Document.id, Document.notation).where(
        like, Document.notation.is_not(None), Document.dispatched_at.is_not(None)
    )
    rows = session.execute(query.order_by(Document.id.desc()).limit(_MOST_DOCUMENTS))
    return [document for document, notation in rows if notation and searchable(notation) in set(wanted)]


def answered(session: Session, pictures: Pictures, match: Match, answer_id: UUID, asked: Asked) -> None:
    """Tie the document ``answer_id`` to the one it answers, whose history and people are told, though it may have
    ended long ago."""
    kind = "answers" if match.kind in _ANSWERED else "relates"
    row = {"document_id": answer_id, "other_id": match.document_id, "kind": kind, "at": asked.now, "by": None}
    session.execute(insert(Relation).values(**row).on_conflict_do_nothing())
    people = concerned(session, match.document_id)

    lock(session, match.document_id)
    all_there = take_answer(session, match.document_id, match.delivery_id, answer_id, asked.now)

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        plan.data |= {"document": str(answer_id), "relation": kind} | told(match)
        if all_there:
            plan.stop(ClockKind.ANSWER)
        key = f"answered:{answer_id}"
        reached = [plan.notify(person, "delivery_answered", key) for person in people]
        if not any(reached):
            clerks = actor.directory.holders(Role.CLERK, actor.directory.root.id)
            for clerk in clerks:
                plan.notify(clerk.id, "delivery_answered", key)
        return plan

    move(session, pictures, match.document_id, "answered", asked, planner)


def told(match: Match) -> dict[str, str]:
    """How the mail was found to belong here, for history."""
    delivery = {"delivery": str(match.delivery_id)} if match.delivery_id else {}
    return {"found_by": match.found_by} | delivery


def concerned(session: Session, document_id: UUID) -> list[UUID]:
    """Its author and those who handled it to the end."""
    author = session.scalar(select(Document.created_by).where(Document.id == document_id))
    handled = and_(
        Task.document_id == document_id,
        Task.role.in_((TaskRole.MAIN, TaskRole.CO)),
        Task.state.not_in((TaskState.CANCELLED, TaskState.FORWARDED)),
        Task.user_id.is_not(None),
    )
    people = session.scalars(select(Task.user_id).where(handled).order_by(Task.id))
    return list(dict.fromkeys(p for p in (author, *people) if p is not None))


def note_automatic(session: Session, pictures: Pictures, match: Match, message_id: str | None, asked: Asked) -> None:
    """What a program answered (somebody is away, a ticket was opened) stands in history and is no document."""

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        plan.data |= {"message_id": (message_id or "")[:500]} | told(match)
        return plan

    move(session, pictures, match.document_id, "automatic_answer", asked, planner)


Related = tuple[str, bool, datetime, Document]
"""Kind, whether it points from the document asked about, since when, and the other document."""


def relations_of(session: Session, sight: Sight, document_id: UUID) -> list[Related]:
    """Both ways, oldest first; only documents that are to be seen."""
    found = [
        *_related(session, sight, document_id, outward=True),
        *_related(session, sight, document_id, outward=False),
    ]
    return sorted(
        ((row[0].kind, outward, row[0].at, row[1]) for row, outward in found), key=lambda one: (one[2], one[3].id)
    )


def _related(
    session: Session, sight: Sight, document_id: UUID, *, outward: bool
) -> list[tuple[Row[Relation, Document], bool]]:
    here, there = Relation.document_id, Relation.other_id
    if not outward:
        here, there = there, here
    query = select(Relation, Document).join(Document, Document.id == there).where(here == document_id, visible(sight))
    return [(row, outward) for row in session.execute(query)]
