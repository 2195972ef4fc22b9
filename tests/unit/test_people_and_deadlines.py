"""What people do with deadlines: hold, ask, grant, refuse, hurry, urge, consult; and never past the parent's."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest

from docflow.db.base import new_id
from docflow.domain.commands import Assign
from docflow.domain.configuration import Configuration
from docflow.domain.consequences import Notice
from docflow.domain.decide import allowed, decide
from docflow.domain.errors import Forbidden, Invalid
from docflow.domain.lifecycle import Action, TaskRole
from docflow.domain.plan import Plan
from docflow.domain.snapshot import Clock, ClockKind, Task
from tests.in_memory import NOW, Paper, known, shipped
from tests.unit.test_transition_table import in_assign

MAIN = {"role": "main", "user": "handler"}
CO = {"role": "co", "user": "finance"}
WHY = {"reason": "Chờ số liệu"}
GRANT = {"reason": "Đồng ý"}


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """An instant in March 2026, by the clock of Vietnam."""
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC) - timedelta(hours=7)


def handled(*rows: dict[str, Any], **directive: Any) -> Paper:
    """An incoming document in review; by its policy it is due on Monday the 16th at 09:00."""
    paper = in_assign()
    paper.act("leader", "assign", handlers=list(rows) or [MAIN, CO], **directive)
    return paper


def row(paper: Paper, role: TaskRole) -> Task:
    (found,) = (t for t in paper.snapshot.tasks if t.role is role)
    return found


def clocks(paper: Paper, task: Task | None = None) -> list[Clock]:
    return [c for c in paper.snapshot.clocks if c.task_id == (task and task.id)]


def heard(plan: Plan, kind: str) -> dict[str, Notice]:
    names = {p.id: p.username for p in plan.actor.directory.people.values()}
    return {names[n.user_id]: n for n in plan.notices if n.kind == kind}


# -- hold and resume --------------------------------------------------------------------------------------------------


def test_a_pause_over_a_weekend_gives_a_named_deadline_no_more_than_the_working_time_of_it() -> None:
    paper = handled(deadline="5 working days")
    paper.now = at(6, 16, 30)
    paper.act("handler", "hold", reason="Chờ tỉnh")
    assert {c.pause_reason for c in paper.snapshot.clocks} == {"Chờ tỉnh"}
    paper.now = at(9, 8)
    paper.act("handler", "resume")
    assert paper.snapshot.due_at == at(9, 10)  # half an hour of Friday, half an hour of Monday
    assert row(paper, TaskRole.MAIN).due_at == paper.snapshot.due_at
    (pause,) = clocks(paper)[0].pauses
    assert (pause.began_at, pause.ended_at, pause.reason) == (at(6, 16, 30), at(9, 8), "Chờ tỉnh")


def test_a_pause_outside_working_hours_moves_nothing() -> None:
    paper = handled(deadline="5 working days")
    before = [c.due_at for c in paper.snapshot.clocks]
    paper.now = at(6, 18)
    paper.act("handler", "hold", reason="Nghỉ")
    paper.now = at(8, 20)
    paper.act("handler", "resume")
    assert [c.due_at for c in paper.snapshot.clocks] == before


@cache
def with_saturdays() -> Configuration:
    """Finance works on Saturdays too."""
    content = shipped().model_dump(mode="json")
    hours = content["calendar"]["hours"] | {"saturday": ["07:30-11:30"]}
    content["calendar"]["units"] = {"PTC": {"hours": hours}}
    return Configuration.model_validate(content)


def test_a_resumed_row_stays_within_the_documents_deadline_whatever_its_own_calendar_gives_back() -> None:
    paper = Paper("incoming", configuration=with_saturdays())
    paper.act("clerk", "register")
    paper.act("leader", "assign", handlers=[MAIN, CO], deadline="6 working days")
    co = row(paper, TaskRole.CO)
    assert co.due_at == paper.snapshot.due_at
    paper.now = at(6, 17)
    paper.act("handler", "hold", reason="Chờ tỉnh")
    paper.now = at(9, 7, 30)
    paper.act("handler", "resume")
    assert row(paper, TaskRole.CO).due_at == paper.snapshot.due_at == co.due_at
    assert [c.due_at for c in clocks(paper, co)] == [paper.snapshot.due_at]


# -- more time --------------------------------------------------------------------------------------------------------


def test_what_was_asked_for_is_granted_where_no_other_deadline_is_named_and_who_asked_hears_of_it() -> None:
    paper = handled(deadline="2 working days")
    asked = paper.act("handler", "extend", deadline="5 working days", **WHY)
    assert [n.user_id for n in asked.notices if n.kind == "task_extension"] == [known("leader")]
    plan = paper.act("leader", "extend")
    assert paper.snapshot.due_at == row(paper, TaskRole.MAIN).due_at == at(9, 9)
    (notice,) = heard(plan, "extension_granted").values()
    assert notice.user_id == known("handler")
    assert notice.data["due_at"] == at(9, 9).astimezone(timezone(paper)).isoformat()
    assert list(plan.outcomes.values()) == ["granted"]


def timezone(paper: Paper) -> Any:
    return paper.snapshot.calendars.for_units(()).zone


def test_a_refusal_needs_a_reason_closes_the_request_moves_nothing_and_is_told() -> None:
    paper = handled(deadline="2 working days")
    due = paper.snapshot.due_at
    paper.act("handler", "extend", deadline="5 working days", **WHY)
    with pytest.raises(Invalid, match="Say why") as refused:
        paper.act("leader", "extend", answer="refuse")
    assert refused.value.details["field"] == "reason"
    plan = paper.act("leader", "extend", answer="refuse", reason="Đã đủ số liệu")
    assert paper.snapshot.due_at == due
    assert [t for t in paper.snapshot.tasks if t.role is TaskRole.EXTENSION] == []
    assert heard(plan, "extension_refused")["handler"].data["reason"] == "Đã đủ số liệu"
    assert (plan.data["granted"], list(plan.outcomes.values())) == (False, ["refused"])
    with pytest.raises(Invalid, match="Nobody has asked"):
        paper.act("leader", "extend", answer="refuse", reason="Lại")


def test_who_may_not_grant_may_not_refuse_either() -> None:
    paper = handled(deadline="2 working days")
    paper.act("handler", "extend", deadline="5 working days", **WHY)
    for who in ("handler", "finance"):
        with pytest.raises(Forbidden, match="assigner or a leader"):
            paper.act(who, "extend", answer="refuse", reason="Không")


@pytest.mark.parametrize("missing", ["deadline", "reason"])
def test_a_request_names_the_deadline_and_says_why(missing: str) -> None:
    paper = handled(deadline="2 working days")
    wish = {"deadline": "5 working days", **WHY}
    del wish[missing]
    with pytest.raises(Invalid) as refused:
        paper.act("handler", "extend", **wish)
    assert refused.value.details["field"] == missing


def test_a_grant_without_a_deadline_wants_a_request() -> None:
    with pytest.raises(Invalid, match="Nobody has asked"):
        handled(deadline="2 working days").act("leader", "extend")


def test_a_later_request_takes_the_place_of_the_one_before() -> None:
    paper = handled(deadline="2 working days")
    paper.act("handler", "extend", deadline="5 working days", **WHY)
    paper.act("handler", "extend", deadline="4 working days", **WHY)
    assert row(paper, TaskRole.EXTENSION).due_at == at(6, 9)


def test_several_requests_are_answered_one_by_one_by_their_own_ids() -> None:
    paper = handled(MAIN, CO | {"deadline": "1 working day"}, deadline="5 working days")
    paper.act("handler", "extend", deadline="8 working days", **WHY)
    paper.act("finance", "extend", deadline="3 working days", **WHY)
    for answer in ({}, {"answer": "refuse", "reason": "Không"}):
        with pytest.raises(Invalid, match="Several people ask"):
            paper.act("leader", "extend", **answer)
    theirs = next(t for t in paper.snapshot.tasks if t.role is TaskRole.EXTENSION and t.due_at == at(5, 9))
    paper.act("leader", "extend", task_id=theirs.id)
    assert row(paper, TaskRole.CO).due_at == at(5, 9)
    assert paper.snapshot.due_at == at(9, 9)
    assert row(paper, TaskRole.EXTENSION).due_at == at(12, 9)


def test_a_leader_who_was_not_asked_grants_the_row_it_was_asked_for_and_not_the_document() -> None:
    paper = handled(MAIN, CO | {"deadline": "1 working day"}, deadline="5 working days")
    paper.act("finance", "extend", deadline="3 working days", **WHY)
    paper.act("deputy", "extend", **GRANT)
    assert row(paper, TaskRole.CO).due_at == at(5, 9)
    assert paper.snapshot.due_at == row(paper, TaskRole.MAIN).due_at == at(9, 9)


def test_no_row_is_granted_more_time_than_the_document_has() -> None:
    paper = handled(MAIN, CO | {"deadline": "1 working day"}, deadline="5 working days")
    co = row(paper, TaskRole.CO)
    with pytest.raises(Invalid, match="Extend the document first") as refused:
        paper.act("leader", "extend", task_id=co.id, deadline="6 working days", **GRANT)
    assert "2026-03-10T09:00:00+07:00" in refused.value.message
    assert "2026-03-09T09:00:00+07:00" in refused.value.message
    paper.act("leader", "extend", deadline="6 working days", **GRANT)
    paper.act("leader", "extend", task_id=co.id, deadline="6 working days", **GRANT)
    assert row(paper, TaskRole.CO).due_at == paper.snapshot.due_at == at(10, 9)


def test_a_co_handler_asks_for_no_more_than_the_document_has_the_main_handler_may() -> None:
    paper = handled(deadline="2 working days")
    with pytest.raises(Invalid, match="main handler ask"):
        paper.act("finance", "extend", deadline="3 working days", **WHY)
    paper.act("handler", "extend", deadline="3 working days", **WHY)


def test_once_the_documents_deadline_has_passed_a_row_may_have_more() -> None:
    paper = handled(deadline="2 working days")
    paper.now = at(9, 9)
    paper.act("finance", "extend", deadline="2 working days", **WHY)
    paper.act("leader", "extend", **GRANT)
    assert row(paper, TaskRole.CO).due_at == at(11, 9)
    assert paper.snapshot.due_at == at(4, 9)


def test_who_passed_the_work_on_grants_their_own_deadline_and_not_the_leaders() -> None:
    paper = handled({"role": "main", "unit": "PNV"}, CO, deadline="5 working days")
    paper.act("head", "forward", user="handler")
    paper.act("handler", "extend", deadline="8 working days", **WHY)
    asked = row(paper, TaskRole.EXTENSION)
    assert (asked.user_id, asked.unit_id) == (None, known("UBND"))
    with pytest.raises(Forbidden):
        paper.act("head", "extend", task_id=row(paper, TaskRole.MAIN).id, deadline="8 working days", **GRANT)
    paper.act("leader", "extend", **GRANT)
    assert paper.snapshot.due_at == at(12, 9)


def test_who_passed_on_a_co_handlers_part_answers_its_request() -> None:
    paper = handled(MAIN, {"role": "co", "unit": "PNV"}, deadline="5 working days")
    paper.act("head", "forward", user="colleague", deadline="1 working day")
    paper.act("colleague", "extend", deadline="3 working days", **WHY)
    assert row(paper, TaskRole.EXTENSION).user_id == known("head")
    assert Action.EXTEND in allowed(paper.snapshot, paper.actor("head"))
    paper.act("head", "extend", **GRANT)
    assert row(paper, TaskRole.CO).due_at == at(5, 9)


def test_nobody_grants_time_to_themselves_by_passing_their_work_on_to_themselves() -> None:
    paper = handled({"role": "main", "unit": "PNV"}, deadline="5 working days")
    paper.act("head", "forward", user="head", deadline="1 working day")
    paper.act("head", "extend", deadline="3 working days", **WHY)
    assert row(paper, TaskRole.MAIN).due_at == at(3, 9)
    assert row(paper, TaskRole.EXTENSION).unit_id == known("UBND")


def test_a_handler_who_is_asked_for_time_still_asks_for_their_own() -> None:
    paper = handled({"role": "main", "user": "head"}, {"role": "co", "unit": "PNV"}, deadline="5 working days")
    paper.act("head", "forward", task_id=row(paper, TaskRole.CO).id, user="colleague", deadline="1 working day")
    paper.act("colleague", "extend", deadline="3 working days", **WHY)
    paper.act("head", "extend", deadline="8 working days", **WHY)
    asked = {t.user_id: t.due_at for t in paper.snapshot.tasks if t.role is TaskRole.EXTENSION}
    assert asked == {known("head"): at(5, 9), known("leader"): at(12, 9)}
    paper.act("head", "extend", **GRANT)
    assert row(paper, TaskRole.CO).due_at == at(5, 9)


def test_an_extension_leaves_the_main_row_without_a_second_clock() -> None:
    paper = handled(MAIN | {"deadline": "5 working days"}, deadline="5 working days")
    main = row(paper, TaskRole.MAIN)
    assert len(clocks(paper, main)) == 1
    paper.act("leader", "extend", deadline="7 working days", **GRANT)
    assert clocks(paper, main) == []
    assert [c.due_at for c in clocks(paper)] == [row(paper, TaskRole.MAIN).due_at] == [at(11, 9)]


def test_a_shortened_deadline_brings_the_rows_nearer_and_their_clocks_with_them() -> None:
    paper = handled(MAIN, CO | {"deadline": "4 working days"}, deadline="5 working days")
    paper.act("handler", "consult", users=["colleague"], question="Ý kiến?", deadline="1 working day")
    paper.act("leader", "extend", deadline="2 working days", reason="Tỉnh giục")
    co, consulted = row(paper, TaskRole.CO), row(paper, TaskRole.CONSULT)
    assert paper.snapshot.due_at == row(paper, TaskRole.MAIN).due_at == co.due_at == at(4, 9)
    assert [c.due_at for c in clocks(paper, co)] == [at(4, 9)]
    assert consulted.due_at == at(3, 9)


# -- never past the parent's ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["main", "co", "information"])
@pytest.mark.parametrize("action", ["assign", "reassign"])
def test_a_handlers_deadline_past_the_documents_is_refused_with_both_instants_and_the_way_out(
    action: str, role: str
) -> None:
    paper = in_assign() if action == "assign" else handled()
    late = {"role": role, "user": "colleague", "deadline": "20 working days"}
    rows = [late] if role == "main" else [MAIN, late]
    with pytest.raises(Invalid, match="more time with the directive's own deadline") as refused:
        paper.act("leader", action, handlers=rows)
    assert "2026-03-30T09:00:00+07:00" in refused.value.message
    assert "2026-03-16T09:00:00+07:00" in refused.value.message
    paper.act("leader", action, handlers=rows, deadline="20 working days")
    assert paper.snapshot.due_at == at(30, 9)


def test_the_directives_own_deadline_is_set_before_the_rows_are_held_against_it() -> None:
    with pytest.raises(Invalid, match="lies past the document's"):
        handled(MAIN, CO | {"deadline": "3 working days"}, deadline="2 working days")


def test_once_the_documents_deadline_has_passed_a_handler_may_be_given_any_other() -> None:
    paper = in_assign()
    paper.now = at(20, 9)
    paper.act("leader", "assign", handlers=[MAIN | {"deadline": "2 working days"}])
    assert row(paper, TaskRole.MAIN).due_at == at(24, 9)


def test_a_rules_deadline_gets_as_much_as_fits() -> None:
    paper = Paper("incoming", urgency="flash")
    paper.act("clerk", "register")
    rule = Assign.model_validate({"handlers": [MAIN | {"deadline": "7 working days"}]})
    plan = decide(paper.snapshot, paper.actor(None), Action.ASSIGN, rule, now=NOW, new_id=new_id)
    (main,) = plan.active(TaskRole.MAIN)
    assert main.due_at == plan.doc.due_at == at(2, 17)


def test_a_reassignment_with_a_nearer_deadline_takes_those_who_are_consulted_along() -> None:
    paper = handled(deadline="9 working days")
    paper.act("handler", "consult", users=["colleague"], question="Ý kiến?", deadline="5 working days")
    paper.act("leader", "reassign", handlers=[MAIN], deadline="2 working days")
    assert row(paper, TaskRole.CONSULT).due_at == at(4, 9)


@pytest.mark.parametrize(
    ("who", "action", "command"),
    [
        ("handler", "forward", {"user": "colleague"}),
        ("handler", "consult", {"users": ["finance_head"], "question": "Ý kiến?"}),
    ],
)
def test_what_is_passed_on_or_asked_of_others_ends_with_the_document(
    who: str, action: str, command: dict[str, Any]
) -> None:
    paper = handled(deadline="2 working days")
    with pytest.raises(Invalid, match="lies past"):
        paper.act(who, action, **command, deadline="3 working days")
    paper.act(who, action, **command, deadline="1 working day")


def test_a_policys_deadline_is_cut_to_the_documents() -> None:
    paper = handled(deadline="1 working day", answer_required=True)
    paper.now = at(3, 8)
    paper.act("handler", "attach", kind="answer")
    paper.act("handler", "submit")
    step = row(paper, TaskRole.STEP)
    assert [c.policy for c in clocks(paper, step)] == ["check_draft"]
    assert step.due_at == paper.snapshot.due_at == at(3, 9)


# -- urgency ----------------------------------------------------------------------------------------------------------


def hurry(paper: Paper, urgency: str) -> list[dict[str, str]]:
    plan = Plan(paper.snapshot, paper.snapshot, paper.actor("clerk"), paper.now, new_id)
    told = plan.set_urgency(urgency)
    paper._apply(plan)
    return told


def test_a_document_made_urgent_is_due_as_if_it_had_been_urgent_from_the_start() -> None:
    paper = Paper("incoming")
    (whole,), (stage,) = clocks(paper), paper.snapshot.tasks
    assert (whole.due_at, stage.due_at) == (at(16, 9), at(3, 17))
    paper.now = at(2, 9, 30)
    told = hurry(paper, "urgent")
    (now_whole,), (now_stage,) = clocks(paper), paper.snapshot.tasks
    assert (now_whole.due_at, now_whole.allowance, now_whole.ladder) == (at(5, 9), "3 working days", "quick")
    assert (now_whole.started_at, now_whole.id == whole.id) == (NOW, False)
    assert now_stage.due_at == at(2, 11)
    assert paper.snapshot.due_at == at(5, 9)
    assert [(t["policy"], "task" in t) for t in told] == [("resolve_incoming", False), ("register_incoming", True)]
    assert (told[0]["old"], told[0]["new"]) == (whole.due_at.isoformat(), now_whole.due_at.isoformat())


def test_what_fired_stays_fired_where_the_ladder_stays_and_not_where_another_is_climbed() -> None:
    paper = Paper("incoming")
    fired = {1: 1}
    paper.snapshot = replace(paper.snapshot, clocks=tuple(replace(c, fired=fired) for c in paper.snapshot.clocks))
    hurry(paper, "urgent")
    assert {c.ladder: dict(c.fired) for c in paper.snapshot.clocks} == {"quick": {}, "clerk": fired}


def test_a_pause_counts_for_the_urgent_allowance_too() -> None:
    paper = Paper("incoming")
    paper.act("clerk", "hold", reason="Chờ bản gốc")
    paper.now = at(3, 9)
    paper.act("clerk", "resume")
    hurry(paper, "urgent")
    assert paper.snapshot.due_at == at(6, 9)


def test_a_document_on_hold_is_hurried_and_gets_its_running_pause_back_later() -> None:
    paper = Paper("incoming")
    paper.act("clerk", "hold", reason="Chờ bản gốc")
    paper.now = at(3, 9)
    hurry(paper, "urgent")
    assert {(c.paused_at, c.pause_reason) for c in paper.snapshot.clocks} == {(NOW, "Chờ bản gốc")}
    paper.now = at(4, 9)
    paper.act("clerk", "resume")
    assert paper.snapshot.due_at == at(9, 9)


def test_a_deadline_that_a_person_named_stays_and_rows_by_policy_stay_within_it() -> None:
    paper = handled(deadline="2 working days", answer_required=True)
    paper.act("handler", "attach", kind="answer")
    paper.act("handler", "submit")
    assert [t["policy"] for t in hurry(paper, "flash")] == ["check_draft"]
    assert paper.snapshot.due_at == at(4, 9)
    assert row(paper, TaskRole.STEP).due_at == at(2, 10)


def test_less_urgent_again_gives_the_time_back_and_more_urgent_never_gives_any() -> None:
    paper = Paper("incoming", urgency="urgent")
    hurry(paper, "ordinary")
    assert paper.snapshot.due_at == at(16, 9)
    content = shipped().model_dump(mode="json")
    for policy in content["sla"]["policies"]:
        if policy["name"] == "resolve_incoming":
            policy["by_urgency"]["flash"] = "20 working days"
    odd = Paper("incoming", configuration=Configuration.model_validate(content))
    hurry(odd, "flash")
    assert odd.snapshot.due_at == at(16, 9)


def test_another_urgency_that_changes_no_deadline_tells_none() -> None:
    assert hurry(Paper("incoming", urgency="urgent"), "urgent") == []


# -- urging and consultation ------------------------------------------------------------------------------------------


def test_an_urging_is_kept_for_each_row_and_its_words_reach_whoever_works_on_it() -> None:
    paper = handled()
    plan = paper.act("supervisor", "urge", grade="criticism", text="Đã quá hạn")
    assert {(u.grade, u.text, u.urged_by) for u in plan.urgings} == {("criticism", "Đã quá hạn", known("supervisor"))}
    assert {u.task_id for u in plan.urgings} == {t.id for t in paper.snapshot.tasks}
    told = heard(plan, "urge_criticism")
    assert told.keys() == {"handler", "finance"}
    assert told["handler"].data == {
        "grade": "criticism",
        "text": "Đã quá hạn",
        "task": str(row(paper, TaskRole.MAIN).id),
    }
    again = paper.plan("supervisor", "urge", grade="criticism", text="Đã quá hạn")
    assert heard(again, "urge_criticism")["handler"].key != told["handler"].key


@pytest.mark.parametrize(
    ("who", "may"),
    [("supervisor", True), ("leader", True), ("head", True), ("clerk", False), ("handler", False), ("finance", False)],
)
def test_urging_is_for_supervisors_leaders_heads_and_whoever_gave_the_work(who: str, may: bool) -> None:
    paper = handled()
    assert (Action.URGE in allowed(paper.snapshot, paper.actor(who))) == may


def test_who_asked_for_an_opinion_urges_those_asked_and_nobody_else() -> None:
    paper = handled()
    paper.act("handler", "consult", users=["colleague"], question="Ý kiến?")
    plan = paper.act("handler", "urge", text="Đề nghị cho ý kiến")
    assert [u.task_id for u in plan.urgings] == [row(paper, TaskRole.CONSULT).id]
    with pytest.raises(Forbidden, match="given work"):
        paper.act("handler", "urge", text="Khẩn trương", task_id=row(paper, TaskRole.CO).id)


@pytest.mark.parametrize(("directive", "due"), [({}, at(5, 9)), ({"deadline": "1 working day"}, at(3, 9))])
def test_an_opinion_is_due_by_the_routes_policy_and_never_after_the_document(
    directive: dict[str, Any], due: datetime
) -> None:
    paper = handled(**directive)
    paper.act("handler", "consult", users=["colleague"], question="Ý kiến?")
    asked = row(paper, TaskRole.CONSULT)
    assert asked.due_at == due
    assert [(c.policy, c.ladder, c.due_at) for c in clocks(paper, asked)] == [("consultation", "opinion", due)]


def test_who_asked_hears_once_the_last_has_answered_their_question() -> None:
    paper = handled()
    paper.act("handler", "consult", users=["colleague", "finance_head"], question="Về đất đai?")
    paper.act("leader", "consult", users=["processor"], question="Về biên chế?")
    first = paper.act("finance_head", "opinion", opinion="agree")
    assert heard(first, "consult_complete") == {}
    last = paper.act("colleague", "opinion", opinion="other")
    told = heard(last, "consult_complete")
    assert {name: n.data for name, n in told.items()} == {"handler": {"question": "Về đất đai?"}}
    assert heard(paper.act("processor", "opinion", opinion="agree"), "consult_complete").keys() == {"leader"}


def test_an_opinion_of_a_co_handler_completes_no_consultation() -> None:
    plan = handled().act("finance", "opinion", opinion="agree")
    assert heard(plan, "consult_complete") == {}


# -- the six limits of the law (domain.md §2) -------------------------------------------------------------------------


def running(paper: Paper) -> set[str]:
    return {c.policy for c in paper.snapshot.clocks}


def started(paper: Paper) -> list[tuple[str, str, datetime, datetime]]:
    found = [c for plan in paper.plans for c in plan.clocks_opened]
    return [(c.policy, c.kind.value, c.started_at, c.due_at) for c in found]


LIVED = tuple[datetime, Callable[[Paper], Any], set[str]]


def walk(paper: Paper, way: list[LIVED]) -> None:
    for when, act, still in way:
        paper.now = when
        act(paper)
        assert running(paper) == still, (when, running(paper))


def test_an_incoming_document_with_an_answer_is_timed_from_its_receipt_to_its_filing() -> None:
    paper = Paper("incoming", electronic=True, answer_required=True)
    assert running(paper) == {"resolve_incoming", "acknowledge_receipt", "register_incoming"}
    whole = "resolve_incoming"
    walk(
        paper,
        [
            (at(2, 10), lambda p: p.act("clerk", "register"), {whole, "transfer_incoming"}),
            (at(2, 11), lambda p: p.act("leader", "assign", handlers=[MAIN]), {whole}),
            (at(4, 9), lambda p: p.act("handler", "attach", kind="answer"), {whole}),
            (at(4, 10), lambda p: p.act("handler", "submit"), {whole, "check_draft"}),
            (at(4, 11), lambda p: p.act("head", "approve"), {whole, "sign_document"}),
            (at(5, 9), lambda p: p.act("leader", "sign"), {whole, "issue_outgoing"}),
            (at(5, 9, 30), lambda p: p.act("clerk", "seal"), {whole, "issue_outgoing"}),
            (at(5, 10), lambda p: p.act("clerk", "dispatch"), {whole}),
            (at(5, 11), lambda p: p.settle(), {"file_to_archive"}),
        ],
    )
    assert started(paper) == [
        (whole, "work", NOW, at(16, 9)),
        ("acknowledge_receipt", "acknowledge", NOW, at(2, 17)),
        ("register_incoming", "work", NOW, at(3, 17)),
        ("transfer_incoming", "work", at(2, 10), at(3, 17)),
        ("check_draft", "work", at(4, 10), at(5, 10)),
        ("sign_document", "work", at(4, 11), at(5, 11)),
        ("issue_outgoing", "work", at(5, 9), at(6, 17)),
        ("file_to_archive", "archive", at(5, 11), datetime(2027, 3, 5, 10, tzinfo=UTC)),
    ]
    paper.act("clerk", "archive")
    assert running(paper) == set()
    assert paper.snapshot.archived_at == paper.now


def test_an_outgoing_document_is_timed_from_its_draft_to_its_filing() -> None:
    paper = Paper("outgoing")
    whole = "outgoing_document"
    assert running(paper) == {whole}
    walk(
        paper,
        [
            (at(2, 9), lambda p: p.to_drafter(), {whole}),
            (at(3, 9), lambda p: p.act("handler", "submit"), {whole, "check_draft"}),
            (at(3, 10), lambda p: p.act("head", "approve"), {whole, "check_draft"}),
            (at(3, 11), lambda p: p.act("clerk", "approve"), {whole, "sign_document"}),
            (at(4, 9), lambda p: p.act("leader", "sign"), {whole, "number_outgoing"}),
            (at(4, 10), lambda p: p.act("clerk", "register"), {whole, "issue_outgoing"}),
            (at(4, 10, 30), lambda p: p.act("clerk", "seal"), {whole, "issue_outgoing"}),
            (at(4, 11), lambda p: p.act("clerk", "dispatch"), {whole}),
            (at(4, 15), lambda p: p.settle(), {"file_to_archive"}),
        ],
    )
    assert [(policy, due) for policy, _, _, due in started(paper)] == [
        (whole, at(11, 9)),
        ("check_draft", at(4, 9)),
        ("check_draft", at(4, 10)),
        ("sign_document", at(4, 11)),
        ("number_outgoing", at(5, 17)),
        ("issue_outgoing", at(5, 17)),
        ("file_to_archive", datetime(2027, 3, 4, 10, tzinfo=UTC)),
    ]


@pytest.mark.parametrize(
    ("facts", "owed"),
    [
        ({"electronic": True}, True),
        ({"electronic": False}, False),
        ({"electronic": True, "issuer_address": ""}, False),
    ],
)
def test_a_receipt_is_owed_to_whoever_sent_it_electronically_and_can_be_reached(
    facts: dict[str, Any], owed: bool
) -> None:
    paper = Paper("incoming", **facts)
    assert any(c.kind is ClockKind.ACKNOWLEDGE for c in paper.snapshot.clocks) == owed
    paper.act("clerk", "return", reason="Gửi nhầm")
    assert paper.snapshot.clocks == ()


def test_a_document_is_filed_once_by_a_clerk_and_a_recall_ends_the_waiting_for_it() -> None:
    def closed() -> Paper:
        paper = handled(answer_required=True)
        paper.act("handler", "attach", kind="answer")
        for who, action in (("handler", "submit"), ("head", "approve"), ("leader", "sign")):
            paper.act(who, action)
        for action in ("seal", "dispatch"):
            paper.act("clerk", action)
        paper.settle()
        return paper

    paper = closed()
    due = paper.snapshot.due_at
    assert [name for name in ("leader", "handler", "supervisor") if allowed(paper.snapshot, paper.actor(name))] == []
    paper.act("clerk", "archive", note="Hộp 12")
    assert (paper.snapshot.due_at, paper.snapshot.tasks) == (due, ())
    assert Action.ARCHIVE not in allowed(paper.snapshot, paper.actor("clerk"))
    other = closed()
    other.act("clerk", "recall", reason="Sai số liệu")
    assert other.snapshot.clocks == ()
