"""The one writer: nothing else changes a document's state, writes its history or its outbox.

A move is decided on one consistent read and written by one guarded statement. Where somebody else was quicker, the
guard writes nothing and the move is decided anew, so that no lock is held while Python thinks.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation
from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.queries.context import Context, load_context, snapshot_of
from docflow.db.queries.move import kinds_of, statement
from docflow.db.raw import raw
from docflow.domain.commands import Command
from docflow.domain.consequences import NewFile, TakenNumber
from docflow.domain.decide import allowed, decide
from docflow.domain.directory import Directory, Person
from docflow.domain.errors import Forbidden, IdempotencyMismatch, NotFound, StaleVersion, Unavailable
from docflow.domain.lifecycle import Action
from docflow.domain.plan import Plan
from docflow.domain.roles import Role
from docflow.domain.snapshot import Actor, Snapshot
from docflow.services.asked import Asked
from docflow.services.payload import answer_of, payload_of
from docflow.services.pictures import Pictures

ATTEMPTS = 8
LOCK = text("SELECT id FROM document WHERE id = :id FOR NO KEY UPDATE")


@dataclass(frozen=True, slots=True)
class Moved:
    """``answer`` is what the caller is told; ``repeated`` says it is the first answer again."""

    answer: dict[str, Any]
    repeated: bool = False
    plan: Plan | None = None


Planner = Callable[[Snapshot, Actor], Plan]


def request_hash(*parts: Any) -> str:
    """What makes two requests the same request."""
    return sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def perform(
    session: Session,
    pictures: Pictures,
    document_id: UUID,
    action: Action,
    command: Command,
    asked: Asked,
    *,
    number: Callable[[Snapshot, Actor], TakenNumber] | None = None,
    signed_file: NewFile | None = None,
    files: tuple[NewFile, ...] = (),
) -> Moved:
    """Do ``action`` and write everything that follows from it.

    Raises NotFound, Forbidden, IllegalTransition, StaleVersion, IdempotencyMismatch or Invalid; then nothing is
    written. ``number`` is called inside the transaction, after all checks, for actions that need a number.
    """

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        taken = number(snapshot, actor) if number else None
        return decide(
            snapshot,
            actor,
            action,
            command,
            now=asked.now,
            new_id=new_id,
            number=taken,
            signed_file=signed_file,
            files=files,
        )

    return move(session, pictures, document_id, action.value, asked, planner)


def move(session: Session, pictures: Pictures, document_id: UUID, name: str, asked: Asked, planner: Planner) -> Moved:
    """Read, decide, write; again, and then in turn, where somebody else moved the document meanwhile."""
    for _ in range(ATTEMPTS):
        context = read(session, document_id, asked)
        snapshot, actor = picture(session, pictures, context, asked)
        if context.first is not None:
            return Moved(first_answer(context.first, asked), repeated=True)
        check_version(snapshot, actor, asked)
        plan = planner(snapshot, actor)
        answer = write(session, context, plan, name, asked)
        if answer is not None:
            return Moved(answer, plan=plan)
        lock(session, document_id)
    raise Unavailable("Many people are changing this document right now. Try again.")


def lock(session: Session, document_id: UUID) -> None:
    """Keep others from moving the document until this transaction ends.

    For whoever changes rows beside a document before moving it: all lock the document first, so that none wait in a
    ring.
    """
    session.execute(LOCK, {"id": document_id})


def read(session: Session, document_id: UUID, asked: Asked) -> Context:
    context = load_context(session, document_id, asked.user_id, asked.key)
    if context is None:
        raise NotFound("There is no such document, or it is not yours to see.")
    return context


def picture(session: Session, pictures: Pictures, context: Context, asked: Asked) -> tuple[Snapshot, Actor]:
    """The snapshot and the acting person; NotFound where the person may not see the document."""
    directory = pictures.directory(session, context.directory_version)
    configuration = pictures.configuration(session, context.row["config_version"])
    calendars = pictures.calendars(session, context.row["calendar_version"])
    snapshot = snapshot_of(context.row, configuration, calendars)
    actor = actor_of(directory, asked)
    if not sees(directory, actor, context):
        raise NotFound("There is no such document, or it is not yours to see.")
    return snapshot, actor


def sees(directory: Directory, actor: Actor, context: Context) -> bool:
    """The predicate of ``docflow.db.queries.visible``, on one document already in hand."""
    person = actor.person
    if person is None:
        return True
    secrecy = context.row["secrecy"]
    if secrecy > person.clearance:
        return False
    through = directory.principals(person)
    if actor.acting_for is not None and secrecy <= actor.acting_for.clearance:
        through |= directory.principals(actor.acting_for, actor.roles)
    return not through.isdisjoint(context.readers)


def actor_of(directory: Directory, asked: Asked) -> Actor:
    """Raises Forbidden where the person may not act for the one they name, or is no longer active."""
    if asked.user_id is None:
        return Actor(None, None, asked.source, directory)
    person = directory.people.get(asked.user_id)
    if person is None or not person.active:
        raise Forbidden("This account is not active. Ask the administrator.")
    if not asked.acting_for:
        return Actor(person, None, asked.source, directory)
    absent, roles = _absent(directory, person, asked)
    return Actor(person, absent, asked.source, directory, roles)


def _absent(directory: Directory, person: Person, asked: Asked) -> tuple[Person, frozenset[Role] | None]:
    """The absent person, and the roles it is limited to: those of all their substitutions together."""
    found = [(p, s.roles) for p, s in directory.standing_in(person, asked.now) if asked.acting_for in _names(p)]
    if not found:
        raise Forbidden(f"No substitution lets you act for '{asked.acting_for}' now. Ask for one to be entered.")
    limits = [roles for _, roles in found]
    return found[0][0], frozenset().union(*limits) if all(limits) else None


def _names(person: Person) -> tuple[str, str]:
    return person.username, str(person.id)


def first_answer(first: Any, asked: Asked) -> dict[str, Any]:
    if first["request_hash"] != asked.request_hash:
        raise IdempotencyMismatch("This Idempotency-Key was used for another request. Use a new key for a new request.")
    answer: dict[str, Any] = first["answer"]
    return answer


def check_version(snapshot: Snapshot, actor: Actor, asked: Asked) -> None:
    if asked.if_match is not None and asked.if_match != snapshot.version:
        raise StaleVersion(
            f"The document changed since you read it: you saw version {asked.if_match}, it is now "
            f"{snapshot.version}. Read it again and decide anew.",
            current=snapshot.version,
            allowed=[a.value for a in allowed(snapshot, actor)],
        )


def write(session: Session, context: Context, plan: Plan, name: str, asked: Asked) -> dict[str, Any] | None:
    """Write the plan if the document is still where it was; None where it is not.

    Returns the answer to the caller, which is also what is kept under the Idempotency-Key.
    """
    payload = payload_of(context, plan, name, asked)
    answer = answer_of(payload, plan, name)
    if asked.key is not None and asked.user_id is not None:
        payload["first"] = [
            {"actor_id": asked.user_id, "key": asked.key, "request_hash": asked.request_hash, "answer": answer}
        ]
    try:
        told = _told(payload)
        sql = statement(kinds_of(payload))
        written = raw(session).execute(sql, (told, plan.before.id, plan.before.seq, asked.now)).fetchone()
    except UniqueViolation as error:
        if error.diag.constraint_name == "pk_idempotency":
            raise IdempotencyMismatch(
                "This Idempotency-Key is being used for another request. Use a new one."
            ) from error
        raise
    return answer if written else None


def _told(payload: dict[str, Any]) -> str:
    """Rows as the statement reads them. Three times as fast as the standard library, which calls back for each id."""
    return to_json(payload, fallback=str).decode()


def write_many(session: Session, moves: Sequence[tuple[Context, Plan]], name: str, asked: Asked) -> set[UUID]:
    """Write the plans of many documents with one statement. Returns the ids of those that were still where they were.

    For what the engine does to documents it has locked: no Idempotency-Key, no answer.
    """
    together: dict[str, list[dict[str, Any]]] = {}
    for context, plan in moves:
        for kind, rows in payload_of(context, plan, name, asked).items():
            together.setdefault(kind, []).extend(_owned(rows, plan))
    told = _told(together)
    sql = statement(kinds_of(together), many=True)
    return {row[0] for row in raw(session).execute(sql, (told, asked.now)).fetchall()}


def _owned(rows: Any, plan: Plan) -> list[dict[str, Any]]:
    """Rows that say whose they are; the document's and the history's own row stand alone."""
    document_id = plan.before.id
    if isinstance(rows, dict):
        return [rows | {"document_id": document_id, "id": document_id, "was": plan.before.seq}]
    return [row | {"document_id": document_id} for row in rows]
