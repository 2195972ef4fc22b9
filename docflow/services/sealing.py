"""Where a seal is due by itself: after the number, before a dispatch, and before the engine's own dispatch."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Idempotency
from docflow.domain.commands import Dispatch, Seal
from docflow.domain.decide import check, decide
from docflow.domain.errors import DocflowError
from docflow.domain.lifecycle import Action, State
from docflow.domain.signing_settings import AGENCY
from docflow.domain.snapshot import Snapshot
from docflow.services import numbering_on_page, seal, stages
from docflow.services.asked import Asked
from docflow.services.issuing import issue
from docflow.services.numbering_on_page import Numbered
from docflow.services.pictures import Pictures
from docflow.services.seal import Sealed, ToSeal
from docflow.services.signing_keys import KeyRing
from docflow.services.signing_work import NO_KEY, Workshop
from docflow.services.transition import Moved, check_version, first_answer, picture, read


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of sealing: the sealed files, or the page with its number alone, or neither, and then why."""

    sealed: Sealed | None = None
    numbered: Numbered | None = None
    problem: DocflowError | None = None


def after_number(session: Session, pictures: Pictures, document_id: UUID, moved: Moved, asked: Asked) -> ToSeal | None:
    """What is to be sealed once it was registered; None where nothing is. A repeat of the request goes on where the
    first one broke off."""
    told = moved.answer
    if "sealed" in told or told["state"] != State.DISPATCH or (moved.plan and not seal.wanted(moved.plan.doc)):
        return None
    free = unconditional(asked)
    snapshot, actor = picture(session, pictures, read(session, document_id, free), free)
    return seal.to_seal(session, pictures, snapshot, actor) if seal.wanted(snapshot) else None


def unconditional(asked: Asked) -> Asked:
    """For what follows in the same request: the conditions were met by its first move."""
    return replace(asked, if_match=None, key=None)


def attempt(shop: Workshop, what: ToSeal, pin: str | None, now: datetime) -> Attempt:
    """Seal it; where the agency's key is not here, put number and date on the page for whoever seals it elsewhere.

    A number that was taken stands: what goes wrong here is told, and the clerk goes on with ``seal``.
    """
    try:
        return Attempt(sealed=seal.make(shop, what, pin, "", now))
    except DocflowError as error:
        if error.details.get("code") != NO_KEY or not what.filled:
            return Attempt(problem=error)
        return _number_alone(shop, what, error)


def _number_alone(shop: Workshop, what: ToSeal, why: DocflowError) -> Attempt:
    try:
        return Attempt(numbered=numbering_on_page.fill(shop, what.main, what.filled), problem=why)
    except DocflowError as error:
        return Attempt(problem=error)


def conclude(
    session: Session, pictures: Pictures, document_id: UUID, registered: Moved, made: Attempt, asked: Asked
) -> Moved:
    """The second move, and the one answer that is told and kept for both."""
    free = unconditional(asked)
    second: Moved | None = None
    if made.sealed is not None:
        second = seal.seal(session, pictures, document_id, made.sealed, Seal(), free)
    elif made.numbered is not None:
        second = numbering_on_page.number_page(session, pictures, document_id, made.numbered, free)
    now_at = {name: second.answer[name] for name in ("version", "seq")} if second else {}
    answer = registered.answer | now_at | _told(made.problem)
    keep_answer(session, asked, answer)
    return replace(registered, answer=answer)


def failed(session: Session, registered: Moved, problem: DocflowError, asked: Asked) -> Moved:
    """The answer where the second move was not possible any more."""
    answer = registered.answer | _told(problem)
    keep_answer(session, asked, answer)
    return replace(registered, answer=answer)


def _told(problem: DocflowError | None) -> dict[str, Any]:
    if problem is None:
        return {"sealed": True}
    code = problem.details.get("code", problem.code)
    return {"sealed": False, "seal_problem": {"code": code, "message": problem.message}}


def keep_answer(session: Session, asked: Asked, answer: dict[str, Any]) -> None:
    if asked.key is None or asked.user_id is None:
        return
    own = (Idempotency.actor_id == asked.user_id) & (Idempotency.key == asked.key)
    session.execute(update(Idempotency).where(own).values(answer=answer))


def before_dispatch(
    session: Session, pictures: Pictures, document_id: UUID, command: Dispatch, asked: Asked
) -> ToSeal | Moved | None:
    """What is to be sealed before a clerk's dispatch; None where nothing is. The dispatch is decided as if it were
    sealed, so that no seal is made for one that would be refused."""
    context = read(session, document_id, asked)
    snapshot, actor = picture(session, pictures, context, asked)
    if context.first is not None:
        return Moved(first_answer(context.first, asked), repeated=True)
    check_version(snapshot, actor, asked)
    check(snapshot, actor, Action.DISPATCH)
    if not seal.wanted(snapshot):
        return None
    check(snapshot, actor, Action.SEAL)
    as_sealed = replace(snapshot, sealed_file_id=snapshot.signed_file_id)
    decide(as_sealed, actor, Action.DISPATCH, command, now=asked.now, new_id=new_id)
    return seal.to_seal(session, pictures, snapshot, actor)


def seal_and_issue(
    session: Session, pictures: Pictures, document_id: UUID, made: Sealed, command: Dispatch, asked: Asked
) -> Moved:
    """Both moves or neither."""
    sealed = seal.seal(session, pictures, document_id, made, Seal(), replace(asked, key=None))
    version = sealed.answer["version"] if asked.if_match is not None else None
    return issue(session, pictures, document_id, command, replace(asked, if_match=version))


def before_own_dispatch(
    session: Session, pictures: Pictures, document_id: UUID, keys: KeyRing, asked: Asked
) -> ToSeal | None:
    """What the engine seals before it dispatches by itself: where no clerk has put a number to what was signed, and
    the agency's key opens without a person."""
    found = stages.look(session, pictures, document_id, State.DISPATCH, asked)
    if found is None or found[0].secrecy > 0 or not seal.wanted(found[0]) or _numbered_by_clerk(found[0]):
        return None
    if not keys.opens_by_itself(AGENCY, pictures.newest(session)[1].signing):
        return None
    snapshot, actor = picture(session, pictures, read(session, document_id, asked), asked)
    return seal.to_seal(session, pictures, snapshot, actor)


def _numbered_by_clerk(snapshot: Snapshot) -> bool:
    """Whether a person registers it after the signature: the seal is then part of that."""
    route = snapshot.route
    names = [stage.stage for stage in route.stages]
    if "register" not in names or "sign" not in names:
        return False
    return names.index("register") > names.index("sign") and route.stage("register").automatic is None
