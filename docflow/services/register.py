"""Numbers from register books, and the registering of documents."""

from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import text, update
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Document
from docflow.domain.commands import Register
from docflow.domain.configuration import RegisterBook
from docflow.domain.consequences import TakenNumber
from docflow.domain.decide import check, decide
from docflow.domain.errors import Invalid, NotFound
from docflow.domain.lifecycle import Action
from docflow.domain.numbering import book_year, notation, series
from docflow.domain.plan import Plan
from docflow.domain.snapshot import Actor, Snapshot
from docflow.services.asked import Asked
from docflow.services.pictures import Pictures
from docflow.services.transition import Moved, move

TAKE = text(
    """
INSERT INTO register_counter AS c (series, year, last_number) VALUES (:series, :year, 1)
ON CONFLICT (series, year) DO UPDATE SET last_number = c.last_number + 1
RETURNING last_number
"""
)


def register(session: Session, pictures: Pictures, document_id: UUID, command: Register, asked: Asked) -> Moved:
    """Enter the document in its book under the next number of its series.

    The number is taken after all checks and inside the transaction: two who register take turns on the counter,
    and a transaction that fails gives its number back, so that the series has no gap (Decree 30 art. 15, 22). What
    bears a number already, because it came back to be approved again, keeps it.
    """

    taken: list[TakenNumber] = []

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        check(snapshot, actor, Action.REGISTER)
        if not taken and snapshot.number is None:
            taken.append(_take(session, snapshot, actor, command, asked))
        number = taken[0] if taken else None
        return decide(snapshot, actor, Action.REGISTER, command, now=asked.now, new_id=new_id, number=number)

    moved = move(session, pictures, document_id, Action.REGISTER.value, asked, planner)
    if moved.plan is not None:
        _set_date(session, moved.plan, command)
    return moved


def _set_date(session: Session, plan: Plan, command: Register) -> None:
    """An outgoing document bears the day it is numbered, unless the clerk says another (Decree 30 art. 15)."""
    day = command.document_date or (_today(plan.doc, plan.now) if plan.doc.direction == "outgoing" else None)
    if day is not None:
        session.execute(update(Document).where(Document.id == plan.doc.id).values(document_date=day))


def _today(snapshot: Snapshot, now: datetime) -> date:
    return now.astimezone(ZoneInfo(snapshot.configuration.calendar.zone)).date()


def _take(session: Session, snapshot: Snapshot, actor: Actor, command: Register, asked: Asked) -> TakenNumber:
    configuration = snapshot.configuration
    book = _book(snapshot, command)
    kind = configuration.document_type(snapshot.doc_type)
    counter = series(book, kind, configuration.agency)
    year = book_year(_today(snapshot, asked.now))
    taken = session.execute(TAKE, {"series": counter, "year": year}).scalar_one()
    symbol = None
    if snapshot.direction == "outgoing":
        unit = actor.directory.units.get(snapshot.owner_unit_id)
        symbol = notation(taken, kind, configuration.agency, drafting_unit=unit.code if unit else "VP")
    return TakenNumber(book.code, counter, year, taken, symbol)


def _book(snapshot: Snapshot, command: Register) -> RegisterBook:
    configuration = snapshot.configuration
    fitting = configuration.book_for(snapshot.route, snapshot.secrecy)
    if command.book is None or command.book == fitting.code:
        return fitting
    try:
        book = configuration.register_book(command.book)
    except NotFound as error:
        raise Invalid(error.message, field="book") from error
    if book.direction != snapshot.direction or book.secrecy_from > snapshot.secrecy or snapshot.secrecy > 0:
        raise Invalid(f"Book '{book.code}' does not take this document; '{fitting.code}' does.", field="book")
    return book
