"""The sweep repairs what a crash or an absent Prefect left, and touches nothing that is on its way."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from docflow.adapters.prefect import PrefectApi
from docflow.bootstrap import Container
from docflow.services import outbox, sweep
from tests.conftest import Clock, District
from tests.flows.conftest import At, Board
from workflows.engine import Engine
from workflows.mirror import mirror_turn
from workflows.router import router
from workflows.sweep import OWN_FLOWS, close_stranded_runs, sweep_once

pytestmark = [
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # Prefect's own clients
]


def run_sweep(container: Container, at_work: At) -> int:
    async def scene() -> int:
        async with at_work(container):
            return await sweep_once.fn()

    return asyncio.run(scene())


def lose(container: Container, statement: str) -> None:
    with container.sessions.begin() as session:
        session.execute(text(statement))


def queued(district: District, topic: str) -> list[UUID]:
    return [r["document_id"] for r in district.query("SELECT document_id FROM outbox WHERE topic = :t", t=topic)]


def test_a_document_that_could_go_on_but_has_no_event_gets_one(
    container: Container, district: District, clock: Clock, at_work: At
) -> None:
    draft = district.enter("tonghop1", direction="outgoing", pdf=b"%PDF-1.4 x")
    waits_for_a_clerk = district.enter("vanthu1")
    lose(container, "DELETE FROM outbox WHERE topic = 'advance'")
    assert run_sweep(container, at_work) == 0, "too young to count as stranded"
    clock.pass_time(minutes=2)
    assert run_sweep(container, at_work) == 1
    assert queued(district, "advance") == [draft]
    assert district.row(waits_for_a_clerk)["state"] == "register"
    assert run_sweep(container, at_work) == 0


def test_the_search_for_stranded_documents_goes_on_where_it_stopped(
    container: Container, district: District, clock: Clock
) -> None:
    drafts = [district.enter("tonghop1", direction="outgoing", pdf=b"%PDF-1.4 x") for _ in range(3)]
    lose(container, "DELETE FROM outbox WHERE topic = 'advance'")
    clock.pass_time(minutes=2)
    after, found = sweep.START, 0
    for _ in range(2):
        with container.sessions.begin() as session:
            stranded = sweep.drive_stranded(session, container.pictures, clock(), after, most=2)
        after, found = stranded.after, found + stranded.driven
    assert found == 3
    assert after == sweep.START
    assert sorted(queued(district, "advance")) == sorted(drafts)


def test_a_dispatched_document_whose_deliveries_have_settled_is_closed(
    container: Container, district: District, dispatched: Callable[..., UUID], at_work: At
) -> None:
    document = dispatched("a@tinh.example")
    assert run_sweep(container, at_work) == 0
    lose(container, "UPDATE delivery SET state = 'sent'")
    assert run_sweep(container, at_work) == 1
    assert district.row(document)["state"] == "closed"


def test_what_prefect_was_never_told_is_queued_again(
    with_prefect: Container, district: District, clock: Clock, at_work: At
) -> None:
    document = district.enter("vanthu1")
    lose(with_prefect, "DELETE FROM outbox WHERE topic = 'mirror'")
    clock.pass_time(minutes=2)
    assert run_sweep(with_prefect, at_work) == 1
    assert queued(district, "mirror") == [document]

    async def tell() -> None:
        async with at_work(with_prefect) as engine:
            await mirror_turn(engine)

    asyncio.run(tell())
    clock.pass_time(minutes=2)
    assert run_sweep(with_prefect, at_work) == 0


def test_a_mirror_event_that_was_given_up_is_taken_up_again(
    with_prefect: Container, district: District, at_work: At
) -> None:
    district.enter("vanthu1")
    lose(with_prefect, "UPDATE outbox SET dead_at = now(), attempts = 12 WHERE topic = 'mirror'")
    run_sweep(with_prefect, at_work)
    assert [r["dead_at"] for r in district.query("SELECT dead_at FROM outbox WHERE topic = 'mirror'")] == [None]


def unfinished_router(engine: Engine, name: str) -> UUID:
    """What a killed worker leaves: a run of the router that stays RUNNING."""
    api = engine.prefect
    assert isinstance(api, PrefectApi)
    flow = api._ask("POST", "/flows/", {"name": "router"})["id"]
    state = {"type": "RUNNING", "name": "Running"}
    return UUID(api._ask("POST", "/flow_runs/", {"flow_id": flow, "name": name, "state": state})["id"])


def test_runs_of_a_killed_worker_are_closed_and_those_of_the_living_are_not(
    with_prefect: Container, at_work: At, board: Board
) -> None:
    async def scene() -> tuple[UUID, UUID, UUID, int]:
        async with at_work(with_prefect) as dead:
            left = await asyncio.to_thread(unfinished_router, dead, f"on {dead.name}")
        async with at_work(with_prefect) as other, at_work(with_prefect) as engine:
            await other.bell.listening()
            living = await asyncio.to_thread(unfinished_router, other, f"on {other.name}")
            own = await asyncio.to_thread(unfinished_router, engine, f"on {engine.name}")
            closed = await asyncio.to_thread(close_stranded_runs, engine, timedelta(seconds=-60))
            return left, living, own, closed

    left, living, own, closed = asyncio.run(scene())
    assert closed == 2
    assert board.run_state(left) == ("CRASHED", "Crashed")
    assert board.run_state(own)[0] == "CRASHED", "a run that this worker is no longer in"
    assert board.run_state(living)[0] == "RUNNING"


def test_a_run_in_its_first_minute_is_left_alone(with_prefect: Container, at_work: At, board: Board) -> None:
    async def scene() -> UUID:
        async with at_work(with_prefect) as engine:
            run = await asyncio.to_thread(unfinished_router, engine, "on nobody:1:2")
            await asyncio.to_thread(close_stranded_runs, engine)
            return run

    assert board.run_state(asyncio.run(scene()))[0] == "RUNNING"


def test_the_router_that_serves_now_survives_its_own_sweep(with_prefect: Container, at_work: At, board: Board) -> None:
    async def scene() -> UUID:
        async with at_work(with_prefect) as engine:
            serving = asyncio.create_task(engine.keep(router, stay=True))
            async with asyncio.timeout(30):
                while "router" not in engine.runs:
                    await asyncio.sleep(0.02)
            run = UUID(engine.runs["router"])
            await asyncio.to_thread(close_stranded_runs, engine, timedelta(seconds=-60))
            assert board.run_state(run)[0] == "RUNNING"
            engine.stop()
            await serving
            return run

    assert board.run_state(asyncio.run(scene())) == ("COMPLETED", "Completed")


def test_the_documents_own_runs_are_not_swept() -> None:
    assert "document" not in OWN_FLOWS


def test_what_a_worker_that_is_gone_had_in_hand_is_free_at_once(
    container: Container, district: District, at_work: At
) -> None:
    draft = district.enter("tonghop1", direction="outgoing", pdf=b"%PDF-1.4 x")

    async def scene() -> tuple[int, int]:
        async with at_work(container) as alive:
            with container.sessions.begin() as session:
                (event,) = outbox.claim(session, "advance", alive.name, container.clock())
            beside_the_living = await sweep_once.fn()
            with container.sessions.begin() as session:
                session.execute(text("UPDATE outbox SET claimed_by = 'gone:1' WHERE id = :id"), {"id": event.id})
            return beside_the_living, await sweep_once.fn()

    assert asyncio.run(scene()) == (0, 1)
    with container.sessions.begin() as session:
        (event,) = outbox.claim(session, "advance", "another", container.clock())
    assert event.document_id == draft


@pytest.mark.parametrize("table", sweep.QUEUES)
def test_every_queue_is_asked_for_the_claims_of_workers_that_are_gone(container: Container, table: str) -> None:
    """The statement fits each table's columns."""
    with container.sessions() as session:
        assert sweep._free(session, table, ["gone:1"], container.clock()) == 0


def test_work_that_a_clock_left_which_was_ahead_does_not_wait_for_that_time(
    container: Container, district: District, clock: Clock, at_work: At
) -> None:
    clock.pass_time(hours=2)
    draft = district.enter("tonghop1", direction="outgoing", pdf=b"%PDF-1.4 x")
    clock.pass_time(hours=-2)
    with container.sessions.begin() as session:
        assert outbox.claim(session, "advance", "w", container.clock()) == []
    assert run_sweep(container, at_work) >= 1
    with container.sessions.begin() as session:
        (event,) = outbox.claim(session, "advance", "w", container.clock())
    assert event.document_id == draft


def test_a_notification_that_waits_for_working_hours_goes_on_waiting(
    container: Container, district: District, clock: Clock
) -> None:
    """Only what was to be told at once, by a clock that was ahead, is told at once now."""
    insert = """INSERT INTO notification (id, user_id, kind, key, data, urgent, created_at, deliver_at)
                VALUES (gen_random_uuid(), :user, 'task_main', :key, '{}', false, :created, :deliver)"""
    now = container.clock()
    ahead, morning = now + timedelta(hours=2), now + timedelta(hours=20)
    with container.sessions.begin() as session:
        user = district.user_id("vanthu1")
        for key, created, deliver in (("at once", ahead, ahead), ("tomorrow", ahead, morning), ("waits", now, morning)):
            values = {"user": user, "key": key, "created": created, "deliver": deliver}
            session.execute(text(insert), values)
        assert sweep.hasten(session, now) == 1
    rows = district.query("SELECT key, deliver_at FROM notification")
    assert {r["key"]: r["deliver_at"] for r in rows} == {"at once": now, "tomorrow": morning, "waits": morning}
