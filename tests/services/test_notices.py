"""Notifications are published when it is time, several at once as one, and passed on exactly once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from docflow.adapters import config_files
from docflow.domain.configuration import Configuration
from docflow.domain.notices import Group, Preference
from docflow.services import configuration, escalation, notices
from tests.conftest import ROOT, START, Clock, District
from tests.moves import assigned, substitute

Pass = Callable[..., int]


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """An instant in March 2026, by the clock of Vietnam."""
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC) - timedelta(hours=7)


@pytest.fixture
def pass_on(district: District, clock: Clock) -> Pass:
    """What the flow does once it is ``now``."""

    def run(now: datetime | None = None, *, mail: bool = False, most: int = notices.PEOPLE) -> int:
        clock.now = now or clock.now
        container = district.container
        with container.sessions.begin() as session:
            return notices.pass_on(session, container.pictures, clock.now, mail=mail, most=most)

    return run


def escalate(district: District, clock: Clock, now: datetime) -> int:
    """Everything that is due at ``now``."""
    clock.now, fired = now, 0
    container = district.container
    while True:
        with container.sessions.begin() as session:
            more = escalation.escalate_due(session, container.pictures, now)
        fired += more
        if not more:
            return fired


def of(district: District, username: str) -> list[Any]:
    sql = "SELECT * FROM notification WHERE user_id = :u ORDER BY created_at, id"
    return district.query(sql, u=district.user_id(username))


def chosen(district: District, username: str, **groups: Preference) -> None:
    with district.container.sessions.begin() as session:
        notices.choose(session, district.user_id(username), {Group(name): p for name, p in groups.items()})


def hours_of_their_own(district: District, unit: str, **hours: list[str]) -> None:
    shipped = config_files.load(ROOT / "config").model_dump(mode="json")
    shipped["calendar"]["units"] = {unit: {"hours": hours}}
    changed = Configuration.model_validate(shipped)
    with district.container.sessions.begin() as session:
        configuration.apply(session, changed, config_files.digest(changed), district.container.clock())


def test_what_a_colleague_does_is_published_at_once_and_passed_on_once(district: District, pass_on: Pass) -> None:
    assigned(district)
    (row,) = of(district, "ngansach2")
    assert (row["published_at"], row["passed_on_at"]) == (START, None)
    passed = pass_on()
    (row,) = of(district, "ngansach2")
    assert (row["published_at"], row["passed_on_at"], row["collected_in"]) == (START, START, None)
    assert passed > 0
    assert pass_on() == 0


def test_a_clocks_notice_waits_for_the_working_hours_of_its_reader(
    district: District, clock: Clock, pass_on: Pass
) -> None:
    assigned(district, deadline="2 working days")
    pass_on()
    escalate(district, clock, at(4, 0, 30))
    first = next(r for r in of(district, "ngansach2") if r["kind"] == "deadline_remind")
    assert first["deliver_at"] == at(4, 7, 30)
    assert pass_on(at(4, 7, 29)) == 0
    assert pass_on(at(4, 7, 30)) > 0
    told = [r for r in of(district, "ngansach2") if r["kind"] == "deadline_remind"]
    assert {r["published_at"] for r in told} == {at(4, 7, 30)}


def test_an_urgent_document_is_told_of_at_midnight(district: District, clock: Clock, pass_on: Pass) -> None:
    document = assigned(district, urgency="urgent", deadline="2 working days")
    pass_on()
    night = at(4, 0, 30)
    escalate(district, clock, night)
    assert pass_on() > 0
    told = [r for r in of(district, "ngansach2") if r["kind"] == "deadline_remind" and r["document_id"] == document]
    assert told
    assert all(r["published_at"] == night and r["urgent"] for r in told)


def test_the_working_hours_are_those_of_the_readers_own_unit(district: District, clock: Clock, pass_on: Pass) -> None:
    unit = district.query(
        "SELECT u.code FROM unit u JOIN membership m ON m.unit_id = u.id JOIN person p ON "
        "p.id = m.user_id WHERE p.username = 'ngansach2' ORDER BY m.rank LIMIT 1"
    )[0]["code"]
    week = ("monday", "tuesday", "wednesday", "thursday", "friday")
    hours_of_their_own(district, unit, **{day: ["09:00-12:00", "13:00-18:00"] for day in week})
    assigned(district, deadline="2 working days")
    escalate(district, clock, at(4, 0, 30))
    (own,) = {r["deliver_at"] for r in of(district, "ngansach2") if r["kind"] == "deadline_remind"}
    assert own == at(4, 9)


def test_after_an_outage_a_person_is_told_once_and_everything_is_in_it(
    district: District, clock: Clock, pass_on: Pass
) -> None:
    documents = [district.enter() for _ in range(25)]
    pass_on()
    assert escalate(district, clock, at(8, 3)) >= 100
    before = of(district, "chutich")
    assert len(before) == len(documents)
    assert pass_on(at(8, 4)) == 0  # a Sunday
    assert pass_on(at(9, 7, 30)) > 100
    after = of(district, "chutich")
    (parent,) = [r for r in after if r["kind"] == "collected"]
    parts = [r for r in after if r["collected_in"] == parent["id"]]
    assert {r["document_id"] for r in parts} == set(documents)
    assert {datetime.fromisoformat(r["data"]["at"]) for r in parts} == {at(4, 17)}
    assert parent["data"] == {"kinds": {"deadline_notify": 25}}
    assert (parent["published_at"], parent["document_id"], parent["urgent"]) == (at(9, 7, 30), None, False)
    assert pass_on(at(9, 8)) == 0


def test_notices_wait_until_the_clocks_are_caught_up_with_but_not_for_long(
    district: District, clock: Clock, pass_on: Pass
) -> None:
    for _ in range(4):
        district.enter()
    pass_on()
    clock.now = at(9, 8)
    container = district.container
    with container.sessions.begin() as session:
        assert escalation.escalate_due(session, container.pictures, clock.now, most=1) > 0
    assert pass_on() == 0
    assert pass_on(clock.now + timedelta(seconds=29)) == 0
    assert pass_on(clock.now + timedelta(seconds=2)) > 0


def test_a_crash_before_the_commit_leaves_nothing_and_a_repeat_makes_nothing_twice(
    district: District, clock: Clock, pass_on: Pass
) -> None:
    for _ in range(3):
        district.enter()
    escalate(district, clock, at(9, 8))
    container = district.container
    session = container.sessions()
    assert notices.pass_on(session, container.pictures, clock.now, mail=True) > 0
    session.close()
    assert district.query("SELECT id FROM notification WHERE passed_on_at IS NOT NULL OR kind = 'collected'") == []
    assert district.query("SELECT id FROM notice_mail") == []
    assert pass_on(mail=True) > 0
    first = district.query("SELECT count(*) AS n FROM notification")[0]["n"]
    mails = district.query("SELECT count(*) AS n FROM notice_mail")[0]["n"]
    assert pass_on(mail=True) == 0
    assert district.query("SELECT count(*) AS n FROM notification")[0]["n"] == first
    assert district.query("SELECT count(*) AS n FROM notice_mail")[0]["n"] == mails


def test_two_workers_never_split_a_persons_pile(district: District, clock: Clock, pass_on: Pass) -> None:
    for _ in range(3):
        district.enter()
    escalate(district, clock, at(9, 8))
    container = district.container
    with container.sessions() as one, container.sessions() as other:
        taken = notices.pass_on(one, container.pictures, clock.now, mail=False)
        assert taken > 0
        assert notices.pass_on(other, container.pictures, clock.now, mail=False) == 0
        one.rollback()
        assert notices.pass_on(other, container.pictures, clock.now, mail=False) == taken
        other.commit()


def test_the_substitutes_notice_says_whom_it_was_meant_for(district: District, clock: Clock, pass_on: Pass) -> None:
    substitute(district, "ngansach2", "ngansach1", START, START + timedelta(days=30))
    document = assigned(district, deadline="2 working days")
    escalate(district, clock, district.row(document)["due_at"])
    pass_on(district.row(document)["due_at"] + timedelta(days=1))
    told = [r for r in of(district, "ngansach1") if r["kind"] == "deadline_remind"]
    assert told
    assert {r["instead_of"] for r in told} == {district.user_id("ngansach2")}


def test_what_a_person_does_not_want_as_news_counts_as_read_and_is_not_collected(
    district: District, clock: Clock, pass_on: Pass
) -> None:
    chosen(district, "chutich", deadline=Preference(in_app=False, email="off"))
    for _ in range(3):
        district.enter()
    escalate(district, clock, at(8, 3))
    pass_on(at(9, 8), mail=True)
    rows = of(district, "chutich")
    assert [r["kind"] for r in rows] == ["deadline_notify"] * 3
    assert all(r["read_at"] == at(9, 8) and r["mail_id"] is None for r in rows)


def test_who_may_not_see_a_document_any_more_is_not_told_of_it_elsewhere(
    district: District, clock: Clock, pass_on: Pass
) -> None:
    document = assigned(district, {"role": "main", "user": "truongnv"}, secrecy=1)
    with district.container.sessions.begin() as session:
        session.execute(text("UPDATE person SET clearance = 0 WHERE username = 'truongnv'"))
        session.execute(text("UPDATE directory_stamp SET version = version + 1"))
    pass_on(mail=True)
    (row,) = [r for r in of(district, "truongnv") if r["document_id"] == document]
    assert (row["passed_on_at"], row["mail_id"]) == (START, None)


def crowd(district: District, document: UUID, people: int) -> None:
    """So many people who may read the document, each with a mail address and two notices to be published."""
    with district.container.sessions.begin() as session:
        session.execute(text(PEOPLE), {"n": people, "now": START})
        session.execute(
            text("INSERT INTO document_reader SELECT id, :d FROM person WHERE username LIKE 'one-%'"), {"d": document}
        )
        session.execute(text(NOTICES), {"d": document, "now": START})
        session.execute(text("UPDATE directory_stamp SET version = version + 1"))


PEOPLE = """INSERT INTO person (id, username, full_name, email, clearance, active, failed_logins, created_at)
            SELECT gen_random_uuid(), 'one-' || i, 'Người ' || i, 'one' || i || '@binhminh.example', 0, true, 0, :now
            FROM generate_series(1, :n) AS i"""
NOTICES = """INSERT INTO notification (id, user_id, document_id, kind, key, data, urgent, created_at, deliver_at)
             SELECT gen_random_uuid(), p.id, :d, 'urge_reminder', 'k' || i, '{}', false, :now, :now
             FROM person p, generate_series(1, 2) AS i WHERE p.username LIKE 'one-%'"""


def test_a_thousand_people_cost_a_handful_of_statements(district: District, tmp_path: Path) -> None:
    crowd(district, district.enter(), 1000)
    container, trace = district.container, tmp_path / "trace"
    with container.sessions.begin() as session, trace.open("w") as wire:
        driver: Any = session.connection().connection.driver_connection
        driver.pgconn.trace(wire.fileno())
        assert notices.pass_on(session, container.pictures, START, mail=True, most=2000) >= 2000
        driver.pgconn.untrace()
    told = [line.split("\t") for line in trace.read_text().splitlines()]
    round_trips = [line for line in told if {"Sync", "Query"} & set(line)]
    assert 0 < len(round_trips) < 30
    counts = """SELECT (SELECT count(*) FROM notification WHERE kind = 'collected') AS collected,
                       (SELECT count(*) FROM notice_mail) AS mails"""
    assert district.query(counts)[0] == {"collected": 1000, "mails": 1000}


def test_workers_side_by_side_tell_everybody_once(district: District) -> None:
    crowd(district, district.enter(), 300)
    container = district.container

    def work(_: int) -> int:
        passed = 0
        while district.query("SELECT 1 FROM notification WHERE passed_on_at IS NULL LIMIT 1"):
            with container.sessions.begin() as session:
                passed += notices.pass_on(session, container.pictures, START, mail=True, most=20)
        return passed

    with ThreadPoolExecutor(4) as workers:
        assert sum(workers.map(work, range(4))) == 600
    told = """SELECT count(*) AS n, count(DISTINCT user_id) AS people FROM notification WHERE kind = 'collected'"""
    assert district.query(told)[0] == {"n": 300, "people": 300}
    left = (
        "SELECT count(*) AS n FROM notification WHERE passed_on_at IS NULL OR (kind LIKE 'urge%' AND mail_id IS NULL)"
    )
    assert district.query(left)[0]["n"] == 0
    assert district.query("SELECT count(*) AS n FROM notice_mail")[0]["n"] == 300
