"""Who may do what on a document in hand."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from docflow.domain.decide import allowed, legal
from docflow.domain.errors import Forbidden, Invalid
from docflow.domain.lifecycle import Action, State, TaskRole, TaskState
from docflow.domain.roles import Role
from docflow.domain.routes import Route
from tests.in_memory import NOW, PEOPLE, Paper, known, people, shipped, stands_in
from tests.unit.test_transition_table import at_step, in_assign, in_dispatch, in_register, in_review, in_sign

ANYTIME = {Action.COMMENT, Action.URGE}
WITH_ALL = [
    {"role": "main", "user": "handler"},
    {"role": "co", "user": "finance"},
    {"role": "information", "user": "colleague"},
]


def may(paper: Paper, user: str, acting_for: str | None = None) -> set[str]:
    return {a.value for a in allowed(paper.snapshot, paper.actor(user, acting_for))}


def shared() -> Paper:
    paper = in_assign()
    paper.act("leader", "assign", handlers=WITH_ALL)
    return paper


def rows(paper: Paper, *roles: TaskRole) -> list[Any]:
    return [t for t in paper.snapshot.tasks if t.role in roles]


@pytest.mark.parametrize(
    ("scene", "who", "decisions"),
    [
        (in_register, {"clerk", "clerk2"}, {"register", "return"}),
        (in_assign, {"leader", "deputy"}, {"assign", "return"}),
        (at_step, {"head"}, {"approve", "request_changes", "reject"}),
        (in_sign, {"leader", "deputy"}, {"sign", "refuse", "reject"}),
        (in_dispatch, {"clerk", "clerk2"}, {"dispatch"}),
    ],
)
def test_a_stage_belongs_to_those_it_waits_for(scene: Callable[[], Paper], who: set[str], decisions: set[str]) -> None:
    paper = scene()
    found = {name for name in PEOPLE if decisions & may(paper, name)}
    assert found == who
    assert all(decisions <= may(paper, name) for name in who)


@pytest.mark.parametrize("scene", [in_register, in_assign, in_review, at_step, in_sign, in_dispatch])
def test_a_supervisor_urges_and_changes_nothing(scene: Callable[[], Paper]) -> None:
    assert may(scene(), "supervisor") == {"urge"}


@pytest.mark.parametrize("scene", [in_register, in_assign, in_review, at_step, in_sign, in_dispatch])
def test_an_administrator_holds_no_right_on_a_document_by_that_role(scene: Callable[[], Paper]) -> None:
    assert may(scene(), "admin") == set()


def test_a_co_handler_gives_an_opinion_and_does_not_submit_for_the_main_handler() -> None:
    assert "opinion" in may(shared(), "finance")
    assert not {"submit", "close", "reassign"} & may(shared(), "finance")


def test_who_has_it_for_information_neither_holds_it_nor_changes_its_files() -> None:
    found = may(shared(), "colleague")
    assert not {"hold", "resume", "attach", "opinion", "submit", "extend", "consult"} & found
    assert {"comment", "forward"} <= found


def test_a_consulted_person_may_add_an_attachment_but_no_new_main_version() -> None:
    paper = in_review()
    paper.act("leader", "consult", users=["colleague"], question="Ý kiến?")
    paper.act("colleague", "attach", kind="attachment")
    for kind in ("main", "answer"):
        with pytest.raises(Forbidden, match="main handler"):
            paper.act("colleague", "attach", kind=kind)


def test_a_leader_of_a_lower_unit_grants_no_time_to_himself() -> None:
    paper = in_assign()
    paper.act("leader", "assign", handlers=[{"role": "main", "user": "finance_head"}], deadline="2 working days")
    due = paper.snapshot.due_at
    paper.act("finance_head", "extend", deadline="9 working days", reason="Nhiều việc")
    assert paper.snapshot.due_at == due
    assert [t.user_id for t in rows(paper, TaskRole.EXTENSION)] == [known("leader")]


def test_granted_time_reaches_the_document_and_the_rows_that_shared_its_deadline() -> None:
    paper = in_assign()
    handlers = [*WITH_ALL[:1], {"role": "co", "user": "finance", "deadline": "1 working day"}]
    paper.act("leader", "assign", handlers=handlers, deadline="2 working days")
    paper.act("handler", "extend", deadline="9 working days", reason="Nhiều việc")
    paper.act("leader", "extend", deadline="9 working days", reason="Đồng ý")
    (main,), (co,) = rows(paper, TaskRole.MAIN), rows(paper, TaskRole.CO)
    assert main.due_at == paper.snapshot.due_at == NOW + timedelta(days=11)
    assert co.due_at == NOW + timedelta(days=1)
    assert rows(paper, TaskRole.EXTENSION) == []
    assert sorted(c.due_at for c in paper.snapshot.clocks) == [co.due_at, main.due_at]


def test_granting_one_handler_more_time_leaves_the_request_of_another_open() -> None:
    paper = in_assign()
    handlers = [{**h, "deadline": "2 working days"} for h in WITH_ALL[:2]]
    paper.act("leader", "assign", handlers=handlers)
    (main,), (co,) = rows(paper, TaskRole.MAIN), rows(paper, TaskRole.CO)
    paper.act("handler", "extend", deadline="5 working days", reason="Nhiều việc")
    paper.act("finance", "extend", deadline="5 working days", reason="Chờ số liệu")
    paper.act("leader", "extend", deadline="5 working days", reason="Đồng ý", task_id=co.id)
    assert [t.parent_id for t in rows(paper, TaskRole.EXTENSION)] == [main.id]
    assert rows(paper, TaskRole.MAIN)[0].due_at == main.due_at


def test_a_request_for_time_is_moot_once_its_row_is_gone() -> None:
    paper = in_review()
    paper.act("handler", "extend", deadline="15 working days", reason="Nhiều việc")
    paper.act("leader", "reassign", handlers=[{"role": "main", "user": "colleague"}])
    assert rows(paper, TaskRole.EXTENSION) == []


def test_a_request_for_time_is_cancelled_when_review_is_over() -> None:
    paper = at_step()
    paper.act("handler", "extend", deadline="15 working days", reason="Nhiều việc")
    plan = paper.act("head", "approve")
    (asked,) = [t.id for p in paper.plans for t in p.opened if t.role is TaskRole.EXTENSION]
    assert plan.closed[asked] is TaskState.CANCELLED


def test_what_is_claimed_is_its_claimers_alone_until_it_is_released() -> None:
    paper = in_register()
    paper.act("clerk2", "claim")
    assert "register" not in may(paper, "clerk")
    with pytest.raises(Forbidden, match="not yours"):
        paper.act("clerk", "register")
    assert "register" in may(paper, "clerk2")
    paper.act("clerk2", "release")
    assert "register" in may(paper, "clerk")


def test_a_row_to_a_unit_reaches_its_head_and_its_authorised_processor() -> None:
    paper = in_assign()
    paper.act("leader", "assign", handlers=[{"role": "main", "unit": "PNV"}, {"role": "co", "unit": "PXX"}])
    assert "submit" in may(paper, "head")
    assert "opinion" in may(paper, "processor")
    assert "submit" not in may(paper, "handler")
    plan = paper.plan("supervisor", "urge", text="Đề nghị khẩn trương")
    assert {n.user_id for n in plan.notices} == {known("head"), known("processor")}


def test_a_unit_that_nobody_reads_for_cannot_be_assigned() -> None:
    paper = in_assign()
    with pytest.raises(Invalid, match="Name a person instead"):
        paper.act("leader", "assign", handlers=[{"role": "main", "unit": "UBND"}])


def test_the_handler_hears_of_each_return_of_the_work() -> None:
    paper = at_step()
    first = {n.key for p in paper.plans for n in p.notices if n.user_id == known("handler")}
    again = {n.key for n in paper.act("head", "request_changes", reason="Sửa căn cứ").notices}
    paper.act("handler", "submit")
    third = {n.key for n in paper.act("head", "request_changes", reason="Sửa thể thức").notices}
    assert again
    assert third
    assert first.isdisjoint(again)
    assert again.isdisjoint(third)


def secret(*cleared: str) -> Paper:
    levels = dict.fromkeys(("clerk", "leader", *cleared), 2)
    paper = Paper("incoming", directory=people(clearances=levels), secrecy=2)
    paper.act("clerk", "register")
    return paper


@pytest.mark.parametrize("target", [{"user": "handler"}, {"unit": "PNV"}])
def test_a_secret_document_is_assigned_to_nobody_who_may_not_read_it(target: dict[str, str]) -> None:
    with pytest.raises(Forbidden, match="secrecy"):
        secret().act("leader", "assign", handlers=[{"role": "main", **target}])
    secret("handler", "head").act("leader", "assign", handlers=[{"role": "main", **target}])


def test_a_secret_document_is_forwarded_to_nobody_who_may_not_read_it() -> None:
    paper = secret("head")
    paper.act("leader", "assign", handlers=[{"role": "main", "user": "head"}])
    with pytest.raises(Forbidden, match="secrecy"):
        paper.act("head", "forward", user="handler")


def test_nobody_hears_of_a_document_they_may_not_read() -> None:
    paper = secret("head")
    paper.act("leader", "consult", users=["head"], question="Ý kiến?")
    plan = paper.plan("leader", "urge", text="Đề nghị khẩn trương")
    assert {n.user_id for n in plan.notices} == {known("leader"), known("head")}


def test_a_substitute_limited_to_some_roles_has_no_others() -> None:
    directory = people(stands_in("finance", "leader", Role.CLERK), stands_in("colleague", "leader", Role.LEADER))
    paper = Paper("incoming", directory=directory)
    paper.act("clerk", "register")
    assert "assign" not in may(paper, "finance", "leader")
    assert "assign" in may(paper, "colleague", "leader")
    plan = paper.act("colleague", "assign", acting_for="leader", handlers=WITH_ALL)
    assert {t.assigned_by for t in plan.opened} == {known("leader")}


def test_a_substitute_limited_to_another_role_processes_nothing_for_the_unit() -> None:
    directory = people(stands_in("colleague", "processor", Role.CLERK), stands_in("finance", "processor"))
    paper = Paper("incoming", directory=directory)
    paper.act("clerk", "register")
    paper.act("leader", "assign", handlers=[{"role": "main", "unit": "PXX"}])
    assert "submit" not in may(paper, "colleague", "processor")
    assert "submit" in may(paper, "finance", "processor")


def test_a_row_named_to_the_absent_person_goes_along_with_any_substitution() -> None:
    directory = people(stands_in("colleague", "handler", Role.HANDLER))
    paper = Paper("incoming", directory=directory)
    paper.act("clerk", "register")
    paper.act("leader", "assign", handlers=WITH_ALL[:1])
    assert "submit" in may(paper, "colleague", "handler")
    assert "submit" not in may(paper, "colleague")


@pytest.mark.parametrize(
    ("recipients", "electronic"),
    [
        ([{"name": "A", "address": "a@b.example", "channel": "email"}], True),
        ([{"name": "A", "address": "", "channel": "email"}], False),
        ([{"name": "A", "address": "", "channel": "paper"}], False),
        ([], False),
    ],
)
def test_an_outgoing_document_goes_by_itself_only_where_every_recipient_has_an_address(
    recipients: list[dict[str, str]], electronic: bool
) -> None:
    paper = Paper("outgoing", recipients=tuple(recipients))
    assert paper.snapshot.facts()["all_recipients_electronic"] is electronic


@pytest.mark.parametrize(
    ("answer", "address", "electronic"),
    [(True, "a@b.example", True), (True, "", False), (False, "", True)],
)
def test_an_answer_goes_by_itself_only_where_its_issuer_has_an_address(
    answer: bool, address: str, electronic: bool
) -> None:
    paper = Paper("incoming", answer_required=answer, issuer_address=address)
    assert paper.snapshot.facts()["all_recipients_electronic"] is electronic


def test_every_action_offered_is_legal_and_can_be_refused_to_somebody() -> None:
    for scene in (in_register, in_assign, in_review, at_step, in_sign, in_dispatch):
        paper = scene()
        for name in PEOPLE:
            for action in allowed(paper.snapshot, paper.actor(name)):
                assert legal(paper.snapshot, action)
                assert action not in allowed(paper.snapshot, paper.actor("admin"))


def test_an_ended_document_offers_nothing_to_anybody() -> None:
    paper = in_register()
    paper.act("clerk", "return", reason="Gửi nhầm")
    assert paper.snapshot.state is State.RETURNED
    assert all(may(paper, name) == set() for name in PEOPLE)


def test_a_row_that_shares_the_documents_deadline_without_a_clock_of_its_own_moves_with_it_after_a_hold() -> None:
    configuration = shipped()
    route = configuration.route("outgoing").model_dump(mode="json")
    route["stages"][1]["steps"][1]["clock"] = "document"
    routes = (*(r for r in configuration.routes if r.route != "outgoing"), Route.model_validate(route))
    paper = Paper("outgoing", configuration=configuration.model_copy(update={"routes": routes}))
    paper.to_drafter()
    paper.act("handler", "submit")
    (step,) = rows(paper, TaskRole.STEP)
    assert step.due_at == paper.snapshot.due_at
    paper.act("leader", "hold", reason="Chờ ý kiến")
    paper.now += timedelta(days=7)
    paper.act("leader", "resume")
    (later,) = rows(paper, TaskRole.STEP)
    assert later.due_at == paper.snapshot.due_at == step.due_at + timedelta(days=7)
