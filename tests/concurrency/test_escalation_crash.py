"""Two thousand deadlines fall due while the workers that fire them are killed, and the machine's time is set."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from docflow.adapters import config_files
from docflow.adapters.mail.sink import MailSink
from docflow.bootstrap import Container, build, now_utc
from docflow.cli import schema
from docflow.cli.house import apply_first_configuration
from docflow.cli.running import settings_from
from docflow.domain.timing import Urgency
from docflow.local.machine import Machine
from docflow.services import audit, people, webhooks
from docflow.services.asked import Asked
from docflow.services.documents import NewDocument, create
from docflow.services.webhooks import NewWebhook
from tests.concurrency.crash_house import kill_family
from tests.conftest import PASSWORD, ROOT
from tests.listener import Listener, listening

DOCUMENTS = 1_000
CLOCKS = 2 * DOCUMENTS  # the document's own, and that of registering it
KILLS = 30
SPREAD = timedelta(seconds=90)
MARKED, CALLED, TOLD = 2, 3, 4
"""What fires of the ladder ``quick`` when a clock is due: it is overdue, other systems and the unit head hear of it."""

DUE = text(
    """
UPDATE clock c SET ladder = 'quick', fired = '{"0": 1, "1": 1}', due_at = n.due, next_fire_at = n.due
FROM (SELECT id, :first + row_number() OVER (ORDER BY id) * :apart AS due FROM clock) n WHERE n.id = c.id
"""
)
FIRED = text("SELECT clock_id, step, turn FROM escalation")
LEFT = text("SELECT count(*) FROM clock WHERE stopped_at IS NULL AND NOT fired ? '4'")

UNTOLD = text(
    """
SELECT (SELECT count(*) FROM notification WHERE passed_on_at IS NULL AND urgent),
       (SELECT count(*) FROM notice_mail WHERE state = 'queued' AND NOT digest),
       (SELECT count(*) FROM webhook_call WHERE state = 'queued')
"""
)
UNMAILED = text(
    """
SELECT count(*) FROM notification n LEFT JOIN notification pile ON pile.id = n.collected_in
WHERE n.kind = 'deadline_notify' AND coalesce(n.mail_id, pile.mail_id) IS NULL
"""
)
HEADS = text(
    """
SELECT count(DISTINCT m.user_id) FROM membership m WHERE m.role = 'unit_head' AND m.unit_id IN (
  SELECT DISTINCT ON (c.user_id) first.unit_id FROM membership c JOIN unit u ON u.id = c.unit_id
  JOIN membership first ON first.user_id = c.user_id AND first.rank = 0
  WHERE c.role = 'clerk' AND u.parent_id IS NULL)
"""
)


@pytest.mark.xdist_group("escalation")
def test_kills_of_workers_and_a_clock_that_jumps_lose_and_repeat_no_step(tmp_path: Path) -> None:
    with (
        MailSink(tmp_path / "mail") as sink,
        listening() as system,
        at_work(tmp_path, sink) as (container, environment),
    ):
        clerk = furnish(container, system.url)
        for index in range(DOCUMENTS):
            enter(container, clerk, index)
        first = now_utc() + timedelta(seconds=5)
        with container.sessions.begin() as session:
            session.execute(DUE, {"first": first, "apart": SPREAD / CLOCKS})
        with Workers(environment) as workers:
            jumps = {KILLS // 3: -600.0, KILLS // 2: 7200.0, 2 * KILLS // 3: 0.0}
            for kill in range(KILLS):
                if kill in jumps:
                    set_clock(Path(environment["DOCFLOW_CLOCK_FILE"]), jumps[kill])
                workers.kill_the_elder()
            until_all_fired(container)
            until_all_told(container)
        every_step_once(container)
        every_notice_once(container)
        every_mail_arrived(container, sink)
        every_call_was_heard(container, system)
        every_chain_whole(container)


@contextmanager
def at_work(folder: Path, sink: MailSink) -> Iterator[tuple[Container, dict[str, str]]]:
    with Machine(folder / "machine", prefect=False, given={}) as machine:
        clock_file = folder / "clock"
        set_clock(clock_file, 0.0)
        environment = machine.environment() | {"DOCFLOW_CLOCK_FILE": str(clock_file)}
        environment |= {"DOCFLOW_CONFIG_DIR": str(ROOT / "config"), "DOCFLOW_SMTP_URL": sink.url}
        container = build(settings_from(environment))
        try:
            yield container, environment
        finally:
            container.close()


def furnish(container: Container, address: str) -> UUID:
    """A district at work, and another system that is told of its deadlines. Returns a clerk."""
    schema.upgrade(container.settings.database_url)
    apply_first_configuration(container)
    with container.sessions.begin() as session:
        demo = config_files.load_demo(container.settings.config_dir / "demo")
        people.load_demo(session, demo, PASSWORD, now_utc())
        new = NewWebhook(url=address, events=("deadline",))
        clerk = people.find_user(session, "vanthu1").id
        webhooks.create_webhook(session, new, clerk, now_utc(), loopback=True)
        return clerk


def set_clock(file: Path, ahead: float) -> None:
    """As an NTP daemon would that finds the machine off by so many seconds."""
    fresh = file.with_suffix(".new")
    fresh.write_text(f"{ahead}\n")
    os.replace(fresh, file)


def enter(container: Container, clerk: UUID, index: int) -> None:
    new = NewDocument(direction="incoming", subject=f"Văn bản đến số {index}", urgency=Urgency.URGENT)
    with container.sessions.begin() as session:
        create(session, container.pictures, new, (), Asked(now_utc(), "api", clerk))


class Workers:
    """Two worker processes; when the elder is killed another is started, so that one is always at work."""

    def __init__(self, environment: dict[str, str]) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        self._environment = inherited | environment
        self._dice = random.Random(20260302)
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Workers":
        self._start()
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait(timeout=60)

    def kill_the_elder(self) -> None:
        """At some moment of its work."""
        time.sleep(self._dice.uniform(1.0, 3.0))
        elder = self._running.pop(0)
        assert kill_family(elder.pid)
        elder.wait(timeout=30)
        self._start()

    def _start(self) -> None:
        argv = [sys.executable, "-m", "docflow.cli", "worker"]
        null = subprocess.DEVNULL
        self._running.append(subprocess.Popen(argv, env=self._environment, stdout=null, stderr=null))


def until_all_fired(container: Container) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end:
        with container.sessions() as session:
            left = session.scalar(LEFT)
        if left == 0:
            return
        time.sleep(0.5)
    raise AssertionError(f"{left} clocks have not fired")


def every_step_once(container: Container) -> None:
    with container.sessions() as session:
        fired = Counter((row.clock_id, row.step) for row in session.execute(FIRED))
        clocks = set(session.scalars(text("SELECT id FROM clock WHERE stopped_at IS NULL")))
        told = session.execute(text("SELECT data -> 'steps' AS steps FROM history WHERE action = 'escalate'")).all()
    assert len(clocks) == CLOCKS
    expected = {(clock, step) for clock in clocks for step in (MARKED, CALLED, TOLD)}
    assert expected <= fired.keys()
    assert set(fired.values()) == {1}
    in_history = Counter((UUID(step["clock"]), step["step"]) for row in told for step in row.steps)
    assert in_history == fired


def until_all_told(container: Container) -> None:
    end = time.monotonic() + 240
    while time.monotonic() < end:
        with container.sessions() as session:
            left = session.execute(UNTOLD).one()
        if not any(left):
            return
        time.sleep(0.5)
    raise AssertionError(f"notices, mails and calls that wait: {left}")


def every_notice_once(container: Container) -> None:
    """One a person and step, under the key that names clock and step."""
    with container.sessions() as session:
        heads = session.scalar(HEADS)
        keys = Counter(session.scalars(text("SELECT key FROM notification WHERE kind = 'deadline_notify'")))
        clocks = session.scalars(text("SELECT id FROM clock WHERE stopped_at IS NULL"))
        expected = {f"clock:{clock}:{TOLD}:0" for clock in clocks}
    assert heads
    assert {keys[key] for key in expected} == {heads}


def every_mail_arrived(container: Container, sink: MailSink) -> None:
    """At least once, always under the same Message-ID; each notice is in one."""
    with container.sessions() as session:
        sent = set(session.scalars(text("SELECT message_id FROM notice_mail WHERE state = 'sent'")))
        unmailed = session.scalar(UNMAILED)
    assert sent
    assert unmailed == 0
    assert {str(mail.message()["Message-ID"]).strip() for mail in sink.messages()} == sent


def every_call_was_heard(container: Container, system: Listener) -> None:
    """At least once, always under the same key."""
    with container.sessions() as session:
        made = set(session.scalars(text("SELECT key FROM webhook_call WHERE state = 'delivered'")))
    assert len(made) == CLOCKS
    assert {heard.headers["X-Docflow-Delivery"] for heard in system.heard} == made


def every_chain_whole(container: Container) -> None:
    with container.sessions() as session:
        found = audit.verify(session)
    assert found.documents == DOCUMENTS
    assert found.problems == []
