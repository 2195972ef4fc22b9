"""The flow that fires what is due."""

import asyncio

import pytest

from docflow.bootstrap import Container
from tests.conftest import Clock, District
from tests.flows.conftest import At
from workflows.escalate import escalate

pytestmark = [
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # Prefect's own clients
]


def run_escalate(container: Container, at_work: At) -> int:
    async def scene() -> int:
        async with at_work(container) as engine:
            return await (escalate(stay=False) if engine.alive else escalate.fn(stay=False))

    return asyncio.run(scene())


def test_what_is_due_fires_once_and_nothing_before(
    with_prefect: Container, district: District, clock: Clock, at_work: At
) -> None:
    document = district.enter("vanthu1", urgency="urgent")
    assert run_escalate(with_prefect, at_work) == 0
    clock.pass_time(days=7)
    fired = run_escalate(with_prefect, at_work)
    rows = district.query("SELECT action FROM escalation WHERE document_id = :d", d=document)
    assert fired == len(rows) > 0
    assert "mark_overdue" in {row["action"] for row in rows}
    assert run_escalate(with_prefect, at_work) == 0
