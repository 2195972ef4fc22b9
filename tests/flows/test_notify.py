"""The flows that tell people."""

import asyncio
from typing import Any

import pytest

from docflow.bootstrap import Container
from tests.conftest import Clock, District
from tests.flows.conftest import At
from tests.moves import assigned
from workflows.escalate import escalate
from workflows.notify import notify

pytestmark = [
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # Prefect's own clients
]


def run(container: Container, at_work: At, *flows: Any) -> list[int]:
    async def scene() -> list[int]:
        async with at_work(container) as engine:
            return [await (flow(stay=False) if engine.alive else flow.fn(stay=False)) for flow in flows]

    return asyncio.run(scene())


def test_what_fired_is_told_once(with_prefect: Container, district: District, clock: Clock, at_work: At) -> None:
    assigned(district, deadline="2 working days")
    clock.pass_time(days=4, hours=1)
    fired, told = run(with_prefect, at_work, escalate, notify)
    assert fired > 0
    assert told >= fired
    assert district.query("SELECT 1 FROM notification WHERE published_at IS NULL OR passed_on_at IS NULL") == []
    assert run(with_prefect, at_work, notify) == [0]
