"""The router drives documents through what needs nobody, with Prefect, without it, and while it goes away."""

import asyncio
from uuid import UUID

import pytest

from docflow.adapters.prefect import PrefectApi
from docflow.bootstrap import Container
from docflow.db.base import new_id
from docflow.domain.errors import Unavailable
from docflow.local.prefect import LocalPrefect
from docflow.services import outbox
from docflow.services.asked import Asked
from docflow.services.documents import NewDocument, create
from tests.conftest import Clock, District
from tests.flows.conftest import At, Board
from workflows import stages
from workflows.engine import Failed
from workflows.mirror import mirror_turn, rebuild_mirror
from workflows.router import advance, router

pytestmark = [
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # Prefect's own clients
]


def draft(district: District) -> UUID:
    """An outgoing draft: the engine assigns it to who drafted it."""
    return district.enter("tonghop1", direction="outgoing", pdf=b"%PDF-1.4 a draft")


def trusted(container: Container) -> UUID:
    """From a trusted sender, with handlers named by a rule: the engine registers and assigns it."""
    rule = {"name": "thử", "handlers": [{"role": "main", "unit": "VP"}]}
    new = NewDocument(direction="incoming", subject="Đề nghị báo cáo")
    with container.sessions.begin() as session:
        asked = Asked(container.clock(), "mail")
        moved = create(session, container.pictures, new, (), asked, trusted=True, rule=rule)
    return UUID(moved.answer["id"])


def waiting(district: District, topic: str = "advance") -> list[str]:
    return [r["state"] for r in district.query("SELECT state FROM outbox WHERE topic = :t ORDER BY id", t=topic)]


def actions(district: District, document: UUID) -> list[str]:
    rows = district.query("SELECT action FROM history WHERE document_id = :d ORDER BY seq", d=document)
    return [row["action"] for row in rows]


async def run_router(container: Container, at_work: At) -> int:
    async with at_work(container):
        return await router(stay=False)


async def run_router_alone(container: Container, at_work: At) -> int:
    async with at_work(container):
        return await router.fn(stay=False)


def test_an_event_leads_to_the_next_stage_through_prefect(
    with_prefect: Container, district: District, at_work: At
) -> None:
    document = draft(district)
    assert asyncio.run(run_router(with_prefect, at_work)) == 1
    assert district.row(document)["state"] == "review"
    assert waiting(district) == []


def test_the_router_works_without_any_prefect(container: Container, district: District, at_work: At) -> None:
    document = draft(district)
    assert asyncio.run(run_router_alone(container, at_work)) == 1
    assert district.row(document)["state"] == "review"


def test_stages_that_follow_by_themselves_are_one_event(container: Container, district: District, at_work: At) -> None:
    document = trusted(container)
    assert asyncio.run(run_router_alone(container, at_work)) == 1
    assert actions(district, document) == ["create", "register", "assign"]
    assert district.row(document)["state"] == "review"
    assert waiting(district) == []


def test_a_stage_that_waits_for_a_person_is_left_alone(container: Container, district: District, at_work: At) -> None:
    document = district.enter("vanthu1")
    asyncio.run(run_router_alone(container, at_work))
    assert district.row(document)["state"] == "register"
    assert waiting(district) == []


def test_a_killed_workers_event_comes_back_after_its_lease(
    container: Container, district: District, clock: Clock, at_work: At
) -> None:
    document = draft(district)
    with container.sessions.begin() as session:
        assert len(outbox.claim(session, "advance", "killed", clock())) == 1
    assert asyncio.run(run_router_alone(container, at_work)) == 0
    clock.pass_time(seconds=outbox.LEASE.total_seconds() + 1)
    assert asyncio.run(run_router_alone(container, at_work)) == 1
    assert actions(district, document) == ["create", "assign"]


def test_a_worker_killed_between_two_stages_leaves_an_event_that_goes_on_where_it_stopped(
    container: Container, district: District, clock: Clock, at_work: At
) -> None:
    document = trusted(container)
    with container.sessions.begin() as session:
        (event,) = outbox.claim(session, "advance", "killed", clock())
    killed = stages.Work(container, document, event.id, "killed", Asked(clock(), "flow"))
    stages.register_stage(killed)
    clock.pass_time(seconds=outbox.LEASE.total_seconds() + 1)
    asyncio.run(run_router_alone(container, at_work))
    assert actions(district, document) == ["create", "register", "assign"]
    assert waiting(district) == []


def test_two_workers_with_the_same_event_move_once(container: Container, district: District, clock: Clock) -> None:
    document = draft(district)
    with container.sessions.begin() as session:
        (event,) = outbox.claim(session, "advance", "first", clock())
    for worker in ("first", "second", "first"):
        stages.assign_stage(stages.Work(container, document, event.id, worker, Asked(clock(), "flow")))
    assert actions(district, document) == ["create", "assign"]
    assert waiting(district) == []


def test_a_failure_is_written_down_and_tried_again_later_while_others_go_on(
    container: Container, district: District, clock: Clock, at_work: At
) -> None:
    broken, whole = draft(district), draft(district)
    with container.sessions.begin() as session:
        session.connection().exec_driver_sql("SET ROLE NONE")
        session.connection().exec_driver_sql("UPDATE document SET route = 'gone' WHERE id = %s", (broken,))
    asyncio.run(run_router_alone(container, at_work))
    assert district.row(whole)["state"] == "review"
    (row,) = district.query("SELECT * FROM outbox WHERE topic = 'advance'")
    assert row["document_id"] == broken
    assert "gone" in row["last_error"]
    assert row["available_at"] > clock()
    assert row["claimed_by"] is None


def test_prefect_is_told_the_kind_of_a_failure_only(container: Container, at_work: At) -> None:
    async def scene() -> None:
        async with at_work(container):
            await advance.fn(str(new_id()), "assign", 1)

    with pytest.raises(Failed, match=r"^NotFound$"):
        asyncio.run(scene())


def test_prefect_goes_down_and_comes_back_in_the_middle(
    with_prefect: Container, district: District, at_work: At, prefect_server: LocalPrefect, board: Board
) -> None:
    async def scene() -> UUID:
        async with at_work(with_prefect) as engine:
            assert engine.alive
            serving = asyncio.create_task(engine.keep(router, stay=True))
            first = draft(district)
            await settled(district, first)
            await mirror_turn(engine)
            await asyncio.to_thread(prefect_server.stop)
            second = draft(district)
            engine.bell.ring()
            await settled(district, second)
            await mirror_turn(engine)
            await asyncio.to_thread(prefect_server.start)
            third = draft(district)
            engine.bell.ring()
            await settled(district, third)
            engine.container.clock.pass_time(minutes=5)  # type: ignore[attr-defined] # the tests' own clock
            await mirror_turn(engine)
            engine.stop()
            await serving
            return second

    second = asyncio.run(scene())
    assert waiting(district) == []
    assert waiting(district, "mirror") == []
    (run,) = district.query("SELECT run_id FROM flow_run WHERE document_id = :d", d=second)
    assert board.run_state(run["run_id"]) == ("RUNNING", "Assigned")


async def settled(district: District, document: UUID) -> None:
    async with asyncio.timeout(30):
        while (await asyncio.to_thread(district.row, document))["state"] == "assign":
            await asyncio.sleep(0.02)


def test_a_documents_run_shows_its_way_and_carries_no_subject(
    with_prefect: Container, district: District, at_work: At, board: Board
) -> None:
    document = trusted(with_prefect)
    asyncio.run(run_router_alone(with_prefect, at_work))

    async def tell() -> int:
        async with at_work(with_prefect) as engine:
            return await mirror_turn(engine)

    assert asyncio.run(tell()) == 3
    (told,) = district.query("SELECT * FROM flow_run WHERE document_id = :d", d=document)
    run = board.run(told["run_id"])
    assert run["name"] == f"DEN-2026-{district.row(document)['number']}"
    assert run["tags"] == [f"document:{document}"]
    assert run["parameters"]["document_id"] == str(document)
    assert "báo cáo" not in str(run)
    assert board.run_states(told["run_id"]) == ["Pending", "Received", "Registered", "Assigned"]
    assert told["mirrored_seq"] == 3


def test_a_recalled_document_ends_its_run_as_cancelled(
    with_prefect: Container, district: District, at_work: At, board: Board
) -> None:
    document = draft(district)
    district.act(document, "tonghop1", "recall", reason="nhầm")

    async def tell() -> None:
        async with at_work(with_prefect) as engine:
            await mirror_turn(engine)

    asyncio.run(tell())
    (told,) = district.query("SELECT run_id FROM flow_run WHERE document_id = :d", d=document)
    assert board.run_state(told["run_id"]) == ("CANCELLED", "Recalled")


def test_a_run_that_prefect_lost_is_made_anew_by_the_rebuilding(
    with_prefect: Container, district: District, at_work: At, board: Board
) -> None:
    document = draft(district)

    async def tell() -> None:
        async with at_work(with_prefect) as engine:
            await mirror_turn(engine)

    asyncio.run(tell())
    (before,) = district.query("SELECT run_id FROM flow_run WHERE document_id = :d", d=document)
    board.delete(before["run_id"])
    assert rebuild_mirror(with_prefect) == 1
    asyncio.run(tell())
    (after,) = district.query("SELECT run_id FROM flow_run WHERE document_id = :d", d=document)
    assert after["run_id"] != before["run_id"]
    assert board.run_state(after["run_id"]) == ("RUNNING", "Received")


def test_without_prefect_the_mirrors_rows_are_shed(container: Container, district: District, at_work: At) -> None:
    draft(district)

    async def tell() -> None:
        async with at_work(container) as engine:
            await mirror_turn(engine)

    asyncio.run(tell())
    assert waiting(district, "mirror") == []


def test_an_unreachable_prefect_is_said_plainly() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        PrefectApi("http://127.0.0.1:9/api", "http://127.0.0.1:8000").begin(new_id(), "x")
