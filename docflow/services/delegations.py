"""Written delegations to sign (domain.md §2; Decree 30/2020, art. 13): limited in time and content, and never passed
on."""

from collections.abc import Collection
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints
from sqlalchemy.orm import Session

from docflow.db.models import Delegation, Document
from docflow.domain.commands import Command, Name, clean_text
from docflow.domain.directory import Directory, Person
from docflow.domain.errors import Invalid, NotFound
from docflow.domain.roles import Capacity
from docflow.services.people import touch

HEADS = frozenset({Capacity.HEAD, Capacity.COLLECTIVE, Capacity.ACTING_HEAD})
MAY_GIVE = {
    Capacity.BY_DELEGATION: HEADS,
    Capacity.DEPUTY: HEADS,
    Capacity.ACTING_HEAD: HEADS,
    Capacity.BY_ORDER: HEADS | {Capacity.DEPUTY},
}
"""Whose office allows it to give which capacity: in their own right only."""
NOT_GIVEN = "A delegation gives TUQ., KT., TL. or Q."


def _capacity(value: Any) -> Any:
    """With its full stop, as it stands on paper, or without."""
    return value.removesuffix(".") if isinstance(value, str) else value


def _given(value: Capacity) -> Capacity:
    if value not in MAY_GIVE:
        raise ValueError(NOT_GIVEN)
    return value


class NewDelegation(Command):
    """``delegate`` may sign for ``delegator`` from ``starts_at`` until before ``ends_at``, documents of these types
    (none named: of all). ``basis`` and ``basis_date`` are number and date of the written delegation, and
    ``basis_document`` its document here, where it is one."""

    delegator: Name
    delegate: Name
    capacity: Annotated[Capacity, BeforeValidator(_capacity), AfterValidator(_given)]
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    document_types: tuple[Annotated[str, StringConstraints(min_length=1, max_length=63)], ...] = Field(
        default=(), max_length=100
    )
    content: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000), AfterValidator(clean_text)
    ]
    basis: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(clean_text)
    ]
    basis_date: date
    basis_document: UUID | None = None


def create_delegation(
    session: Session,
    directory: Directory,
    new: NewDelegation,
    known_types: Collection[str],
    by: UUID | None,
    now: datetime,
) -> Delegation:
    """Raises Invalid where the delegator's office does not allow it, or dates, types or people cannot be."""
    delegator, delegate = _person(directory, new, "delegator"), _person(directory, new, "delegate")
    if delegator.id == delegate.id:
        raise Invalid("Nobody delegates to themselves. Name another delegate.", field="delegate")
    _require_dates(new, now)
    _require_own_right(directory, delegator, new.capacity, now)
    _require_known(session, new, known_types)
    row = Delegation(
        delegator_id=delegator.id,
        delegate_id=delegate.id,
        capacity=new.capacity.value,
        starts_at=new.starts_at,
        ends_at=new.ends_at,
        document_types=sorted(set(new.document_types)),
        content=new.content,
        basis=new.basis,
        basis_date=new.basis_date,
        basis_document_id=new.basis_document,
        created_by=by,
        created_at=now,
    )
    session.add(row)
    session.flush()
    touch(session)
    return row


def _person(directory: Directory, new: NewDelegation, field: str) -> Person:
    try:
        return directory.person(getattr(new, field))
    except Invalid as error:
        raise Invalid(error.message, field=field) from error


def _require_dates(new: NewDelegation, now: datetime) -> None:
    if new.ends_at <= new.starts_at:
        raise Invalid("The delegation ends before it begins. Check the dates.", field="ends_at")
    if new.ends_at <= now:
        raise Invalid("The delegation is over already. Check the dates.", field="ends_at")
    if new.basis_date > new.ends_at.date():
        raise Invalid("The written delegation is dated after its end. Check the dates.", field="basis_date")


def _require_own_right(directory: Directory, delegator: Person, capacity: Capacity, now: datetime) -> None:
    if delegator.capacity and delegator.capacity in MAY_GIVE[capacity]:
        return
    if any(d.active(now) for d in directory.delegations_to(delegator.id)):
        raise Invalid(
            f"{delegator.full_name} signs by delegation, and a delegation is not passed on. Name the head as "
            "delegator.",
            field="delegator",
        )
    raise Invalid(
        f"{delegator.full_name} holds no office that gives {capacity.value}. Name the head as delegator, or have "
        "the office entered under /users (capacity).",
        field="delegator",
    )


def _require_known(session: Session, new: NewDelegation, known_types: Collection[str]) -> None:
    unknown = sorted(set(new.document_types) - set(known_types))
    if unknown:
        raise Invalid(
            f"There is no document type {', '.join(unknown)}. Use those of config/document_types.yaml.",
            field="document_types",
        )
    if new.basis_document is not None and session.get(Document, new.basis_document) is None:
        raise Invalid("There is no such document. Leave it out, or check its id.", field="basis_document")


def revoke_delegation(session: Session, delegation_id: UUID, now: datetime) -> Delegation:
    """It ends now; the row stays."""
    row = session.get(Delegation, delegation_id, with_for_update=True)
    if row is None:
        raise NotFound("There is no such delegation, or it is not yours to see.")
    if row.revoked_at is None and now < row.ends_at:
        row.revoked_at = now
        session.flush()
        touch(session)
    return row
