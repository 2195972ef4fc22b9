"""The exchange with partners as a flow that Prefect shows."""

import asyncio

import pytest

from docflow.bootstrap import Container
from tests.agencies import configure, dispatched, hand_in, partner, written
from tests.conftest import District
from tests.flows.conftest import At, Board
from tests.listener import listening
from workflows.exchange import exchange_with_partners

pytestmark = [
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # Prefect's own clients
]


def test_prefect_sees_that_partners_were_told_and_nothing_of_what(
    with_prefect: Container, district: District, at_work: At, board: Board
) -> None:
    with listening() as server:
        configure(district, [partner("tinh", "H99", server.url, edxml={"secret": None, "sign_as": None})])
        hand_in(district, written(subject="Việc riêng"))
        dispatched(district, "H99", subject="Việc chung")

        async def scene() -> int:
            async with at_work(with_prefect) as engine:
                assert engine.alive
                return await exchange_with_partners(stay=False)

        assert asyncio.run(scene()) == 3  # one event, one status, one document
        assert len(server.heard) == 2
    run = board.runs("exchange")[0]
    assert run["state"]["type"] == "COMPLETED"
    assert "Việc" not in str(run)
    assert "H99" not in str(run)
