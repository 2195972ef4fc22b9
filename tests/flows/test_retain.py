"""The flow that locks: what one file meets is no other's trouble, and a kill loses nothing."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from docflow.bootstrap import Container
from docflow.services import retention
from tests.conftest import Clock, District
from tests.flows.conftest import At, Board
from tests.services.test_retention import UNTIL, kept, row
from workflows.retain import retain

pytestmark = [
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # Prefect's own clients
]


def run(container: Container, at_work: At) -> int:
    async def scene() -> int:
        async with at_work(container) as engine:
            return await (retain(stay=False) if engine.alive else retain.fn(stay=False))

    return asyncio.run(scene())


def test_everything_due_is_locked_under_prefect(
    with_prefect: Container, district: District, at_work: At, board: Board
) -> None:
    hashes = [kept(district, b"%%PDF-1.4 flow %d" % number) for number in range(6)]
    assert run(with_prefect, at_work) == 6
    assert [row(district, sha256)["state"] for sha256 in hashes] == ["locked"] * 6
    assert all(with_prefect.store.lock_state(s).until == UNTIL.replace(microsecond=0) for s in hashes)
    assert board.runs("retain")[0]["state"]["type"] == "COMPLETED"


def test_a_file_that_is_gone_keeps_no_other_from_its_lock(
    container: Container, district: District, at_work: At
) -> None:
    gone = "0" * 64
    good = kept(district, b"%PDF-1.4 beside a missing one")
    with container.sessions.begin() as session:
        session.execute(text("INSERT INTO blob (sha256, size, stored_at) VALUES (:s, 1, now())"), {"s": gone})
        session.execute(text("UPDATE retention SET next_attempt_at = next_attempt_at + interval '1 s'"))
        session.execute(
            text(
                "INSERT INTO retention (sha256, document_id, state, wanted_until, wanted_hold, held, attempts, "
                "next_attempt_at, last_error) SELECT :s, document_id, state, wanted_until, wanted_hold, held, "
                "attempts, next_attempt_at - interval '2 s', '' FROM retention"
            ),
            {"s": gone},
        )
        session.execute(text("UPDATE retention SET next_attempt_at = next_attempt_at - interval '1 s'"))
    assert run(container, at_work) == 2
    assert row(district, good)["state"] == "locked"
    assert (row(district, gone)["state"], row(district, gone)["attempts"]) == ("queued", 1)
    assert "no such file" in row(district, gone)["last_error"]


def test_what_a_killed_worker_had_claimed_is_locked_when_its_lease_is_over(
    container: Container, district: District, clock: Clock, at_work: At
) -> None:
    sha256 = kept(district, b"%PDF-1.4 killed")
    with container.sessions.begin() as session:
        (due,) = retention.claim(session, "killed", clock())
    retention.keep(container.store, due, clock())  # killed between the lock and its record
    assert run(container, at_work) == 0
    clock.now += timedelta(minutes=6)
    assert run(container, at_work) == 1
    assert row(district, sha256)["state"] == "locked"


def test_what_an_earlier_store_could_not_lock_is_tried_by_this_one(
    container: Container, district: District, at_work: At
) -> None:
    sha256 = kept(district, b"%PDF-1.4 earlier store")
    with container.sessions.begin() as session:
        session.execute(text("UPDATE retention SET state = 'unsupported', last_error = 'no locks'"))
    assert run(container, at_work) == 1
    assert (row(district, sha256)["state"], row(district, sha256)["last_error"]) == ("locked", "")
