"""Who signs in which capacity: by office, or by a written delegation that is in force now."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from docflow.db.base import new_id
from docflow.domain.directory import Delegation, Directory
from docflow.domain.errors import Forbidden, IllegalTransition, StaleVersion
from docflow.domain.lifecycle import TaskRole
from docflow.domain.roles import Capacity, Role
from tests.in_memory import NOW, Paper, known, people, stands_in
from tests.unit.test_transition_table import MAIN


def delegation(delegate: str, *types: str, capacity: Capacity = Capacity.BY_DELEGATION, days: int = 7) -> Delegation:
    ends = NOW + timedelta(days=days)
    starts = NOW - timedelta(days=7)
    given = frozenset(types)
    return Delegation(new_id(), known("leader"), known(delegate), capacity, starts, ends, given, "12/GUQ-UBND")


def with_delegations(*given: Delegation, offices: dict[str, Capacity | None] | None = None) -> Directory:
    directory = people()
    for name, office in (offices or {}).items():
        directory.people[known(name)] = replace(directory.people[known(name)], capacity=office)
    return replace(directory, delegations=given)


def to_sign(directory: Directory, **facts: Any) -> Paper:
    paper = Paper("incoming", directory=directory, answer_required=True, **facts)
    paper.act("clerk", "register")
    paper.act("leader", "assign", handlers=MAIN)
    paper.act("handler", "attach", kind="answer")
    paper.act("handler", "submit")
    paper.act("head", "approve")
    return paper


@pytest.mark.parametrize(
    ("office", "capacity", "written"),
    [
        (Capacity.HEAD, "", ""),
        (Capacity.HEAD, "TM.", "TM."),
        (Capacity.COLLECTIVE, "", "TM."),
        (Capacity.ACTING_HEAD, "", "Q."),
        (Capacity.DEPUTY, "", "KT."),
        (Capacity.DEPUTY, "TM.", "TM."),
        (Capacity.BY_ORDER, "", "TL."),
        (None, "", ""),
    ],
)
def test_the_office_a_person_holds_gives_its_capacity(office: Capacity | None, capacity: str, written: str) -> None:
    paper = to_sign(with_delegations(offices={"leader": office}))
    plan = paper.act("leader", "sign", capacity=capacity)
    assert plan.data["capacity"] == written
    assert "delegation" not in plan.data


@pytest.mark.parametrize(
    ("office", "capacity"),
    [
        (Capacity.HEAD, "KT."),
        (Capacity.HEAD, "TL."),
        (Capacity.DEPUTY, "Q."),
        (Capacity.BY_ORDER, "KT."),
        (Capacity.BY_DELEGATION, "TUQ."),
        (None, "TM."),
        (None, "TUQ."),
    ],
)
def test_no_other_capacity_is_anybodys_without_a_delegation(office: Capacity | None, capacity: str) -> None:
    paper = to_sign(with_delegations(offices={"leader": office}))
    with pytest.raises(Forbidden, match="neither office nor a delegation"):
        paper.act("leader", "sign", capacity=capacity)


def rows_to_sign(paper: Paper) -> set[UUID | None]:
    return {t.user_id for t in paper.snapshot.tasks if t.role is TaskRole.STAGE}


def test_a_delegate_has_the_document_before_them_and_signs_on_the_basis_that_history_names() -> None:
    given = delegation("head")
    paper = to_sign(with_delegations(given))
    assert known("head") in rows_to_sign(paper)
    plan = paper.act("head", "sign", capacity="TUQ.")
    assert plan.data["capacity"] == "TUQ."
    assert plan.data["delegation"] == {"id": str(given.id), "basis": "12/GUQ-UBND"}


def test_a_delegation_counts_for_its_document_types_alone() -> None:
    decisions = with_delegations(delegation("head", "quyet_dinh"))
    assert known("head") in rows_to_sign(to_sign(decisions, doc_type="quyet_dinh"))
    assert known("head") not in rows_to_sign(to_sign(decisions, doc_type="cong_van"))


def test_a_delegation_counts_between_its_dates_alone() -> None:
    over = with_delegations(delegation("head", days=-1))
    assert known("head") not in rows_to_sign(to_sign(over))
    paper = to_sign(with_delegations(delegation("head", days=1)))
    paper.now = NOW + timedelta(days=2)
    with pytest.raises(Forbidden, match="neither office nor a delegation"):
        paper.act("head", "sign", capacity="TUQ.")


def test_a_delegation_in_one_capacity_gives_no_other() -> None:
    paper = to_sign(with_delegations(delegation("head", capacity=Capacity.BY_ORDER)))
    with pytest.raises(Forbidden):
        paper.act("head", "sign", capacity="TUQ.")
    assert paper.act("head", "sign", capacity="TL.").data["capacity"] == "TL."


def test_a_delegation_is_not_passed_on_to_a_substitute() -> None:
    directory = replace(people(stands_in("finance", "head", Role.UNIT_HEAD)), delegations=(delegation("head"),))
    paper = to_sign(directory)
    with pytest.raises(Forbidden, match="not passed on"):
        paper.act("finance", "sign", acting_for="head", capacity="TUQ.")


def test_only_the_approved_version_is_signed_and_only_the_signed_one_sealed() -> None:
    paper = to_sign(people())
    paper.snapshot = replace(paper.snapshot, pinned_file_id=new_id())
    pinned = paper.plan("leader", "sign").signed_file
    assert pinned is not None
    assert pinned.derived_from == paper.snapshot.pinned_file_id
    stale = paper.plan
    paper.act("leader", "sign")
    with pytest.raises(IllegalTransition):
        stale("leader", "sign")
    before = paper.snapshot
    paper.act("clerk", "seal")
    paper.snapshot = replace(before, signed_file_id=new_id())
    paper._signed = lambda verb: None  # type: ignore[method-assign]  # nothing fits the new version
    with pytest.raises(StaleVersion, match="changed meanwhile"):
        paper.act("clerk", "seal")
