"""Two hundred documents are driven through their lives while processes are killed under them."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest
from sqlalchemy import text

from docflow.services import audit
from tests.concurrency.crash_house import Killer, Office, in_parallel, kill_family, office

DOCUMENTS = 200
OUTGOING_EVERY = 4
INCOMING_ACTIONS = Counter(create=1, register=1, assign=1, submit=1, dispatch=1)
OUTGOING_ACTIONS = Counter(
    create=1, assign=1, submit=1, approve=2, sign=1, register=1, seal=1, dispatch=1, deliver=1, settle=1
)


@pytest.mark.xdist_group("prefect")
def test_kills_of_api_worker_and_prefect_lose_and_repeat_nothing(tmp_path: Path, letter: Callable[[], bytes]) -> None:
    pdf = letter()
    with office(tmp_path) as at_work:
        with Killer(at_work, seed=20260302) as killer, prefect_away(at_work):
            documents = in_parallel(list(range(DOCUMENTS)), lambda i: live(at_work, int(str(i)), pdf))
        assert killer.kills["api"] >= 1
        assert killer.kills["worker"] >= 1
        for document in documents:
            at_work.wait_for(str(document), "vanthu1", "closed")
        every_move_once(at_work)
        every_file_readable(at_work)
        every_chain_whole(at_work)
        every_delivery_in_the_sink(at_work)
        numbers_without_gaps(at_work)
        every_mirror_caught_up(at_work)


def live(at_work: Office, index: int, pdf: bytes) -> str:
    return outgoing(at_work, index, pdf) if index % OUTGOING_EVERY == 0 else incoming(at_work, index, pdf)


def incoming(at_work: Office, index: int, pdf: bytes) -> str:
    document = at_work.enter("vanthu1", pdf, direction="incoming", subject=f"Văn bản đến số {index}")
    at_work.act(document, "vanthu1", "register")
    at_work.act(document, "chutich", "assign", handlers=[{"role": "main", "user": "noivu1"}])
    at_work.act(document, "noivu1", "submit", proposal="Đã xử lý")
    return document


def outgoing(at_work: Office, index: int, pdf: bytes) -> str:
    to = [{"name": "Sở Nội vụ", "address": f"snv{index}@tinh.example"}]
    subject = f"Văn bản đi số {index}"
    document = at_work.enter("noivu1", pdf, direction="outgoing", subject=subject, recipients=to)
    at_work.wait_for(document, "noivu1", "review")
    at_work.act(document, "noivu1", "submit")
    at_work.act(document, "truongnv", "approve")
    at_work.act(document, "vanthu1", "approve")
    at_work.act(document, "chutich", "sign")
    at_work.act(document, "vanthu1", "register")
    return document


@contextmanager
def prefect_away(at_work: Office) -> Iterator[None]:
    """Prefect's server is killed early on, and again each time it is started, for a quarter of a minute."""
    over = Event()
    thread = Thread(target=_take_prefect_away, args=(over,))
    thread.start()
    yield
    over.set()
    thread.join()


def _take_prefect_away(over: Event) -> None:
    over.wait(5)
    end = time.monotonic() + 15
    while time.monotonic() < end and not over.wait(0.5):
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if _is_prefect_server(process):
                    kill_family(process.pid)


def _is_prefect_server(process: psutil.Process) -> bool:
    argv = " ".join(process.cmdline())
    return "prefect" in argv and "server start" in argv


def every_move_once(at_work: Office) -> None:
    sql = "SELECT d.id, d.direction, h.action FROM document d JOIN history h ON h.document_id = d.id"
    lives: dict[tuple[str, str], Counter[str]] = {}
    with at_work.house.container.sessions() as session:
        for row in session.execute(text(sql)):
            lives.setdefault((str(row.id), row.direction), Counter())[row.action] += 1
    assert len(lives) == DOCUMENTS
    for (document, direction), actions in lives.items():
        expected = INCOMING_ACTIONS if direction == "incoming" else OUTGOING_ACTIONS
        assert actions - Counter(escalate=actions["escalate"]) == expected, document


def every_file_readable(at_work: Office) -> None:
    container = at_work.house.container
    with container.sessions() as session:
        named = set(session.scalars(text("SELECT sha256 FROM document_file")))
    assert named
    for sha256 in named:
        assert sum(len(piece) for piece in container.store.open(sha256)) > 0


def every_chain_whole(at_work: Office) -> None:
    with at_work.house.container.sessions() as session:
        found = audit.verify(session)
    assert found.documents == DOCUMENTS
    assert found.problems == []


def every_delivery_in_the_sink(at_work: Office) -> None:
    with at_work.house.container.sessions() as session:
        sent = set(session.scalars(text("SELECT message_id FROM delivery WHERE state = 'sent'")))
    received = {str(mail.message()["Message-ID"]) for mail in at_work.sink.messages()}
    assert len(sent) == DOCUMENTS // OUTGOING_EVERY
    assert sent <= received


def numbers_without_gaps(at_work: Office) -> None:
    with at_work.house.container.sessions() as session:
        rows = session.execute(text("SELECT series, array_agg(number ORDER BY number) FROM register_entry GROUP BY 1"))
        for series, numbers in rows:
            assert numbers == list(range(1, len(numbers) + 1)), series


def every_mirror_caught_up(at_work: Office) -> None:
    """Some moments after Prefect is back, every document's run tells its end."""
    waiting = "SELECT count(*) FROM outbox WHERE topic = 'mirror'"
    end = time.monotonic() + 180
    while time.monotonic() < end:
        with at_work.house.container.sessions() as session:
            left = session.scalar(text(waiting))
            runs = session.scalar(text("SELECT count(*) FROM flow_run"))
        if left == 0 and runs == DOCUMENTS:
            return
        time.sleep(0.5)
    raise AssertionError(f"{left} mirror rows wait, {runs} documents have a run (pid {os.getpid()})")
