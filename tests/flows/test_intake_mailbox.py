"""Mailboxes are read by flows: one worker at a time at each, woken by the server, and shown to Prefect discreetly."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from docflow.adapters import config_files
from docflow.bootstrap import Container
from docflow.domain.intake_settings import MailboxSettings
from docflow.services import configuration
from tests.conftest import ROOT, District
from tests.dovecot import PASSWORD, Dovecot, MailAccount
from tests.flows.conftest import At, Board
from tests.flows.test_worker import worker
from tests.mailbox import attachment, mail, many, text
from workflows import intake_mailbox as module
from workflows.intake_mailbox import intake_mailbox, keep_mailboxes
from workflows.one_at_a_time import alone

pytestmark = [
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # Prefect's own clients
]
PATIENCE = 40.0


@pytest.fixture(scope="module")
def server() -> Iterator[Dovecot]:
    with Dovecot() as server:
        yield server


@pytest.fixture
def box(server: Dovecot) -> MailAccount:
    return server.account()


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK", 0.2)


def letter(number: int) -> bytes:
    return mail(many(text(f"Kính gửi số {number}"), attachment()), Message_ID=f"<{number}@so.example>")


def with_mailboxes(container: Container, **boxes: MailAccount) -> Container:
    """These are the configured ones, from now on."""
    loaded = config_files.load(ROOT / "config")
    mailboxes = tuple(MailboxSettings(name=name, url=box.url) for name, box in boxes.items())
    loaded = loaded.model_copy(update={"intake": loaded.intake.model_copy(update={"mailboxes": mailboxes})})
    with container.sessions.begin() as session:
        configuration.apply(session, loaded, config_files.digest(loaded), container.clock())
    secrets = {name: SecretStr(PASSWORD) for name in ("mot", "hai")}
    return replace(container, settings=container.settings.model_copy(update={"secrets": secrets}))


def sources(district: District) -> list[str]:
    return [row["source"] for row in district.query("SELECT source FROM arrival ORDER BY source, id")]


def arrived(district: District, count: int) -> bool:
    return len(sources(district)) == count


def eventually(holds: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


async def until(holds: Callable[[], Any]) -> None:
    await asyncio.to_thread(eventually, holds)


def test_every_mailbox_is_read_and_prefect_is_told_no_address(
    with_prefect: Container, district: District, server: Dovecot, at_work: At, board: Board
) -> None:
    boxes = {"mot": server.account(), "hai": server.account()}
    office = with_mailboxes(with_prefect, **boxes)
    for number, box in enumerate(boxes.values()):
        box.deliver(letter(number))

    async def scene() -> int:
        async with at_work(office):
            return await intake_mailbox()

    assert asyncio.run(scene()) == 2
    assert sources(district) == ["hai", "mot"]
    run = board.runs("intake_mailbox")[0]
    assert run["state"]["type"] == "COMPLETED"
    assert "example" not in str(run)
    assert "127.0.0.1" not in str(run)


def test_mail_is_taken_in_as_it_comes_and_the_flow_ends_with_the_worker(
    container: Container, district: District, box: MailAccount, at_work: At
) -> None:
    office = with_mailboxes(container, mot=box)

    async def scene() -> None:
        async with at_work(office) as engine:
            kept = asyncio.create_task(keep_mailboxes(engine))
            await until(lambda: district.query("SELECT FROM mailbox_mark WHERE looked_at IS NOT NULL"))
            for number in range(2):
                await asyncio.to_thread(box.deliver, letter(number))
                await until(partial(arrived, district, number + 1))
            engine.stop()
            await asyncio.wait_for(kept, 10)

    started = time.monotonic()
    asyncio.run(scene())
    assert time.monotonic() - started < 45, "it waited for the next poll instead of being woken"


def test_mailboxes_that_are_added_and_removed_are_noticed(
    container: Container, district: District, server: Dovecot, at_work: At
) -> None:
    one, two = server.account(), server.account()
    office = with_mailboxes(container, mot=one)

    def reading() -> set[str]:
        return {thread.name.split("_")[0] for thread in threading.enumerate() if thread.name.startswith("mailbox-")}

    async def scene() -> None:
        async with at_work(office) as engine:
            kept = asyncio.create_task(keep_mailboxes(engine))
            await until(lambda: reading() == {"mailbox-mot"})
            with_mailboxes(container, hai=two)
            two.deliver(letter(2))
            await until(lambda: sources(district) == ["hai"])
            one.deliver(letter(1))  # wakes the one that is no longer wanted
            await until(lambda: reading() == {"mailbox-hai"})
            engine.stop()
            await asyncio.wait_for(kept, 10)

    asyncio.run(scene())
    assert sources(district) == ["hai"]
    assert len(one.mails()) == 1


def test_only_one_worker_at_a_time_reads_a_mailbox(
    container: Container, district: District, box: MailAccount, at_work: At
) -> None:
    office = with_mailboxes(container, mot=box)
    box.deliver(letter(1))

    async def scene() -> None:
        async with at_work(office) as first, at_work(office) as second:
            async with alone(first, "mailbox:mot") as hold:
                assert hold
                assert await intake_mailbox.fn("mot") == 0, "somebody else is at it"
                waiting = asyncio.create_task(keep_mailboxes(second))
                await asyncio.sleep(0.5)
                assert sources(district) == []
            await until(lambda: sources(district) == ["mot"])
            second.stop()
            await asyncio.wait_for(waiting, 10)

    asyncio.run(scene())


def test_a_server_that_restarts_is_read_again(container: Container, district: District, at_work: At) -> None:
    with Dovecot() as server:
        box = server.account()
        office = with_mailboxes(container, mot=box)

        async def scene() -> None:
            async with at_work(office) as engine:
                kept = asyncio.create_task(keep_mailboxes(engine))
                await until(lambda: district.query("SELECT FROM mailbox_mark WHERE looked_at IS NOT NULL"))
                server.stop()
                server.start()
                box.deliver(letter(1))
                await until(lambda: sources(district) == ["mot"])
                engine.stop()
                await asyncio.wait_for(kept, 10)

        asyncio.run(scene())


def test_a_worker_reads_the_mailbox_of_its_environment_and_ends_on_sigterm(
    container: Container, district: District, box: MailAccount, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    box.deliver(letter(1))
    with worker(container, log, DOCFLOW_IMAP_URL=box.whole_url) as process:
        eventually(lambda: len(box.mails("Processed")) == 1)
        process.terminate()
        assert process.wait(timeout=30) == 0, log.read_text()
    assert sources(district) == ["default"]
    assert "Traceback" not in log.read_text()
