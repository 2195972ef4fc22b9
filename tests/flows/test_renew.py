"""The flow that renews: one file after the other, and one file's trouble is no other's."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from docflow.bootstrap import Container
from docflow.domain.errors import SigningFailed
from docflow.services.ports import Signed
from tests.conftest import Clock, District
from tests.flows.conftest import At, Board
from tests.moves import PDF, whole
from tests.services.test_renewal import Judge, Stamper, both, rows, signed
from workflows.renew import renew

pytestmark = [
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # Prefect's own clients
]


class Choosy(Stamper):
    """Renews all but what holds a certain word."""

    def renew(self, source: Path, target: Path) -> Signed:
        if b"%bad" in source.read_bytes():
            raise SigningFailed("The file cannot be read.")
        return super().renew(source, target)


def at_hand(container: Container, stamper: Stamper) -> Container:
    """The container with doubles for what signs and verifies."""
    copy: Any = replace(container)
    copy.__dict__.update(signer=stamper, verifier=Judge())
    found: Container = copy
    return found


def run(container: Container, at_work: At) -> int:
    async def scene() -> int:
        async with at_work(container) as engine:
            return await (renew(stay=False) if engine.alive else renew.fn(stay=False))

    return asyncio.run(scene())


def test_what_is_due_is_renewed_under_prefect_and_a_broken_file_waits_for_tomorrow(
    with_prefect: Container, district: District, clock: Clock, at_work: At, board: Board
) -> None:
    good, bad = signed(district, PDF + b"%good"), signed(district, PDF + b"%bad")
    for document in (good, bad):
        both(district, document, clock.now)
    container = at_hand(with_prefect, Choosy(clock.now))
    assert run(container, at_work) == 2
    assert [kind for kind, at in rows(district, good) if at is not None] == ["renewal"]
    assert [kind for kind, at in rows(district, bad) if at is not None] == ["person", "seal"]
    assert run(container, at_work) == 0
    clock.pass_time(days=1)
    assert run(container, at_work) == 1
    assert board.runs("renew")[0]["state"]["type"] == "COMPLETED"
    whole(district)
