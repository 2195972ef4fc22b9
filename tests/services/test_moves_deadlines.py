"""What people do with deadlines, as it is stored."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from docflow.services import escalation
from docflow.services.documents import Patch, mend
from docflow.services.sweep import IDLE
from docflow.services.transition import Moved
from tests.conftest import START, Clock, District
from tests.moves import act, assigned, deliver, history, tasks, to_dispatch, told, whole


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """An instant in March 2026, by the clock of Vietnam."""
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC) - timedelta(hours=7)


def clocks(district: District, doc: UUID, policy: str) -> list[Any]:
    sql = "SELECT * FROM clock WHERE document_id = :d AND policy = :p ORDER BY stopped_at NULLS LAST, id"
    return district.query(sql, d=doc, p=policy)


def escalate(district: District, clock: Clock, now: datetime) -> int:
    clock.now = now
    with district.container.sessions.begin() as session:
        return escalation.escalate_due(session, district.container.pictures, now)


def hurry(district: District, doc: UUID, urgency: str) -> Moved:
    with district.container.sessions.begin() as session:
        patch = Patch.model_validate({"urgency": urgency})
        return mend(session, district.container.pictures, doc, patch, district.asked("vanthu1"))


def closed(district: District) -> UUID:
    doc = to_dispatch(district)
    act(district, doc, "vanthu1", "dispatch", recipients=[{"name": "Sở", "address": "so@tinh.example"}])
    deliver(district)
    assert district.row(doc)["state"] == "closed"
    return doc


def test_every_hold_is_kept_with_its_reason_and_nothing_fires_meanwhile(district: District, clock: Clock) -> None:
    doc = district.enter()
    holds = [(at(2, 10), at(2, 11), "Chờ bản gốc"), (at(3, 8), at(3, 9), "Chờ tỉnh")]
    for begun, over, why in holds:
        clock.now = begun
        act(district, doc, "vanthu1", "hold", reason=why)
        assert escalate(district, clock, over) == 0
        act(district, doc, "vanthu1", "resume")
    for (row,) in (clocks(district, doc, p) for p in ("resolve_incoming", "register_incoming")):
        kept = [
            (datetime.fromisoformat(p["from"]), datetime.fromisoformat(p["to"]), p["reason"]) for p in row["pauses"]
        ]
        assert kept == holds
        assert (row["paused_at"], row["pause_reason"]) == (None, "")
    whole(district)


def test_another_urgency_moves_document_rows_and_clocks_in_one_move_that_history_tells(
    district: District, clock: Clock
) -> None:
    doc = district.enter()
    clock.now = at(2, 9, 30)
    moved = hurry(district, doc, "flash")
    row = district.row(doc)
    assert (row["urgency"], row["due_at"]) == ("flash", at(2, 17))
    assert datetime.fromisoformat(moved.answer["due_at"]) == at(2, 17)
    old, new = clocks(district, doc, "resolve_incoming")
    assert (old["due_at"], old["stopped_at"], old["next_fire_at"]) == (at(16, 9), clock.now, None)
    assert (new["due_at"], new["stopped_at"], new["ladder"]) == (at(2, 17), None, "flash")
    assert (new["started_at"], new["allowance"]) == (START, "same working day")
    (stage,) = tasks(district, doc, "stage")
    assert stage["due_at"] == at(2, 9, 30)
    data = history(district, doc)[-1]["data"]
    assert data["fields"] == ["urgency"]
    assert [d["policy"] for d in data["deadlines"]] == ["resolve_incoming", "register_incoming"]
    assert datetime.fromisoformat(data["deadlines"][0]["old"]) == at(16, 9)
    assert datetime.fromisoformat(data["deadlines"][0]["new"]) == at(2, 17)
    assert escalate(district, clock, at(2, 17)) > 0
    assert district.row(doc)["overdue_at"] == at(2, 17)
    whole(district)


def test_an_urging_is_a_row_for_each_it_was_for_beside_those_of_the_ladder(district: District, clock: Clock) -> None:
    doc = assigned(district, urgency="urgent")
    act(district, doc, "thanhtra1", "urge", grade="review", text="Kiểm điểm tiến độ")
    escalate(district, clock, at(9, 9))
    rows = district.query("SELECT * FROM urging WHERE document_id = :d ORDER BY urged_at, id", d=doc)
    assert [(r["grade"], r["urged_by"]) for r in rows[:2]] == [
        ("review", district.user_id("thanhtra1")),
        ("reminder", None),
    ]
    assert {r["task_id"] for r in rows} == {tasks(district, doc, "main")[0]["id"]}
    (notice,) = district.query("SELECT data FROM notification WHERE kind = 'urge_review'")
    assert (notice["data"]["grade"], notice["data"]["text"]) == ("review", "Kiểm điểm tiến độ")


def test_a_refused_request_is_kept_with_its_outcome_and_its_deadline(district: District) -> None:
    doc = assigned(district, deadline="2 working days")
    act(district, doc, "ngansach2", "extend", deadline="5 working days", reason="Chờ số liệu")
    (asked,) = tasks(district, doc, "extension")
    assert asked["due_at"] == at(9, 9)
    act(district, doc, "chutich", "extend", answer="refuse", reason="Đã đủ số liệu")
    (kept,) = district.query("SELECT * FROM task WHERE id = :i", i=asked["id"])
    assert (kept["state"], kept["outcome"], kept["due_at"]) == ("done", "refused", at(9, 9))
    assert told(district, doc, "extension_refused") == {"ngansach2"}
    assert district.row(doc)["due_at"] == at(4, 9)
    whole(district)


def test_a_closed_document_waits_to_be_filed_without_being_anybodys_work(district: District, clock: Clock) -> None:
    doc = closed(district)
    (waiting,) = clocks(district, doc, "file_to_archive")
    assert (waiting["kind"], waiting["stopped_at"], waiting["ladder"]) == ("archive", None, "filing")
    late = waiting["due_at"] + timedelta(days=1)
    assert escalate(district, clock, late) >= 3
    row = district.row(doc)
    assert (row["state"], row["overdue_at"]) == ("closed", None)
    assert told(district, doc, "deadline_remind") >= {"vanthu1"}
    assert tasks(district, doc) == []
    with district.container.sessions() as session:
        idle = session.execute(IDLE, {"after": UUID(int=0), "settled": late, "most": 10}).all()
    assert idle == []
    whole(district)


def test_filing_stops_the_clock_and_leaves_the_document_closed(district: District, clock: Clock) -> None:
    doc = closed(district)
    events = "SELECT count(*) AS n FROM outbox WHERE document_id = :d"
    before = district.query(events, d=doc)[0]["n"]
    clock.pass_time(days=30)
    answer = act(district, doc, "vanthu1", "archive", note="Hộp 12").answer
    row = district.row(doc)
    assert (answer["state"], row["archived_at"], row["ended_at"] < clock.now) == ("closed", clock.now, True)
    assert clocks(district, doc, "file_to_archive")[0]["stopped_at"] == clock.now
    assert district.query(events, d=doc)[0]["n"] == before
    assert escalate(district, clock, clock.now + timedelta(days=500)) == 0
    assert (history(district, doc)[-1]["action"], history(district, doc)[-1]["data"]) == ("archive", {"note": "Hộp 12"})
    whole(district)


def test_a_recalled_document_is_no_longer_to_be_filed(district: District) -> None:
    doc = closed(district)
    act(district, doc, "vanthu1", "recall", reason="Sai số liệu")
    assert [c["stopped_at"] is not None for c in clocks(district, doc, "file_to_archive")] == [True]
