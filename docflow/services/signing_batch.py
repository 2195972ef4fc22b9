"""Many signatures with one typed PIN: each document is read, signed and moved by itself, and one that fails stops
nothing but what would try a wrong PIN again."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal
from uuid import UUID

from pydantic import Field, model_validator

from docflow.domain.commands import Command, Opening, Sign, Text
from docflow.domain.errors import DocflowError, Invalid, SigningFailed
from docflow.services.asked import Asked
from docflow.services.signing_work import PIN_TROUBLE
from docflow.services.transition import Moved

Capacity = Literal["", "TM.", "Q.", "KT.", "TL.", "TUQ."]
MOST = 200


class Chosen(Command):
    """A document to sign; ``version`` is the one that was read, where it may be no other."""

    id: UUID
    version: int | None = Field(default=None, ge=0)
    capacity: Capacity | None = None


class Batch(Opening):
    """``capacity`` and ``note`` are for all documents that have no capacity of their own; ``pin`` is typed once."""

    documents: tuple[Chosen, ...] = Field(min_length=1, max_length=MOST)
    capacity: Capacity = ""
    note: Text = ""

    @model_validator(mode="after")
    def _each_once(self) -> "Batch":
        if len({chosen.id for chosen in self.documents}) < len(self.documents):
            raise ValueError("name each document once")
        return self

    def command(self, chosen: Chosen) -> Sign:
        capacity = self.capacity if chosen.capacity is None else chosen.capacity
        return Sign(capacity=capacity, note=self.note, pin=self.pin)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one document: the move, or why there is none."""

    document_id: UUID
    moved: Moved | None = None
    problem: DocflowError | None = None


SignOne = Callable[[UUID, Sign, Asked], Moved]


def sign_all(batch: Batch, asked: Asked, sign_one: SignOne) -> Iterator[Outcome]:
    """In the order named. After a wrong or missing PIN the rest are not tried, so that no token is locked by it."""
    barred: SigningFailed | None = None
    for chosen in batch.documents:
        if barred is not None:
            yield Outcome(chosen.id, problem=barred)
            continue
        try:
            moved = sign_one(chosen.id, batch.command(chosen), _asked_for(asked, chosen))
        except DocflowError as error:
            yield Outcome(chosen.id, problem=error)
            barred = _bars_the_rest(error)
        else:
            yield Outcome(chosen.id, moved=moved)


def _asked_for(asked: Asked, chosen: Chosen) -> Asked:
    """A key of the document's own, so that a batch that broke off signs nothing twice when it comes again."""
    key = sha256(f"{asked.key}:{chosen.id}".encode()).hexdigest() if asked.key is not None else None
    return replace(asked, key=key, if_match=chosen.version)


def _bars_the_rest(error: DocflowError) -> SigningFailed | None:
    code = error.details.get("code")
    if code not in PIN_TROUBLE:
        return None
    return SigningFailed(f"Not tried: {error.message}", code=code)


def refuse_conditions(asked: Asked) -> None:
    if asked.if_match is not None:
        raise Invalid("If-Match is for one document. Give each its 'version'.", field="If-Match")


def counted(outcomes: Sequence[Outcome]) -> tuple[int, int]:
    """How many were signed, and how many failed."""
    signed = sum(outcome.moved is not None for outcome in outcomes)
    return signed, len(outcomes) - signed
