"""Steps and rounds of review: who must agree, and what becomes of the others."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from docflow.domain.errors import Forbidden, IllegalTransition, Invalid, NotFound
from tests.conftest import START, Clock, District
from tests.moves import (
    TO_PROVINCE,
    act,
    apply_routes,
    assigned,
    drive,
    history,
    outgoing,
    substitute,
    tasks,
    told,
    usernames,
    whole,
)

THREE = ["truongnv", "noivu1", "truongtnmt"]


def with_step(who: dict[str, Any], agree: str | int | None = None) -> dict[str, Any]:
    step = {"step": "check", "who": who} | ({"agree": agree} if agree is not None else {})
    return {
        "route": "outgoing",
        "direction": "outgoing",
        "book": "DI",
        "stages": [
            {"stage": "assign", "who": {"role": "leader"}, "automatic": {"to": "drafter"}},
            {"stage": "review", "steps": [{"step": "draft", "who": {"task": "main"}}, step]},
            {"stage": "sign", "who": {"role": "leader"}},
            {"stage": "register", "who": {"role": "clerk"}},
            {"stage": "dispatch", "who": {"role": "clerk"}},
        ],
    }


def submitted(district: District, who: dict[str, Any], agree: str | int | None = None) -> UUID:
    apply_routes(district, with_step(who, agree))
    doc = outgoing(district)
    act(district, doc, "ngansach2", "submit")
    return doc


def rows_of_step(district: District, doc: UUID) -> dict[str, str]:
    sql = """SELECT p.username, t.state FROM task t JOIN person p ON p.id = t.user_id
             WHERE t.document_id = :d AND t.role = 'step'"""
    return {r["username"]: r["state"] for r in district.query(sql, d=doc)}


def test_two_of_three_are_enough_and_the_third_is_asked_no_more(district: District) -> None:
    doc = submitted(district, {"users": THREE}, 2)
    assert usernames(district, [t["user_id"] for t in tasks(district, doc, "step")]) == sorted(THREE)
    answer = act(district, doc, "noivu1", "approve").answer
    assert (answer["state"], answer["step"]) == ("review", "check")
    row = district.row(doc)
    assert (row["step_agreed"], row["step_needed"]) == (1, 2)
    with pytest.raises(Forbidden):
        act(district, doc, "noivu1", "approve")
    assert act(district, doc, "truongnv", "approve").answer["state"] == "sign"
    assert rows_of_step(district, doc) == {"noivu1": "done", "truongnv": "done", "truongtnmt": "cancelled"}
    with pytest.raises(IllegalTransition):
        act(district, doc, "truongtnmt", "approve")
    whole(district)


def test_where_all_must_agree_the_last_one_ends_the_step(district: District) -> None:
    doc = submitted(district, {"users": THREE}, "all")
    for name in THREE[:2]:
        assert act(district, doc, name, "approve").answer["state"] == "review"
    assert act(district, doc, THREE[2], "approve").answer["state"] == "sign"
    whole(district)


def test_users_must_all_agree_unless_the_route_says_otherwise(district: District) -> None:
    doc = submitted(district, {"users": THREE})
    assert district.row(doc)["step_needed"] == 3


def test_where_any_may_agree_the_first_one_ends_the_step(district: District) -> None:
    doc = submitted(district, {"users": THREE}, "any")
    assert act(district, doc, THREE[1], "approve").answer["state"] == "sign"
    assert rows_of_step(district, doc) == {THREE[0]: "cancelled", THREE[1]: "done", THREE[2]: "cancelled"}


def test_a_roles_step_waits_for_any_one_of_its_holders(district: District) -> None:
    doc = submitted(district, {"role": "leader"})
    (row,) = tasks(district, doc, "step")
    assert (row["user_id"], row["pool_role"]) == (None, "leader")
    assert act(district, doc, "phochutich2", "approve").answer["state"] == "sign"


def test_a_quorum_of_a_role_asks_each_of_its_holders(district: District) -> None:
    doc = submitted(district, {"role": "leader"}, 2)
    assert set(rows_of_step(district, doc)) == {"chutich", "phochutich1", "phochutich2"}
    act(district, doc, "phochutich1", "approve")
    assert act(district, doc, "chutich", "approve").answer["state"] == "sign"
    whole(district)


def test_more_approvals_than_there_are_people_are_refused_when_the_step_would_begin(district: District) -> None:
    apply_routes(district, with_step({"role": "leader"}, 4))
    doc = outgoing(district)
    with pytest.raises(Invalid, match="only 3 people can give one"):
        act(district, doc, "ngansach2", "submit")
    assert district.row(doc)["step"] == "draft"
    whole(district)


def test_one_who_wants_changes_sends_it_back_whatever_others_said(district: District) -> None:
    doc = submitted(district, {"users": THREE}, 2)
    act(district, doc, "noivu1", "approve")
    answer = act(district, doc, "truongnv", "request_changes", reason="Sửa căn cứ").answer
    assert (answer["step"], answer["round"]) == ("draft", 2)
    assert set(rows_of_step(district, doc).values()) == {"done", "cancelled"}
    row = district.row(doc)
    assert (row["step_agreed"], row["step_needed"]) == (0, 0)
    whole(district)


def test_each_round_of_review_begins_anew_and_tells_the_handler(district: District) -> None:
    doc = submitted(district, {"users": THREE}, 2)
    for round_ in (2, 3, 4):
        act(district, doc, "truongnv", "request_changes", reason="Sửa tiếp")
        assert district.row(doc)["round"] == round_
        act(district, doc, "ngansach2", "submit")
        assert {t["round"] for t in tasks(district, doc, "step")} == {round_}
    act(district, doc, "noivu1", "approve")
    act(district, doc, "truongnv", "approve")
    assert act(district, doc, "chutich", "refuse", reason="Chưa đủ hồ sơ").answer["round"] == 5
    sql = "SELECT count(*) AS n FROM notification WHERE document_id = :d AND user_id = :u AND kind = 'task_main'"
    heard = district.query(sql, d=doc, u=district.user_id("ngansach2"))[0]["n"]
    assert heard == 1 + 3 + 1
    whole(district)


def test_a_rejection_ends_the_document_and_everything_open_on_it(district: District) -> None:
    doc = submitted(district, {"users": THREE}, 2)
    act(district, doc, "noivu1", "consult", users=["truongtnmt"], question="Ý kiến?")
    act(district, doc, "truongnv", "reject", reason="Không đúng thẩm quyền")
    row = district.row(doc)
    assert (row["state"], row["ended_at"]) == ("rejected", district.container.clock())
    assert district.tasks(doc) == []
    assert district.query("SELECT id FROM clock WHERE document_id = :d AND stopped_at IS NULL", d=doc) == []
    assert history(district, doc)[-1]["data"]["reason"] == "Không đúng thẩm quyền"
    whole(district)


def test_a_signer_rejects_as_well(district: District) -> None:
    doc = submitted(district, {"users": THREE[:1]})
    act(district, doc, THREE[0], "approve")
    assert act(district, doc, "phochutich1", "reject", reason="Không ban hành").answer["state"] == "rejected"


def test_the_version_that_was_approved_is_pinned_and_a_change_unpins_it(district: District) -> None:
    doc = submitted(district, {"users": THREE[:1]})
    act(district, doc, THREE[0], "approve")
    row = district.row(doc)
    assert row["pinned_file_id"] == row["main_file_id"] is not None
    act(district, doc, "chutich", "refuse", reason="Sửa")
    assert district.row(doc)["pinned_file_id"] is None


def test_an_answer_that_is_due_is_wanted_before_it_is_submitted(district: District) -> None:
    doc = assigned(district, answer_required=True)
    with pytest.raises(Invalid, match="An answer is due"):
        act(district, doc, "ngansach2", "submit")
    with pytest.raises(IllegalTransition):
        act(district, doc, "ngansach2", "close")


def test_a_draft_without_a_main_file_is_not_submitted(district: District) -> None:
    doc = district.enter("ngansach2", direction="outgoing", recipients=TO_PROVINCE)
    drive(district, doc)
    with pytest.raises(Invalid, match="no main file"):
        act(district, doc, "ngansach2", "submit")


def test_a_document_keeps_the_route_it_began_with_after_a_new_one_is_applied(district: District) -> None:
    old = outgoing(district)
    number = apply_routes(district, with_step({"users": THREE[:1]}))
    new = outgoing(district)
    assert (district.row(old)["config_version"], district.row(new)["config_version"]) == (number - 1, number)
    for doc in (old, new):
        act(district, doc, "ngansach2", "submit")
    assert (district.row(old)["step"], district.row(new)["step"]) == ("content", "check")
    whole(district)


def test_the_same_configuration_twice_is_one_version(district: District) -> None:
    assert apply_routes(district) == 1
    changed = apply_routes(district, with_step({"users": THREE}))
    assert apply_routes(district, with_step({"users": THREE})) == changed == 2


def test_a_substitute_approves_for_the_absent_and_history_keeps_both(district: District, clock: Clock) -> None:
    substitute(district, "truongnv", "noivu1", START, START + timedelta(days=2))
    doc = submitted(district, {"users": ["truongnv"]})
    with pytest.raises(NotFound):
        act(district, doc, "noivu1", "approve")
    act(district, doc, None, "approve", asked=district.asked("noivu1", acting_for="truongnv"))
    last = history(district, doc)[-1]
    assert (last["actor_id"], last["acting_for_id"]) == (district.user_id("noivu1"), district.user_id("truongnv"))
    assert last["actor"] == "Lương Thế Quang (noivu1)"
    assert last["acting_for"] == "Tạ Thị Minh Nguyệt (truongnv)"
    whole(district)


@pytest.mark.parametrize("days", [-1, 2, 5])
def test_a_substitution_that_has_not_begun_or_is_over_gives_no_right(
    district: District, clock: Clock, days: int
) -> None:
    substitute(district, "truongnv", "noivu1", START, START + timedelta(days=2))
    doc = submitted(district, {"users": ["truongnv"]})
    clock.now = START + timedelta(days=days)
    with pytest.raises(Forbidden, match="No substitution"):
        act(district, doc, None, "approve", asked=district.asked("noivu1", acting_for="truongnv"))


def test_a_substitution_limited_to_a_role_gives_only_its_rights(district: District) -> None:
    end = START + timedelta(days=2)
    substitute(district, "chutich", "truongnv", START, end, "supervisor")
    doc = submitted(district, {"users": THREE[:1]})
    act(district, doc, THREE[0], "approve")
    asked = district.asked("truongnv", acting_for="chutich")
    with pytest.raises(Forbidden):
        act(district, doc, None, "refuse", asked=asked, reason="Sửa")
    substitute(district, "chutich", "truongnv", START, end, "leader")
    assert act(district, doc, None, "refuse", asked=asked, reason="Sửa").answer["state"] == "review"


def test_who_is_named_in_a_step_hears_of_it(district: District) -> None:
    doc = submitted(district, {"users": THREE}, 2)
    assert told(district, doc, "task_step") == set(THREE)
