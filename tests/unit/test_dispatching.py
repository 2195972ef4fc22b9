"""Deciding on a dispatch: groups, secrecy, addresses that channels need, and answers that are asked for."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from docflow.db.base import new_id
from docflow.domain.acts.dispatching import NEEDS
from docflow.domain.configuration import Configuration
from docflow.domain.errors import Invalid
from docflow.domain.escalating import whom
from docflow.domain.lifecycle import State
from docflow.domain.plan import Plan
from docflow.domain.snapshot import ClockKind
from tests.in_memory import NOW, PEOPLE, Paper, people, shipped

SO = {"name": "Sở Nội vụ", "address": "snv@tinh.example"}
BY_HAND = {"name": "Ông A", "channel": "paper"}


def to_send(**facts: Any) -> Paper:
    """A document at the clerk's, in dispatch."""
    secret = facts.get("secrecy", 0)
    paper = Paper(directory=people(clearances=dict.fromkeys(PEOPLE, secret)), **facts)
    paper.act("clerk", "register")
    paper.act("leader", "assign", handlers=[{"role": "main", "user": "head"}])
    paper.act("head", "submit", proposal="Đã xử lý")
    assert paper.snapshot.state is State.DISPATCH
    return paper


def with_groups(*groups: dict[str, Any]) -> Configuration:
    changed = shipped().model_dump(mode="json") | {"recipients": list(groups)}
    return Configuration.model_validate(changed)


GROUP = {"group": "cac_xa", "title": "Các xã", "members": [SO, {"name": "Xã B", "address": "b", "channel": "edxml"}]}


def test_a_group_makes_one_delivery_a_member_that_says_through_which_group() -> None:
    paper = to_send(configuration=with_groups(GROUP))
    plan = paper.act("clerk", "dispatch", recipients=[BY_HAND], groups=["cac_xa"])
    assert [(d.recipient, d.channel, d.group) for d in plan.deliveries] == [
        ("Ông A", "paper", ""),
        ("Sở Nội vụ", "email", "cac_xa"),
        ("Xã B", "edxml", "cac_xa"),
    ]
    assert plan.data["recipients"] == ["Ông A", "Sở Nội vụ", "Xã B"]


def test_groups_stand_beside_the_recipients_of_the_document() -> None:
    paper = to_send(configuration=with_groups(GROUP), recipients=({"name": "Sở", "address": "so@tinh.example"},))
    assert len(paper.act("clerk", "dispatch", groups=["cac_xa"]).deliveries) == 3


def test_who_is_in_a_group_and_named_alone_gets_it_once() -> None:
    paper = to_send(configuration=with_groups(GROUP))
    plan = paper.act("clerk", "dispatch", recipients=[SO], groups=["cac_xa"])
    assert [(d.recipient, d.group) for d in plan.deliveries] == [("Sở Nội vụ", ""), ("Xã B", "cac_xa")]


def test_an_unknown_group_sends_nothing() -> None:
    paper = to_send(configuration=with_groups(GROUP))
    with pytest.raises(Invalid, match="did you mean 'cac_xa'"):
        paper.act("clerk", "dispatch", groups=["cac_xe"])
    assert paper.snapshot.dispatched_at is None


@pytest.mark.parametrize("channel", ["email", "edxml", "webhook", "portal"])
def test_a_secret_document_leaves_on_paper_alone(channel: str) -> None:
    paper = to_send(secrecy=1)
    with pytest.raises(Invalid, match="secret document does not leave by"):
        paper.act("clerk", "dispatch", recipients=[{"name": "Sở", "address": "so@tinh.example", "channel": channel}])
    assert paper.act("clerk", "dispatch", recipients=[BY_HAND]).doc.state is State.CLOSED


@pytest.mark.parametrize("channel", sorted(NEEDS))
def test_every_channel_but_paper_needs_its_address(channel: str) -> None:
    with pytest.raises(Invalid, match=r"Sở has no .*(Give|Give it)"):
        to_send().act("clerk", "dispatch", recipients=[{"name": "Sở", "channel": channel}])


def test_a_portal_link_needs_an_address_that_mail_can_reach() -> None:
    with pytest.raises(Invalid, match="no e-mail address for the link"):
        to_send().act("clerk", "dispatch", recipients=[{"name": "Sở", "address": "so", "channel": "portal"}])


def test_paper_alone_closes_at_once_and_mixed_with_mail_does_not() -> None:
    assert to_send().act("clerk", "dispatch", recipients=[BY_HAND]).doc.state is State.CLOSED
    assert to_send().act("clerk", "dispatch", recipients=[BY_HAND, SO]).doc.state is State.DISPATCH


def awaiting(**recipients: Any) -> tuple[Paper, Plan]:
    paper = to_send()
    plan = paper.act("clerk", "dispatch", recipients=[SO], answer_by="5 working days", **recipients)
    return paper, plan


def clock_of(paper: Paper) -> Any:
    (clock,) = [c for c in paper.snapshot.clocks if c.kind is ClockKind.ANSWER]
    return clock


def test_an_answer_asked_for_stands_on_each_delivery_and_on_one_clock() -> None:
    paper, plan = awaiting()
    due = datetime.fromisoformat(plan.data["answer_due"])
    assert NOW + timedelta(days=6) < due < NOW + timedelta(days=8)
    assert [d.answer_due_at for d in plan.deliveries] == [due]
    clock = clock_of(paper)
    assert (clock.due_at, clock.policy, clock.ladder, clock.task_id) == (due, "answer_due", "answers", None)


def test_the_answer_clock_goes_on_when_the_document_closes_and_ends_with_a_recall() -> None:
    paper, _ = awaiting()
    paper.settle()
    assert paper.snapshot.state is State.CLOSED
    assert [c.kind for c in paper.snapshot.clocks if c.kind is not ClockKind.ARCHIVE] == [ClockKind.ANSWER]
    paper.act("clerk", "recall", reason="Nhầm")
    assert [c for c in paper.snapshot.clocks if c.kind is ClockKind.ANSWER] == []


def test_paper_alone_with_an_answer_asked_for_closes_and_still_waits() -> None:
    paper = to_send()
    paper.act("clerk", "dispatch", recipients=[BY_HAND], answer_by="5 working days")
    assert (paper.snapshot.state, clock_of(paper).paused_at) == (State.CLOSED, None)


def test_a_hold_does_not_give_others_more_time() -> None:
    paper, _ = awaiting()
    before = clock_of(paper)
    paper.act("leader", "hold", reason="Chờ")
    assert clock_of(paper) == before
    paper.act("leader", "resume")
    assert clock_of(paper) == before


def test_an_overdue_answer_is_chased_with_the_clerks_and_the_author() -> None:
    paper, _ = awaiting()
    paper.settle()
    clock = clock_of(paper)
    now = clock.due_at + timedelta(minutes=1)
    plan = Plan(paper.snapshot, paper.snapshot, paper.actor(None), now, new_id)
    told = {person.username for person, _ in whom(plan, "assignee", None, ClockKind.ANSWER)}
    assert told == {"clerk", "clerk2"}


def test_an_answer_deadline_in_the_past_is_refused_by_its_name() -> None:
    with pytest.raises(Invalid) as refused:
        to_send().act("clerk", "dispatch", recipients=[SO], answer_by="2026-01-01T00:00:00Z")
    assert refused.value.details["field"] == "answer_by"


def test_nobody_can_be_asked_to_answer_where_nobody_gets_it() -> None:
    with pytest.raises(Invalid, match="Nobody is named who could answer"):
        to_send().act("clerk", "dispatch", answer_by="5 working days")
