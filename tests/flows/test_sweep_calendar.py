"""The sweep finishes what an interrupted calendar left behind."""

import asyncio

import pytest

from docflow.bootstrap import Container
from tests.conftest import District
from tests.flows.conftest import At
from tests.moves import history, whole
from tests.services.test_recalculation import TUESDAY, apply, step
from workflows.sweep import sweep_once

pytestmark = [
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # Prefect's own clients
]


def test_deadlines_that_a_killed_process_left_behind_are_moved_by_the_sweep(
    container: Container, district: District, at_work: At
) -> None:
    documents = [district.enter() for _ in range(4)]
    version = apply(district, TUESDAY)
    assert step(district, most=2)

    async def sweep() -> int:
        async with at_work(container):
            return await sweep_once.fn()

    assert asyncio.run(sweep()) == 1
    assert [[h["action"] for h in history(district, d)].count("recalculate") for d in documents] == [1, 1, 1, 1]
    (row,) = district.query("SELECT * FROM recalculation")
    assert (row["calendar_version"], row["documents"], row["clocks"]) == (version, 4, 8)
    assert row["finished_at"] is not None
    assert asyncio.run(sweep()) == 0
    whole(district)
