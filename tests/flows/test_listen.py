"""The worker's listener with a real database and store: what is answered with 250 is a document, once."""

import asyncio
import contextlib
import signal
import smtplib
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from sqlalchemy.engine import make_url

from docflow.bootstrap import Container, build
from docflow.domain.errors import ConfigInvalid
from docflow.local.postgres import LocalPostgres
from docflow.services.intake import take_in
from tests.conftest import Clock, District
from tests.flows.conftest import At
from tests.flows.test_worker import worker
from tests.intake_rules import apply_intake
from workflows import listen
from workflows.engine import Engine

pytestmark = [pytest.mark.xdist_group("prefect")]
OURS = "vanthu@binhminh.example"


@contextlib.contextmanager
def at_the_door(container: Container) -> Iterator[Engine]:
    """A worker's listener in a thread of its own, until it was stopped as a worker stops it."""
    started: Future[tuple[Engine, asyncio.AbstractEventLoop]] = Future()

    async def work() -> None:
        async with Engine(container).at_work() as engine:
            part = asyncio.create_task(listen.keep_listening(engine))
            while not part.done() and not _answers(container.settings.smtp_listen):
                await asyncio.sleep(0.01)
            started.set_result((engine, asyncio.get_running_loop()))
            await part

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(asyncio.run, work())
        engine, loop = started.result(30)
        try:
            yield engine
        finally:
            loop.call_soon_threadsafe(engine.stop)
            running.result(30)


def _answers(where: str) -> bool:
    host, _, port = where.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@pytest.fixture
def listening(container: Container) -> Container:
    """A container whose listener has a port of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
    return replace(container, settings=container.settings.model_copy(update={"smtp_listen": where}))


def connect(container: Container) -> smtplib.SMTP:
    host, _, port = container.settings.smtp_listen.rpartition(":")
    return smtplib.SMTP(host, int(port), local_hostname="mx.tinh.example", timeout=60)


def letter(number: int = 1) -> bytes:
    message = EmailMessage()
    message["From"] = "Sở Tài chính <vanthu@stc.example>"
    message["To"] = OURS
    message["Subject"] = f"V/v báo cáo số {number}"
    message["Date"] = "Mon, 02 Mar 2026 09:00:00 +0700"
    message["Message-ID"] = f"<{number}@stc.example>"
    message.set_content("Kính gửi Ủy ban nhân dân huyện.")
    message.add_attachment(b"%PDF-1.4 a letter", maintype="application", subtype="pdf", filename="báo cáo.pdf")
    return message.as_bytes()


def hand_in(client: smtplib.SMTP, raw: bytes) -> tuple[int, str]:
    client.ehlo_or_helo_if_needed()
    client.mail("vanthu@stc.example")
    client.rcpt(OURS)
    code, said = client.data(raw)
    return code, said.decode()


def intakes(district: District) -> list[tuple[str, str, int]]:
    sql = "SELECT id, state, repeats FROM intake ORDER BY id"
    return [(str(row["id"]), row["state"], row["repeats"]) for row in district.query(sql)]


def test_the_answer_names_the_intake_that_became_a_document(listening: Container, district: District) -> None:
    with at_the_door(listening), connect(listening) as client:
        code, said = hand_in(client, letter())
    ((intake, state, _),) = intakes(district)
    assert (code, said, state) == (250, f"2.0.0 Kept as {intake}", "document")
    (row,) = district.query("SELECT channel, source, envelope FROM arrival")
    assert (row["channel"], row["source"]) == ("listener", "smtp")
    assert row["envelope"]["mail_from"] == "vanthu@stc.example"
    assert row["envelope"]["recipients"] == [OURS]


def test_a_letter_that_comes_again_is_the_same_document(listening: Container, district: District) -> None:
    with at_the_door(listening):
        for _ in range(2):
            with connect(listening) as client:
                assert hand_in(client, letter())[0] == 250
    assert [(state, repeats) for _, state, repeats in intakes(district)] == [("document", 1)]
    assert district.query("SELECT count(*) AS n FROM document")[0]["n"] == 1


def test_two_workers_share_a_port_and_every_letter_of_a_crowd_is_a_document(
    listening: Container, clock: Clock, district: District
) -> None:
    def send(first: int) -> list[int]:
        codes = []
        for number in range(first, first + 25):
            with connect(listening) as client:
                codes.append(hand_in(client, letter(number))[0])
        return codes

    other = replace(build(listening.settings), clock=clock)
    with at_the_door(listening), at_the_door(other), ThreadPoolExecutor(8) as clients:
        codes = Counter(code for part in clients.map(send, range(0, 200, 25)) for code in part)
    other.close()
    assert codes == {250: 200}
    assert Counter(state for _, state, _ in intakes(district)) == {"document": 200}
    assert district.query("SELECT count(DISTINCT subject) AS n FROM document")[0]["n"] == 200


def test_while_the_store_is_away_the_client_is_asked_to_come_again(listening: Container, district: District) -> None:
    settings = listening.settings.model_copy(update={"s3_endpoint": "127.0.0.1:1"})
    away = replace(listening, settings=settings)
    with at_the_door(away), connect(away) as client:
        code, said = hand_in(client, letter())
    assert (code, said[:5]) == (451, "4.3.0")
    assert intakes(district) == []
    with at_the_door(listening), connect(listening) as client:
        assert hand_in(client, letter())[0] == 250


def test_while_the_database_is_away_the_client_is_asked_to_come_again(
    listening: Container, district: District, postgres: LocalPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_the_door(listening), connect(listening) as client:
        client.ehlo()
        client.mail("vanthu@stc.example")
        client.rcpt(OURS)
        with database_away(listening, postgres):
            assert client.data(letter())[0] == 451
            monkeypatch.setattr(listen, "_FRESH", 0.0)
            assert client.mail("vanthu@stc.example")[0] == 451
        assert hand_in(client, letter())[0] == 250
    assert len(intakes(district)) == 1


@contextlib.contextmanager
def database_away(container: Container, postgres: LocalPostgres) -> Iterator[None]:
    name = make_url(container.settings.database_url).database
    with psycopg.connect(postgres.url("postgres").replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        yield
        admin.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')


def test_the_newest_rules_count_within_seconds(
    listening: Container, district: District, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "_FRESH", 0.0)
    with at_the_door(listening), connect(listening) as client:
        client.ehlo()
        client.mail("vanthu@stc.example")
        assert client.rcpt("mot-cua@binhminh.example")[0] == 550
        apply_intake(district, listener={"recipients": ["mot-cua@binhminh.example"]})
        assert client.rcpt("mot-cua@binhminh.example")[0] == 250


def test_a_stopping_worker_finishes_the_letter_in_hand(
    listening: Container, district: District, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go_on = threading.Event(), threading.Event()

    def slowly(*arguments: Any, **options: Any) -> Any:
        reading.set()
        go_on.wait(10)
        return take_in(*arguments, **options)

    monkeypatch.setattr(listen, "take_in", slowly)
    with contextlib.ExitStack() as worker, ThreadPoolExecutor(1) as sender:
        worker.enter_context(at_the_door(listening))
        client = worker.enter_context(contextlib.closing(connect(listening)))
        answer = sender.submit(hand_in, client, letter())
        assert reading.wait(20)
        threading.Timer(0.3, go_on.set).start()
        worker.close()
        assert answer.result(20)[0] == 250
    assert [state for _, state, _ in intakes(district)] == ["document"]


def test_an_address_that_is_none_ends_the_part_with_what_to_write(container: Container, at_work: At) -> None:
    async def scene() -> None:
        settings = container.settings.model_copy(update={"smtp_listen": "binhminh.example"})
        async with at_work(replace(container, settings=settings)) as engine:
            await listen.keep_listening(engine)

    with pytest.raises(ConfigInvalid, match="write host:port"):
        asyncio.run(scene())


def test_a_port_in_use_is_tried_again(listening: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "_AGAIN", 0.05)
    host, _, port = listening.settings.smtp_listen.rpartition(":")
    with socket.socket() as other:
        other.bind((host, int(port)))
        threading.Timer(0.3, other.close).start()
        with at_the_door(listening), connect(listening) as client:
            assert client.noop()[0] == 250


def test_two_worker_processes_share_a_port_and_end_on_sigterm(
    listening: Container, district: District, tmp_path: Path
) -> None:
    logs = [tmp_path / "one.log", tmp_path / "other.log"]
    where = {"DOCFLOW_SMTP_LISTEN": listening.settings.smtp_listen}
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(worker(listening, log, **where)) for log in logs]
        while not all(_listens(process) for process in processes):
            assert all(process.poll() is None for process in processes), [log.read_text() for log in logs]
            time.sleep(0.05)
        clients = [connect(listening) for _ in range(8)]
        codes = [hand_in(client, letter(number))[0] for number, client in enumerate(clients)]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(60) for process in processes] == [0, 0]
        assert [client.getreply()[0] for client in clients] == [421] * 8
        for client in clients:
            client.close()
    assert codes == [250] * 8
    assert [state for _, state, _ in intakes(district)] == ["document"] * 8
    assert all("Traceback" not in log.read_text() for log in logs)


def _listens(process: "subprocess.Popen[bytes]") -> bool:
    return any(c.status == psutil.CONN_LISTEN for c in psutil.Process(process.pid).net_connections("tcp"))
