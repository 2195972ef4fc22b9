"""A calendar is applied while people and the clock go on: each deadline moves once, and none is left behind."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from docflow.services import escalation
from tests.concurrency.test_many_at_once import at_once, container
from tests.conftest import START, Clock, District
from tests.moves import act, history, whole
from tests.services.test_recalculation import TUESDAY, apply, at, due, finish, step, versions

__all__ = ["container"]
DOCUMENTS = 40


def everything(district: District) -> Callable[[], None]:
    def work() -> None:
        while step(district, most=6):
            pass

    return work


def busy(district: District, documents: list[UUID]) -> Callable[[], None]:
    """Holds that end at once give nothing back; comments change no deadline."""

    def work() -> None:
        for document in documents:
            act(district, document, "vanthu1", "hold", reason="Chờ bản gốc")
            act(district, document, "vanthu1", "resume")
            act(district, document, "vanthu2", "comment", text="Đã xem")

    return work


def escalating(district: District, now: datetime) -> Callable[[], None]:
    def work() -> None:
        for _ in range(10):
            with district.container.sessions.begin() as session:
                escalation.escalate_due(session, district.container.pictures, now, most=7)

    return work


def test_two_who_move_deadlines_while_people_work_move_each_once(district: District) -> None:
    documents = [district.enter() for _ in range(DOCUMENTS)]
    version = apply(district, TUESDAY)
    found = at_once(
        everything(district),
        everything(district),
        busy(district, documents),
        busy(district, list(reversed(documents))),
    )
    refused = [f for f in found if isinstance(f, Exception)]
    assert all("hold" in str(f) for f in refused), refused
    finish(district)
    assert versions(district) == {version}
    for document in documents:
        assert due(district, document, "register_incoming") == at(4, 17)
        assert [h["action"] for h in history(district, document)].count("recalculate") == 1
    (row,) = district.query("SELECT documents, clocks, finished_at FROM recalculation")
    assert (row["documents"], row["clocks"], row["finished_at"]) == (DOCUMENTS, 2 * DOCUMENTS, START)
    whole(district)


def test_nothing_fires_by_a_calendar_that_was_replaced(district: District, clock: Clock) -> None:
    """By the old calendar all are late on Tuesday evening; Tuesday is a day off now."""
    documents = [district.enter() for _ in range(DOCUMENTS)]
    apply(district, TUESDAY)
    clock.now = at(3, 18)
    at_once(everything(district), escalating(district, clock.now), escalating(district, clock.now))
    finish(district)
    assert district.query("SELECT * FROM escalation WHERE action = 'mark_overdue'") == []
    assert all(due(district, document, "register_incoming") == at(4, 17) for document in documents)
    clock.now = at(4, 17)
    escalating(district, clock.now)()
    late = district.query("SELECT DISTINCT document_id FROM escalation WHERE action = 'mark_overdue'")
    assert len(late) == DOCUMENTS
    twice = district.query("SELECT clock_id FROM escalation GROUP BY clock_id, step, turn HAVING count(*) > 1")
    assert twice == []
    whole(district)
