"""The flow that tells partners is killed again and again: every status arrives, in order, and is history once."""

import asyncio
import multiprocessing
import random
import re
import time
from collections import defaultdict
from datetime import UTC, datetime
from uuid import UUID

import pytest

from docflow.bootstrap import build
from docflow.services import audit, sweep
from docflow.settings import Settings
from tests.agencies import configure, hand_in, partner, written
from tests.conftest import District
from tests.listener import Listener, listening
from tests.moves import act

DOCUMENTS, KILLS = 8, 6
CODES = ["01", "03", "04", "05"]
_CONTEXT = multiprocessing.get_context("forkserver")


def exchange_for_ever(settings: Settings) -> None:
    from workflows.engine import Engine
    from workflows.exchange import exchange_with_partners

    async def work() -> None:
        async with Engine(build(settings)).at_work():
            await exchange_with_partners.fn(stay=True)

    asyncio.run(work())


def live(district: District, document: UUID) -> None:
    act(district, document, "vanthu1", "register")
    act(district, document, "chutich", "assign", handlers=[{"role": "main", "user": "ngansach2"}])
    act(district, document, "ngansach2", "submit", proposal="Đã xử lý")


def first_heard(server: Listener) -> dict[str, list[str]]:
    """By DocumentId the codes in the order in which each was heard first; of some, a kill cut the end off."""
    found: dict[str, list[str]] = defaultdict(list)
    for heard in server.heard:
        if not heard.body.endswith(b"</edXML>\n"):
            continue
        told = re.search(r"<DocumentId>(.*?)</DocumentId>.*<StatusCode>(..)</StatusCode>", heard.body.decode(), re.S)
        assert told is not None
        if told[2] not in found[told[1]]:
            found[told[1]].append(told[2])
    return found


def untold(district: District) -> int:
    (row,) = district.query(
        """SELECT (SELECT count(*) FROM outbox WHERE topic = 'exchange')
                + (SELECT count(*) FROM exchange_message WHERE state <> 'sent') AS n"""
    )
    return int(row["n"])


def free_what_was_killed(district: District) -> None:
    with district.container.sessions.begin() as session:
        sweep.free_claims(session, datetime.now(UTC))


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_kills_lose_repeat_and_reorder_no_status(district: District, settings: Settings) -> None:
    _CONTEXT.set_forkserver_preload(["workflows.exchange", "docflow.bootstrap"])
    dice = random.Random(20260302)
    with listening() as server:
        configure(district, [partner("tinh", "H99", server.url, edxml={"secret": None, "sign_as": None})])
        made = [hand_in(district, written(f"H99,{n}")).document_id for n in range(DOCUMENTS)]
        waiting = [d for d in made if d is not None]
        kills = 0
        until = time.monotonic() + 120
        while untold(district) or waiting or kills < KILLS:
            assert time.monotonic() < until, f"{untold(district)} statuses are still untold after {kills} kills"
            process = _CONTEXT.Process(target=exchange_for_ever, args=(settings,), daemon=True)
            process.start()
            for _ in range(2):
                if waiting:
                    live(district, waiting.pop())
            process.join(dice.uniform(0.3, 1.2) if kills < KILLS else 3.0)
            assert process.is_alive()
            process.kill()
            process.join()
            kills += 1
            free_what_was_killed(district)
        heard = first_heard(server)
    assert heard == {f"H99,{n}": CODES for n in range(DOCUMENTS)}
    told = district.query(
        """SELECT document_id, array_agg(data ->> 'told' ORDER BY seq) AS codes FROM history
           WHERE action = 'exchange' AND data ? 'told' GROUP BY document_id"""
    )
    assert [row["codes"] for row in told] == [CODES] * DOCUMENTS
    with district.container.sessions() as session:
        assert audit.verify(session).problems == []
