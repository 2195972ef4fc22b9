"""Three hundred letters come in by mailbox and by SMTP while poller, listener and worker are killed, sixty times."""

import os
import random
import smtplib
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, Thread

import pytest
from sqlalchemy import text

from docflow.adapters import config_files
from docflow.bootstrap import Container, build, now_utc
from docflow.cli import schema
from docflow.cli.running import settings_from
from docflow.domain.intake_settings import IntakeSettings, ListenerSettings, MailboxSettings
from docflow.local.machine import Machine
from docflow.local.ports import HOST, free_port
from docflow.services import audit, configuration, people
from tests.concurrency.crash_house import kill_family
from tests.conftest import PASSWORD, ROOT
from tests.dovecot import PASSWORD as MAIL_PASSWORD
from tests.dovecot import Dovecot, MailAccount

EACH = 150
KILLS = 20
"""Of each of the three."""
VANTHU = "vanthu@binhminh.example"
STARTING = 2.5
"""Seconds until a new process is at work; killed before, it would only have died."""
KINDS = {"poller": "mailbox", "listener": "listen", "worker": "router,deliver,sweep"}
TAKEN = text(
    "SELECT i.message_id, i.channel, i.state, count(DISTINCT a.id) AS arrivals, count(DISTINCT d.id) AS documents "
    "FROM intake i LEFT JOIN arrival a ON a.intake_id = i.id LEFT JOIN document d ON d.id = i.document_id "
    "GROUP BY i.id"
)
IDLE = text("SELECT count(*) FROM outbox WHERE topic = 'advance'")


@pytest.mark.xdist_group("letters")
def test_kills_of_poller_listener_and_worker_lose_and_double_no_letter(tmp_path: Path) -> None:
    port = free_port()
    with Dovecot() as server, at_work(tmp_path, server.account(), port) as (container, environment, box):
        with Processes(environment) as processes:
            kill_now_and_then = Thread(target=processes.kill_now_and_then, args=("worker", KILLS))
            posting = Thread(target=post, args=(box, processes))
            for thread in (kill_now_and_then, posting):
                thread.start()
            with ThreadPoolExecutor(4) as senders:
                sent = list(senders.map(lambda number: hand_in(port, number, processes), range(EACH)))
            for thread in (posting, kill_now_and_then):
                thread.join()
            until_all_taken_in(container, box)
        assert processes.kills == dict.fromkeys(KINDS, KILLS)
        assert all(sent), "each client was told 250 in the end"
        every_letter_is_one_document(container)
        every_chain_whole(container)


@contextmanager
def at_work(folder: Path, box: MailAccount, port: int) -> Iterator[tuple[Container, dict[str, str], MailAccount]]:
    with Machine(folder / "machine", prefect=False, given={}) as machine:
        environment = machine.environment() | {
            "DOCFLOW_CONFIG_DIR": str(ROOT / "config"),
            "DOCFLOW_SMTP_LISTEN": f"{HOST}:{port}",
            "DOCFLOW_SECRETS__BOX": MAIL_PASSWORD,
        }
        container = build(settings_from(environment))
        schema.upgrade(container.settings.database_url)
        shipped = config_files.load(ROOT / "config")
        mailbox = MailboxSettings(name="box", url=box.url, poll=5)
        intake = IntakeSettings(mailboxes=(mailbox,), listener=ListenerSettings(recipients=(VANTHU,)))
        applied = shipped.model_copy(update={"intake": intake})
        with container.sessions.begin() as session:
            configuration.apply(session, applied, config_files.digest(applied), now_utc())
            demo = config_files.load_demo(ROOT / "config" / "demo")
            people.load_demo(session, demo, PASSWORD, now_utc())
        try:
            yield container, environment, box
        finally:
            container.close()


def letter(channel: str, number: int) -> bytes:
    return (
        f"From: So Tai chinh <vanthu@stc.example>\r\nTo: {VANTHU}\r\nSubject: Bao cao {channel} {number}\r\n"
        f"Date: Mon, 02 Mar 2026 09:00:00 +0700\r\nMessage-ID: <{channel}-{number}@stc.example>\r\n\r\nKinh gui.\r\n"
    ).encode()


def post(box: MailAccount, processes: "Processes") -> None:
    """A letter into the mailbox every now and then, as a mail server would; the poller often dies over it."""
    dice = random.Random(1)
    fatal = set(dice.sample(range(EACH), KILLS))
    for number in range(EACH):
        box.deliver(letter("mailbox", number))
        time.sleep(dice.uniform(0, 0.4))
        if number in fatal:
            processes.kill("poller")


def hand_in(port: int, number: int, processes: "Processes") -> bool:
    """A client that tries again until it is told 250, as every mail server does; some time after the last dot of
    every so many a mail, the listener dies."""
    dice = random.Random(number)
    fatal, end = number % (EACH // KILLS) == 0, time.monotonic() + 300
    if number >= KILLS * (EACH // KILLS):
        fatal = False
    while time.monotonic() < end:
        try:
            with smtplib.SMTP(HOST, port, timeout=15) as client:
                client.ehlo()
                client.mail("vanthu@stc.example")
                client.rcpt(VANTHU)
                client.docmd("DATA")
                client.send(letter("listener", number) + b".\r\n")
                if fatal:
                    time.sleep(dice.uniform(0, 0.15))
                    fatal = not processes.kill("listener", at_work=True)
                if client.getreply()[0] == 250:
                    return True
        except (OSError, smtplib.SMTPException):
            pass
        time.sleep(0.3)
    return False


class Processes:
    """One process of each kind; one that dies is started again."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.kills = dict.fromkeys(KINDS, 0)
        self._environment = environment
        self._locks = {kind: Lock() for kind in KINDS}
        self._running: dict[str, tuple[subprocess.Popen[bytes], float]] = {}

    def __enter__(self) -> "Processes":
        for kind in KINDS:
            self._start(kind)
        return self

    def __exit__(self, *_: object) -> None:
        for process, _since in self._running.values():
            process.terminate()
        for process, _since in self._running.values():
            process.wait(timeout=60)

    def kill(self, kind: str, *, at_work: bool = False) -> bool:
        """Once it has had time to begin its work, unless it is ``at_work``. Another is started at once."""
        with self._locks[kind]:
            process, since = self._running[kind]
            time.sleep(0.0 if at_work else max(0.0, since + STARTING - time.monotonic()))
            if not kill_family(process.pid):
                return False
            process.wait(timeout=30)
            self.kills[kind] += 1
            self._start(kind)
        return True

    def kill_now_and_then(self, kind: str, times: int) -> None:
        dice = random.Random(kind)
        for _ in range(times):
            time.sleep(dice.uniform(0.5, 4.0))
            assert self.kill(kind)

    def _start(self, kind: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        argv = [sys.executable, "-m", "docflow.cli", "worker", "--parts", KINDS[kind]]
        null = subprocess.DEVNULL
        process = subprocess.Popen(argv, env=inherited | self._environment, stdout=null, stderr=null)
        self._running[kind] = (process, time.monotonic())


def until_all_taken_in(container: Container, box: MailAccount) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end:
        with container.sessions() as session:
            taken, left = session.execute(TAKEN).all(), session.scalar(IDLE)
        waiting = len(box.mails())
        if len(taken) == 2 * EACH and left == 0 and waiting == 0:
            return
        time.sleep(0.5)
    raise AssertionError(f"{len(taken)} letters were taken in, {waiting} wait in the mailbox, {left} events are left")


def every_letter_is_one_document(container: Container) -> None:
    with container.sessions() as session:
        rows = session.execute(TAKEN).all()
        documents = session.scalar(text("SELECT count(*) FROM document"))
    wanted = {f"<{channel}-{number}@stc.example>" for channel in ("mailbox", "listener") for number in range(EACH)}
    assert {row.message_id for row in rows} == wanted
    assert Counter((row.state, row.documents) for row in rows) == {("document", 1): 2 * EACH}
    assert documents == 2 * EACH
    assert {row.arrivals for row in rows if row.channel == "mailbox"} == {1}, "one place is one arrival"


def every_chain_whole(container: Container) -> None:
    with container.sessions() as session:
        found = audit.verify(session)
    assert found.documents == 2 * EACH
    assert found.problems == []
