"""In which capacity somebody may sign (domain.md §2; Decree 30/2020 art. 13 and Annex I)."""

from dataclasses import dataclass
from datetime import datetime

from docflow.domain.directory import Delegation, Person
from docflow.domain.errors import Forbidden
from docflow.domain.roles import Capacity
from docflow.domain.snapshot import Actor, Snapshot

WORDS = {
    "": "in their own name",
    "TM.": "for the collective (TM.)",
    "Q.": "as acting head (Q.)",
    "KT.": "as deputy for the head (KT.)",
    "TL.": "by order (TL.)",
    "TUQ.": "by written delegation (TUQ.)",
}
BY_OFFICE = {
    "TM.": frozenset({Capacity.HEAD, Capacity.COLLECTIVE, Capacity.DEPUTY, Capacity.ACTING_HEAD}),
    "Q.": frozenset({Capacity.ACTING_HEAD}),
    "KT.": frozenset({Capacity.DEPUTY}),
    "TL.": frozenset({Capacity.BY_ORDER}),
    "TUQ.": frozenset[Capacity](),
}
"""What the office a person holds allows by itself; everything else wants a delegation."""
DEFAULTS = {
    Capacity.COLLECTIVE: "TM.",
    Capacity.ACTING_HEAD: "Q.",
    Capacity.DEPUTY: "KT.",
    Capacity.BY_ORDER: "TL.",
    Capacity.BY_DELEGATION: "TUQ.",
}


@dataclass(frozen=True, slots=True)
class Right:
    """``capacity`` is written before the signature; ``delegation`` is what it rests on, where on one."""

    capacity: str
    delegation: Delegation | None = None


def right_to_sign(doc: Snapshot, actor: Actor, capacity: str, now: datetime) -> Right:
    """Raises Forbidden where neither the signer's office nor a delegation in force now gives the capacity.

    A delegation is limited to its document types and cannot be passed on: nobody signs TUQ. as somebody's substitute.
    """
    person = actor.person
    assert person is not None, "the engine signs nothing"
    wanted = capacity or (DEFAULTS.get(person.capacity, "") if person.capacity else "")
    if not wanted or (person.capacity and person.capacity in BY_OFFICE[wanted]):
        return Right(wanted)
    if actor.acting_for is not None and wanted == "TUQ.":
        raise Forbidden("A delegation is not passed on: nobody signs TUQ. as a substitute. Have the delegate sign it.")
    found = delegation_of(doc, actor, person, wanted, now)
    if found is None:
        raise Forbidden(
            f"{person.full_name} may not sign this document {WORDS[wanted]} now: neither office nor a delegation in "
            "force gives that right. Have the office entered under /users, or the written delegation under "
            "/delegations.",
            capacity=wanted,
        )
    return Right(wanted, found)


def delegation_of(doc: Snapshot, actor: Actor, person: Person, wanted: str, now: datetime) -> Delegation | None:
    for delegation in actor.directory.delegations_to(person.id):
        if f"{delegation.capacity}." == wanted and delegation.active(now) and delegation.covers(doc.doc_type):
            return delegation
    return None
