"""Rows to persons and units: assigning, claiming, forwarding, time, consultation, urging."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from docflow.domain.errors import Forbidden, IllegalTransition, Invalid, NotFound
from tests.conftest import Clock, District
from tests.moves import act, assigned, history, outgoing, tasks, told, usernames, whole

TEAM = [
    {"role": "main", "unit": "PTCKH"},
    {"role": "co", "user": "datdai2"},
    {"role": "information", "user": "noivu1"},
]


def one(district: District, doc: UUID, role: str) -> Any:
    (row,) = tasks(district, doc, role)
    return row


def test_a_directive_makes_a_row_for_each_it_names_with_its_deadline(district: District) -> None:
    doc = assigned(
        district,
        {"role": "main", "unit": "PTCKH"},
        {"role": "co", "user": "datdai2", "deadline": "1 working day"},
        {"role": "information", "user": "noivu1"},
        deadline="3 working days",
    )
    main, co, info = (one(district, doc, r) for r in ("main", "co", "information"))
    assert (main["user_id"], main["pool_role"]) == (None, "unit_head")
    assert main["due_at"] == district.row(doc)["due_at"]
    assert co["due_at"] < main["due_at"]
    assert info["due_at"] is None
    assert {t["assigned_by"] for t in (main, co, info)} == {district.user_id("chutich")}
    assert told(district, doc, "task_co") == {"datdai2"}
    assert told(district, doc, "task_information") == {"noivu1"}
    whole(district)


@pytest.mark.parametrize(
    "handlers",
    [
        [{"role": "co", "user": "datdai2"}],
        [{"role": "main", "user": "datdai2"}, {"role": "main", "user": "noivu1"}],
        [{"role": "main"}],
        [{"role": "main", "user": "datdai2", "unit": "PNV"}],
        [{"role": "main", "user": "khongco"}],
        [{"role": "main", "unit": "KHONGCO"}],
        [{"role": "main", "user": "datdai2", "deadline": "2020-01-01T00:00:00Z"}],
    ],
)
def test_a_directive_that_names_nobody_clearly_is_refused_and_nothing_changes(
    district: District, handlers: list[dict[str, Any]]
) -> None:
    doc = district.enter()
    act(district, doc, "vanthu1", "register")
    with pytest.raises(Invalid):
        act(district, doc, "chutich", "assign", handlers=handlers)
    assert district.row(doc)["state"] == "assign"
    whole(district)


def test_a_document_for_information_needs_no_main_handler_and_its_readers_keep_reading(district: District) -> None:
    doc = district.enter(route="incoming_information")
    act(district, doc, "vanthu1", "register")
    handlers = [{"role": "information", "user": "noivu1"}, {"role": "information", "unit": "PTNMT"}]
    act(district, doc, "chutich", "assign", handlers=handlers)
    assert district.row(doc)["state"] == "closed"
    assert told(district, doc, "task_information") == {"noivu1"}
    with pytest.raises(IllegalTransition):
        act(district, doc, "noivu1", "comment", text="Đã đọc")
    with pytest.raises(NotFound):
        act(district, doc, "datdai2", "comment", text="Không thấy")


def test_a_row_to_a_unit_is_claimed_by_its_head_or_its_authorised_processor(district: District) -> None:
    doc = assigned(district, *TEAM)
    act(district, doc, "photckh", "claim")
    row = one(district, doc, "main")
    assert (row["user_id"], row["claimed"]) == (district.user_id("photckh"), True)
    with pytest.raises(Forbidden):
        act(district, doc, "truongtckh", "submit")
    act(district, doc, "photckh", "release")
    row = one(district, doc, "main")
    assert (row["user_id"], row["claimed"]) == (None, False)
    assert act(district, doc, "truongtckh", "submit").answer["state"] == "dispatch"
    whole(district)


def test_nobody_claims_or_releases_what_is_not_theirs(district: District) -> None:
    doc = assigned(district, *TEAM)
    for who, action in (("datdai2", "claim"), ("truongtckh", "release"), ("datdai2", "release")):
        with pytest.raises(Forbidden):
            act(district, doc, who, action)
    act(district, doc, "photckh", "claim")
    for who, action in (("truongtckh", "claim"), ("truongtckh", "release")):
        with pytest.raises(Forbidden):
            act(district, doc, who, action)


def test_work_is_forwarded_inside_the_unit_and_counts_as_processed(district: District) -> None:
    doc = assigned(district, *TEAM, deadline="5 working days")
    before = one(district, doc, "main")
    act(district, doc, "truongtckh", "forward", user="ngansach2", deadline="2 working days", note="Xử lý giúp")
    row = one(district, doc, "main")
    assert (row["user_id"], row["parent_id"]) == (district.user_id("ngansach2"), before["id"])
    assert row["directive"] == "Xử lý giúp"
    assert row["due_at"] < before["due_at"]
    old = district.query("SELECT state, closed_by FROM task WHERE id = :i", i=before["id"])[0]
    assert (old["state"], old["closed_by"]) == ("forwarded", district.user_id("truongtckh"))
    act(district, doc, "ngansach2", "submit")
    whole(district)


def test_work_is_not_forwarded_out_of_the_unit(district: District) -> None:
    doc = assigned(district, *TEAM)
    targets: list[dict[str, Any]] = [{"user": "datdai2"}, {"unit": "PTNMT"}]
    for target in targets:
        with pytest.raises(Forbidden, match="inside your own unit"):
            act(district, doc, "truongtckh", "forward", **target)
    act(district, doc, "truongtckh", "forward", unit="PTCKH-NS")
    assert one(district, doc, "main")["pool_role"] == "unit_head"


def test_a_forwarded_deadline_does_not_lie_past_the_parents(district: District) -> None:
    doc = assigned(district, *TEAM, deadline="2 working days")
    with pytest.raises(Invalid, match="past your own"):
        act(district, doc, "truongtckh", "forward", user="ngansach2", deadline="3 working days")
    act(district, doc, "truongtckh", "forward", user="ngansach2")
    assert one(district, doc, "main")["due_at"] == district.row(doc)["due_at"]


def test_a_reassignment_cancels_the_rows_and_what_came_of_them(district: District) -> None:
    doc = assigned(district, *TEAM, deadline="5 working days")
    act(district, doc, "truongtckh", "forward", user="ngansach1")
    act(district, doc, "ngansach1", "forward", user="ngansach2")
    old = {t["id"] for t in district.tasks(doc)}
    act(district, doc, "chutich", "reassign", handlers=[{"role": "main", "user": "datdai2"}], directive="Giao lại")
    (row,) = district.tasks(doc)
    assert (row["role"], row["user_id"]) == ("main", district.user_id("datdai2"))
    states = district.query("SELECT DISTINCT state FROM task WHERE id = ANY(:ids)", ids=list(old))
    assert [s["state"] for s in states] == ["cancelled"]
    running = "SELECT task_id FROM clock WHERE document_id = :d AND stopped_at IS NULL AND task_id IS NOT NULL"
    assert {c["task_id"] for c in district.query(running, d=doc)} <= {row["id"]}
    actions = [h["action"] for h in history(district, doc)]
    assert actions[-4:] == ["assign", "forward", "forward", "reassign"]
    whole(district)


def test_the_forwarder_may_take_back_what_they_passed_on_and_the_handler_may_not(district: District) -> None:
    doc = assigned(district, *TEAM)
    act(district, doc, "truongtckh", "forward", user="ngansach2")
    with pytest.raises(Forbidden):
        act(district, doc, "ngansach2", "reassign", handlers=[{"role": "main", "user": "ngansach1"}])
    act(district, doc, "truongtckh", "reassign", handlers=[{"role": "main", "user": "ngansach1"}])
    assert one(district, doc, "main")["user_id"] == district.user_id("ngansach1")


def test_work_passed_on_while_it_waits_for_an_approval_waits_on(district: District) -> None:
    doc = outgoing(district)
    act(district, doc, "ngansach2", "submit")
    act(district, doc, "ngansach2", "forward", user="ngansach1")
    row = one(district, doc, "main")
    assert (row["state"], row["user_id"]) == ("waiting", district.user_id("ngansach1"))
    with pytest.raises(IllegalTransition):
        act(district, doc, "ngansach1", "submit")
    whole(district)


def test_completion_by_the_main_handler_closes_the_other_rows(district: District) -> None:
    doc = assigned(district, {"role": "main", "user": "ngansach2"}, *TEAM[1:])
    act(district, doc, "ngansach2", "submit", proposal="Xong")
    assert [t["role"] for t in district.tasks(doc) if t["role"] in ("co", "information")] == []
    assert one(district, doc, "main")["state"] == "waiting"
    whole(district)


def test_a_co_handler_gives_one_opinion(district: District) -> None:
    doc = assigned(district, *TEAM)
    act(district, doc, "datdai2", "opinion", opinion="disagree", text="Chưa đủ căn cứ")
    row = district.query("SELECT state, outcome FROM task WHERE document_id = :d AND role = 'co'", d=doc)[0]
    assert (row["state"], row["outcome"]) == ("done", "disagree")
    with pytest.raises(Forbidden):
        act(district, doc, "datdai2", "opinion", opinion="agree")


@pytest.mark.parametrize("stage", ["register", "assign", "review", "dispatch"])
def test_an_opinion_is_asked_and_given_in_any_stage(district: District, stage: str) -> None:
    doc = district.enter(secrecy=0)
    asker = {"register": "vanthu1", "assign": "chutich", "review": "ngansach2", "dispatch": "vanthu1"}[stage]
    if stage != "register":
        act(district, doc, "vanthu1", "register")
    if stage in ("review", "dispatch"):
        act(district, doc, "chutich", "assign", handlers=[{"role": "main", "user": "ngansach2"}])
    if stage == "dispatch":
        act(district, doc, "ngansach2", "submit")
    assert district.row(doc)["state"] == stage
    act(district, doc, asker, "consult", users=["noivu1", "truongtnmt"], question="Ý kiến?", deadline="1 working day")
    assert told(district, doc, "task_consult") == {"noivu1", "truongtnmt"}
    act(district, doc, "noivu1", "opinion", opinion="other", text="Xin bổ sung")
    assert district.row(doc)["state"] == stage
    assert usernames(district, [t["user_id"] for t in tasks(district, doc, "consult")]) == ["truongtnmt"]
    whole(district)


def test_who_is_asked_already_is_not_asked_twice(district: District) -> None:
    doc = assigned(district)
    for _ in range(2):
        act(district, doc, "ngansach2", "consult", users=["noivu1"], question="Ý kiến?")
    assert len(tasks(district, doc, "consult")) == 1


def test_an_urge_reaches_everybody_it_is_for_and_is_kept(district: District) -> None:
    doc = assigned(district, *TEAM)
    version = district.row(doc)["version"]
    for grade in ("reminder", "criticism"):
        act(district, doc, "thanhtra1", "urge", grade=grade, text="Đề nghị khẩn trương")
    assert told(district, doc, "urge_reminder") == {"truongtckh", "photckh", "datdai2", "noivu1"}
    assert told(district, doc, "urge_criticism") == told(district, doc, "urge_reminder")
    kept = [h["data"] for h in history(district, doc) if h["action"] == "urge"]
    assert [d.get("grade", "reminder") for d in kept] == ["reminder", "criticism"]
    assert all(len(d["tasks"]) == 3 for d in kept)
    assert district.row(doc)["version"] == version
    whole(district)


def test_an_urge_can_be_for_one_row(district: District) -> None:
    doc = assigned(district, *TEAM)
    co = one(district, doc, "co")
    act(district, doc, "thanhtra1", "urge", text="Đề nghị khẩn trương", task_id=str(co["id"]))
    assert told(district, doc, "urge_reminder") == {"datdai2"}
    with pytest.raises(Invalid, match="no open task"):
        act(district, doc, "thanhtra1", "urge", text="x", task_id=str(UUID(int=5)))


def test_more_time_is_asked_by_the_handler_and_granted_by_the_assigner_and_the_old_clock_is_kept(
    district: District,
) -> None:
    doc = assigned(district, deadline="2 working days")
    old = district.row(doc)["due_at"]
    act(district, doc, "ngansach2", "extend", deadline="5 working days", reason="Chờ số liệu")
    assert district.row(doc)["due_at"] == old
    row = one(district, doc, "extension")
    assert (row["user_id"], row["directive"]) == (district.user_id("chutich"), "Chờ số liệu")
    act(district, doc, "chutich", "extend", deadline="5 working days", reason="Đồng ý")
    new = district.row(doc)["due_at"]
    assert new > old
    assert one(district, doc, "main")["due_at"] == new
    assert tasks(district, doc, "extension") == []
    clocks = district.query("SELECT due_at, stopped_at FROM clock WHERE document_id = :d AND task_id IS NULL", d=doc)
    assert {c["due_at"] for c in clocks if c["stopped_at"]} >= {old}
    assert [c["due_at"] for c in clocks if not c["stopped_at"]] == [new]
    asked, granted = (h["data"] for h in history(district, doc)[-2:])
    assert (asked["granted"], granted["granted"]) == (False, True)
    assert granted["old"] != granted["new"]
    whole(district)


def test_more_time_is_neither_asked_nor_granted_by_others(district: District) -> None:
    doc = assigned(district, *TEAM, deadline="2 working days")
    for who in ("noivu1", "vanthu1", "thanhtra1"):
        with pytest.raises(Forbidden):
            act(district, doc, who, "extend", deadline="5 working days", reason="x")


def test_a_deadline_that_has_passed_is_no_extension(district: District, clock: Clock) -> None:
    doc = assigned(district, deadline="2 working days")
    with pytest.raises(Invalid, match="passed already"):
        act(district, doc, "chutich", "extend", deadline=clock.now - timedelta(hours=1), reason="x")


def test_a_hold_pauses_and_a_resumption_moves_the_deadlines_of_document_and_rows(
    district: District, clock: Clock
) -> None:
    doc = assigned(district, *TEAM, deadline="3 working days")
    due = district.row(doc)["due_at"]
    main = one(district, doc, "main")["due_at"]
    act(district, doc, "truongtckh", "hold", reason="Chờ ý kiến tỉnh")
    assert history(district, doc)[-1]["data"]["reason"] == "Chờ ý kiến tỉnh"
    clocks = "SELECT paused_at, next_fire_at FROM clock WHERE document_id = :d AND stopped_at IS NULL"
    assert {(c["paused_at"], c["next_fire_at"]) for c in district.query(clocks, d=doc)} == {(clock.now, None)}
    clock.pass_time(days=7)
    act(district, doc, "truongtckh", "resume")
    assert district.row(doc)["due_at"] - due == timedelta(days=7)
    assert one(district, doc, "main")["due_at"] - main == timedelta(days=7)
    assert {c["paused_at"] for c in district.query(clocks, d=doc)} == {None}
    pauses = district.query("SELECT pauses FROM clock WHERE document_id = :d AND stopped_at IS NULL", d=doc)
    assert all(len(p["pauses"]) == 1 for p in pauses)
    whole(district)


def test_who_has_it_for_information_does_not_hold_it(district: District) -> None:
    doc = assigned(district, *TEAM)
    with pytest.raises(Forbidden):
        act(district, doc, "noivu1", "hold", reason="x")


def test_exactly_one_main_row_stands_through_all_of_it(district: District) -> None:
    doc = assigned(district, *TEAM)
    moves: list[tuple[str, str, dict[str, Any]]] = [
        ("truongtckh", "claim", {}),
        ("truongtckh", "forward", {"user": "ngansach2"}),
        ("chutich", "reassign", {"handlers": TEAM}),
        ("photckh", "forward", {"user": "dautu1"}),
        ("dautu1", "hold", {"reason": "x"}),
        ("chutich", "resume", {}),
    ]
    for who, action, command in moves:
        act(district, doc, who, action, **command)
        assert len(tasks(district, doc, "main")) == 1
    whole(district)
