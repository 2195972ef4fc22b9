"""Each step of a deadline's ladder fires once, with the instant it was due at, whatever crashes."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from docflow.services import escalation
from tests.conftest import START, Clock, District, Escalate
from tests.moves import act, assigned, substitute, told, usernames, whole


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """An instant in March 2026, by the clock of Vietnam."""
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC) - timedelta(hours=7)


def fired(district: District, document: UUID) -> list[tuple[str, str | None, datetime]]:
    sql = "SELECT action, whom, due_at FROM escalation WHERE document_id = :d ORDER BY due_at, step"
    return [(r["action"], r["whom"], r["due_at"]) for r in district.query(sql, d=document)]


def nearest(district: District) -> datetime | None:
    with district.container.sessions() as session:
        return escalation.next_fire(session)


# Registering is due at the end of the next working day, Tuesday 17:00.


def test_the_steps_of_a_ladder_fire_once_each_with_the_instants_they_were_due_at(
    district: District, escalate: Escalate
) -> None:
    doc = district.enter()
    due = district.query("SELECT due_at FROM clock WHERE document_id = :d AND policy = 'register_incoming'", d=doc)
    assert due[0]["due_at"] == at(3, 17)
    first = nearest(district)
    assert first is not None
    assert escalate(first - timedelta(seconds=1)) == 0
    assert escalate(first) == 1
    assert escalate(first) == 0
    assert fired(district, doc) == [("remind", "assignee", first)]
    assert told(district, doc, "deadline_remind") == {"vanthu1", "vanthu2", "totruongvt"}
    assert escalate(at(3, 17)) == 1
    assert fired(district, doc)[1] == ("mark_overdue", None, at(3, 17))
    assert escalate(at(3, 17)) == 0
    assert escalate(at(4, 11, 30)) == 1
    assert fired(district, doc)[2] == ("notify", "unit_head", at(4, 11, 30))
    whole(district)


def test_a_task_that_is_late_is_marked_overdue_with_its_deadline(district: District, escalate: Escalate) -> None:
    doc = district.enter()
    version = district.row(doc)["version"]
    escalate(at(3, 17, 1))
    (task,) = district.tasks(doc)
    assert task["overdue_at"] == at(3, 17)
    assert district.row(doc)["overdue_at"] is None
    assert district.row(doc)["version"] == version + 1


def test_a_document_that_is_late_is_marked_overdue_and_its_people_hear_of_it(
    district: District, escalate: Escalate
) -> None:
    doc = assigned(district, deadline="2 working days")
    due = district.row(doc)["due_at"]
    escalate(due + timedelta(days=7))
    assert district.row(doc)["overdue_at"] == due
    assert told(district, doc, "deadline_remind") == {"ngansach2"}
    assert told(district, doc, "deadline_notify") >= {"ngansach1", "chutich", "phochutich1", "thanhtra1", "thanhtra2"}
    whole(district)


def test_after_an_outage_everything_due_fires_with_its_original_instant(district: District, escalate: Escalate) -> None:
    doc = district.enter()
    escalate(at(30, 9))
    register = [f for f in fired(district, doc) if f[2] <= at(5, 9)]
    assert [(a, w) for a, w, _ in register] == [
        ("remind", "assignee"),
        ("mark_overdue", None),
        ("notify", "unit_head"),
        ("notify", "leader"),
    ]
    assert [i for _, _, i in register][1:] == [at(3, 17), at(4, 11, 30), at(4, 17)]
    assert all(r["fired_at"] == at(30, 9) for r in district.query("SELECT fired_at FROM escalation"))
    assert escalate(at(30, 9)) == 0
    assert nearest(district) is None
    whole(district)


def test_a_crash_between_claim_and_commit_repeats_and_loses_nothing(district: District, escalate: Escalate) -> None:
    doc = district.enter()
    container = district.container
    session = container.sessions()
    assert escalation.escalate_due(session, container.pictures, at(3, 18)) == 2
    session.close()
    assert fired(district, doc) == []
    assert told(district, doc, "deadline_remind") == set()
    assert escalate(at(3, 18)) == 2
    assert len(fired(district, doc)) == 2
    whole(district)


def test_a_paused_clock_does_not_fire_and_a_resumed_one_fires_later(
    district: District, clock: Clock, escalate: Escalate
) -> None:
    doc = district.enter()
    first = nearest(district)
    assert first is not None
    act(district, doc, "vanthu1", "hold", reason="Chờ bản gốc")
    assert nearest(district) is None
    assert escalate(first + timedelta(days=7)) == 0
    clock.now = START + timedelta(days=7)
    act(district, doc, "vanthu1", "resume")
    moved = nearest(district)
    assert moved is not None
    assert moved > first
    assert escalate(moved) == 1
    (remind,) = fired(district, doc)
    assert remind[2] == moved
    whole(district)


def test_what_was_done_in_time_never_fires(district: District, escalate: Escalate) -> None:
    doc = district.enter(route="incoming_information")
    act(district, doc, "vanthu1", "register")
    act(district, doc, "chutich", "assign", handlers=[{"role": "information", "user": "ngansach2"}])
    assert district.row(doc)["state"] == "closed"
    sql = "SELECT kind, next_fire_at FROM clock WHERE document_id = :d AND stopped_at IS NULL"
    running = district.query(sql, d=doc)
    assert [c["kind"] for c in running] == ["archive"]
    assert nearest(district) == running[0]["next_fire_at"]
    assert escalate(at(30, 9)) == 0


def test_the_substitute_of_an_absent_person_is_told_in_their_place(district: District, escalate: Escalate) -> None:
    substitute(district, "ngansach2", "ngansach1", START, START + timedelta(days=30))
    doc = assigned(district, deadline="2 working days")
    escalate(district.row(doc)["due_at"])
    assert told(district, doc, "deadline_remind") == {"ngansach1"}
    rows = district.query("SELECT told FROM escalation WHERE document_id = :d AND action = 'remind'", d=doc)
    substitute_id = str(district.user_id("ngansach1"))
    told_for = {"id": substitute_id, "to": "ngansach1", "instead_of": "ngansach2"}
    assert [u for r in rows for u in r["told"]] == [told_for] * len(rows)
    (row,) = district.query("SELECT data FROM history WHERE document_id = :d AND action = 'escalate'", d=doc)
    in_history = [s["told"] for s in row["data"]["steps"] if s["action"] == "remind"]
    assert in_history == [[{"to": "ngansach1", "instead_of": "ngansach2"}]] * len(rows)
    (notice, *_) = district.query("SELECT instead_of FROM notification WHERE kind = 'deadline_remind'")
    assert notice["instead_of"] == district.user_id("ngansach2")


def test_nobody_hears_of_a_secret_documents_deadline_who_may_not_read_it(
    district: District, escalate: Escalate
) -> None:
    doc = district.enter(secrecy=3)
    escalate(at(30, 9))
    heard = {r["user_id"] for r in district.query("SELECT user_id FROM notification WHERE document_id = :d", d=doc)}
    assert usernames(district, heard) == ["chutich", "totruongvt", "vanthu1"]


def test_a_new_deadline_has_a_ladder_of_its_own_and_the_old_clock_is_kept(
    district: District, escalate: Escalate
) -> None:
    doc = assigned(district, deadline="2 working days")
    old = district.row(doc)["due_at"]
    escalate(old)
    before = len(fired(district, doc))
    act(district, doc, "chutich", "extend", deadline="5 working days", reason="Chờ số liệu")
    row = district.row(doc)
    assert row["due_at"] > old
    assert row["overdue_at"] is None
    escalate(row["due_at"])
    assert len(fired(district, doc)) > before
    assert district.row(doc)["overdue_at"] == row["due_at"]
    clocks = district.query("SELECT due_at, stopped_at FROM clock WHERE document_id = :d AND task_id IS NULL", d=doc)
    assert {c["due_at"] for c in clocks if c["stopped_at"] is not None} >= {old}
    whole(district)


def test_a_step_that_fired_stands_in_history_as_the_clocks_doing(district: District, escalate: Escalate) -> None:
    doc = district.enter()
    escalate(at(3, 18))
    (row,) = district.query("SELECT * FROM history WHERE document_id = :d AND action = 'escalate'", d=doc)
    steps: list[dict[str, Any]] = row["data"]["steps"]
    assert (row["source"], row["actor"], row["actor_id"]) == ("clock", "docflow", None)
    assert [s["action"] for s in steps] == ["remind", "mark_overdue"]
