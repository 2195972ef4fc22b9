"""What is to be locked in the object store, is, and is seen to be; against the real store."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from docflow.adapters.object_lock import WITHOUT
from docflow.bootstrap import Container
from docflow.domain.commands import Dispatch
from docflow.domain.errors import DocflowError, NotFound, Unavailable, Unsupported
from docflow.services import retention, sweep
from docflow.services.backoff import MOST_ATTEMPTS
from docflow.services.issuing import issue
from docflow.services.ports import LockState, ObjectStore
from tests.conftest import Clock, District
from tests.flows.conftest import head_of
from tests.moves import PDF, act, drive, outgoing

UNTIL = datetime(2099, 3, 2, 2, 0, 0, 123456, tzinfo=UTC)


def kept(district: District, data: bytes, until: datetime = UNTIL, *, hold: bool = False) -> str:
    """A stored file whose retention a move has written."""
    document = district.enter("vanthu1", pdf=data)
    (file,) = district.query("SELECT sha256 FROM document_file WHERE document_id = :d", d=document)
    with district.container.sessions.begin() as session:
        session.execute(
            text(
                "INSERT INTO retention (sha256, document_id, state, wanted_until, wanted_hold, held, attempts, "
                "next_attempt_at, last_error) VALUES (:s, :d, 'queued', :u, :h, false, 0, :now, '')"
            ),
            {"s": file["sha256"], "d": document, "u": until, "h": hold, "now": district.container.clock()},
        )
    return str(file["sha256"])


def row(district: District, sha256: str) -> Any:
    (found,) = district.query("SELECT * FROM retention WHERE sha256 = :s", s=sha256)
    return found


def do_round(container: Container, store: ObjectStore | None = None, worker: str = "one") -> int:
    """What the flow does in one turn."""
    with container.sessions.begin() as session:
        claimed = retention.claim(session, worker, container.clock())
    for due in claimed:
        done = retention.keep(store or container.store, due, container.clock())
        with container.sessions.begin() as session:
            retention.record(session, done, worker, container.clock())
    return len(claimed)


@dataclass
class Store:
    """A store that has troubles of its own, at the port."""

    trouble: DocflowError | None = None
    can: bool = True
    forgets: bool = False
    state: LockState = field(default_factory=lambda: LockState(None, False))

    def locks(self) -> bool:
        return self.can

    def lock(self, sha256: str, until: datetime) -> None:
        if self.trouble is not None:
            raise self.trouble
        if not self.forgets:
            self.state = LockState(until, self.state.held)

    def hold(self, sha256: str, on: bool) -> None:
        if not self.forgets:
            self.state = LockState(self.state.until, on)

    def lock_state(self, sha256: str) -> LockState:
        return self.state

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"retention does not need '{name}'")


def test_a_due_file_is_locked_and_seen_to_be(district: District) -> None:
    container = district.container
    sha256 = kept(district, b"%PDF-1.4 locked")
    assert do_round(container) == 1
    found = row(district, sha256)
    assert (found["state"], found["held"], found["claimed_by"], found["last_error"]) == ("locked", False, None, "")
    assert found["locked_until"] == UNTIL.replace(microsecond=0)
    assert container.store.lock_state(sha256).until == UNTIL.replace(microsecond=0)
    assert do_round(container) == 0, "what is done is not done again"


def test_what_was_dispatched_is_locked_for_the_years_of_its_type(district: District, clock: Clock) -> None:
    document = outgoing(district, pdf=PDF + b"%dispatched")
    act(district, document, "ngansach2", "submit")
    act(district, document, head_of(district, document), "approve")
    act(district, document, "vanthu1", "approve")
    act(district, document, "chutich", "sign")
    act(district, document, "vanthu1", "register")
    with district.container.sessions.begin() as session:
        session.execute(text("UPDATE document SET signed_file_id = NULL WHERE id = :d"), {"d": document})
    with district.container.sessions.begin() as session:
        issue(session, district.container.pictures, document, Dispatch(), district.asked("vanthu1"))
    (found,) = district.query("SELECT * FROM retention WHERE document_id = :d", d=document)
    assert found["wanted_until"] == clock.now.replace(year=clock.now.year + 10)
    do_round(district.container)
    assert district.container.store.lock_state(found["sha256"]).until == found["wanted_until"]
    assert drive(district, document) == "dispatch"


def test_a_legal_hold_is_put_and_lifted_in_the_store(district: District) -> None:
    container = district.container
    sha256 = kept(district, b"%PDF-1.4 held", container.clock(), hold=True)
    do_round(container)
    assert container.store.lock_state(sha256) == LockState(None, held=True)
    assert row(district, sha256)["held"] is True
    with container.sessions.begin() as session:
        session.execute(text("UPDATE retention SET wanted_hold = false, state = 'queued'"))
    do_round(container)
    assert container.store.lock_state(sha256) == LockState(None, held=False)
    assert (row(district, sha256)["state"], row(district, sha256)["held"]) == ("locked", False)


def test_more_that_is_wanted_while_a_file_is_being_locked_is_done_next(district: District) -> None:
    container, later = district.container, UNTIL + timedelta(days=366)
    sha256 = kept(district, b"%PDF-1.4 longer")
    with container.sessions.begin() as session:
        (due,) = retention.claim(session, "one", container.clock())
    done = retention.keep(container.store, due, container.clock())
    with container.sessions.begin() as session:
        session.execute(text("UPDATE retention SET wanted_until = :u, state = 'queued'"), {"u": later})
    with container.sessions.begin() as session:
        assert retention.record(session, done, "one", container.clock()) == "queued"
    assert do_round(container) == 1
    assert container.store.lock_state(sha256).until == later.replace(microsecond=0)
    assert row(district, sha256)["state"] == "locked"


def test_two_workers_claim_each_file_once_and_a_lost_claim_records_nothing(district: District, clock: Clock) -> None:
    container = district.container
    sha256 = kept(district, b"%PDF-1.4 two workers")
    with container.sessions.begin() as one, container.sessions.begin() as two:
        (due,) = retention.claim(one, "one", clock())
        assert retention.claim(two, "two", clock()) == []
    clock.pass_time(minutes=6)
    assert do_round(container, worker="two") == 1, "a killed worker's claim comes back by itself"
    lost = retention.Kept(due, problem=Unavailable("away"))
    with container.sessions.begin() as session:
        assert retention.record(session, lost, "one", clock()) is None
    assert row(district, sha256)["state"] == "locked"


@pytest.mark.parametrize("attempt", [1, MOST_ATTEMPTS - 1, MOST_ATTEMPTS])
def test_a_store_that_is_away_is_asked_again_later_and_then_daily(
    district: District, clock: Clock, attempt: int
) -> None:
    sha256 = kept(district, b"%PDF-1.4 away")
    with district.container.sessions.begin() as session:
        session.execute(text("UPDATE retention SET attempts = :n"), {"n": attempt - 1})
    do_round(district.container, Store(Unavailable("The object store does not answer.")))
    found = row(district, sha256)
    wanted = {1: ("queued", timedelta(seconds=15)), MOST_ATTEMPTS - 1: ("queued", timedelta(hours=4))}
    state, wait = wanted.get(attempt, ("failed", timedelta(days=1)))
    assert (found["state"], found["next_attempt_at"] - clock.now) == (state, wait)
    assert found["last_error"] == "The object store does not answer."
    clock.now += wait
    assert do_round(district.container) == 1
    assert row(district, sha256)["state"] == "locked"


def test_a_lock_that_the_store_does_not_show_counts_for_nothing(district: District) -> None:
    sha256 = kept(district, b"%PDF-1.4 forgotten")
    do_round(district.container, Store(forgets=True))
    found = row(district, sha256)
    assert (found["state"], found["locked_until"]) == ("queued", None)
    assert "does not show it" in found["last_error"]


def test_bytes_that_are_gone_are_told(district: District) -> None:
    sha256 = kept(district, b"%PDF-1.4 gone")
    do_round(district.container, Store(NotFound("There is no such file in the object store.")))
    assert row(district, sha256)["last_error"] == "There is no such file in the object store."


@pytest.mark.parametrize(
    "store", [Store(can=False), Store(Unsupported(WITHOUT.format("docflow")))], ids=["at once", "when it is tried"]
)
def test_a_store_without_locks_is_remembered_and_a_better_one_catches_up(district: District, store: Store) -> None:
    container = district.container
    sha256 = kept(district, b"%PDF-1.4 unsupported")
    do_round(container, store)
    assert row(district, sha256)["state"] == "unsupported"
    assert do_round(container) == 0
    with container.sessions.begin() as session:
        assert retention.try_unsupported(session, container.clock()) == 1
    do_round(container)
    assert row(district, sha256)["state"] == "locked"


def test_a_time_that_is_over_locks_nothing(district: District, clock: Clock) -> None:
    sha256 = kept(district, b"%PDF-1.4 no years", clock.now)
    do_round(district.container)
    assert (row(district, sha256)["state"], row(district, sha256)["locked_until"]) == ("locked", None)


def test_the_sweep_frees_what_a_worker_that_is_gone_had_claimed(district: District) -> None:
    container = district.container
    kept(district, b"%PDF-1.4 swept")
    with container.sessions.begin() as session:
        retention.claim(session, "nobody:1:2", container.clock())
    assert do_round(container) == 0
    with container.sessions.begin() as session:
        assert sweep.free_claims(session, container.clock()) == 1
    assert do_round(container) == 1


def test_a_lock_left_by_a_clock_that_was_ahead_does_not_wait_for_it(district: District, clock: Clock) -> None:
    clock.pass_time(days=30)
    kept(district, b"%PDF-1.4 ahead")
    clock.pass_time(days=-30)
    with district.container.sessions.begin() as session:
        assert sweep.hasten(session, clock()) >= 1
    assert do_round(district.container) == 1
