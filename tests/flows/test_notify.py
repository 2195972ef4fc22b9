"""The flows that tell people."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from docflow.adapters.mail.sink import MailSink
from docflow.bootstrap import Container, now_utc
from docflow.services import webhooks
from docflow.services.webhooks import NewWebhook
from tests.conftest import Clock, District
from tests.flows.conftest import At
from tests.flows.test_worker import ends_cleanly, worker
from tests.listener import listening
from tests.moves import act, assigned
from workflows.escalate import escalate
from workflows.notify import call_webhooks, mail_notices, notify

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


def test_a_dead_address_among_three_stops_no_other(
    with_mail: Container, district: District, sink: MailSink, at_work: At
) -> None:
    document = assigned(
        district, *({"role": r, "user": u} for r, u in (("main", "ngansach2"), ("co", "ngansach1"), ("co", "tonghop1")))
    )
    act(district, document, "chutich", "urge", grade="reminder", text="Khẩn trương")
    addresses = urged(district, document)
    assert len(addresses) == 3
    sink.refuse_permanently.add(addresses[0])
    sink.refuse_temporarily[addresses[1]] = 1
    run(with_mail, at_work, notify, mail_notices)
    states = {r["email"]: (r["state"], r["attempts"]) for r in district.query(STATES)}
    assert states == {addresses[0]: ("failed", 1), addresses[1]: ("queued", 1), addresses[2]: ("sent", 1)}
    (mail,) = sink.messages()
    assert mail.recipients == (addresses[2],)
    assert mail.message()["Auto-Submitted"] == "auto-generated"


def test_a_mail_refused_for_now_arrives_later_under_the_same_message_id(
    with_mail: Container, district: District, sink: MailSink, clock: Clock, at_work: At
) -> None:
    document = assigned(district)
    act(district, document, "chutich", "urge", grade="reminder", text="Khẩn trương")
    (address,) = urged(district, document)
    sink.refuse_temporarily[address] = 1
    run(with_mail, at_work, notify, mail_notices)
    (before,) = district.query("SELECT message_id, last_error FROM notice_mail WHERE NOT digest")
    assert "451" in before["last_error"]
    clock.pass_time(seconds=16)
    run(with_mail, at_work, mail_notices)
    (mail,) = sink.messages()
    assert mail.message()["Message-ID"] == before["message_id"]


STATES = "SELECT p.email, m.state, m.attempts FROM notice_mail m JOIN person p ON p.id = m.user_id WHERE NOT m.digest"


def urged(district: District, document: UUID) -> list[str]:
    sql = """SELECT DISTINCT p.email FROM notification n JOIN person p ON p.id = n.user_id
             WHERE n.document_id = :d AND n.kind = 'urge_reminder' ORDER BY p.email"""
    return [row["email"] for row in district.query(sql, d=document)]


def test_a_webhook_that_hangs_keeps_no_other_waiting(container: Container, district: District, at_work: At) -> None:
    with listening() as slow, listening() as quick:
        slow.hold.clear()
        for user, listener in (("ngansach2", slow), ("ngansach1", quick)):
            new = NewWebhook(url=listener.url, events=("task",), mine=True)
            with container.sessions.begin() as session:
                webhooks.create_webhook(session, new, district.user_id(user), container.clock(), loopback=True)
        for _ in range(5):
            assigned(district, {"role": "main", "user": "ngansach2"}, {"role": "co", "user": "ngansach1"})
        run(container, at_work, notify)

        async def scene() -> None:
            async with at_work(container):
                calling = asyncio.create_task(call_webhooks.fn(stay=False))
                while len(quick.heard) < 5:
                    assert not calling.done()
                    await asyncio.sleep(0.01)
                assert len(slow.heard) == 1
                slow.hold.set()
                await calling

        asyncio.run(asyncio.wait_for(scene(), 30))
        assert (len(slow.heard), len(quick.heard)) == (5, 5)
    assert district.query("SELECT 1 FROM webhook_call WHERE state <> 'delivered' OR attempts <> 1") == []


def test_a_worker_tells_by_mail_and_by_webhook_at_night_too_where_it_is_urgent(
    container: Container, district: District, sink: MailSink, tmp_path: Path
) -> None:
    container = replace(container, clock=now_utc)
    district.container = container
    log = tmp_path / "worker.log"
    with listening() as listener, worker(container, log, DOCFLOW_SMTP_URL=sink.url) as process:
        new = NewWebhook(url=listener.url, events=("urge",), mine=True)
        with container.sessions.begin() as session:
            webhooks.create_webhook(session, new, district.user_id("ngansach2"), now_utc(), loopback=True)
        document = assigned(district, urgency="flash")
        act(district, document, "chutich", "urge", grade="reminder", text="Khẩn trương")
        container.waker.wake()
        end = time.monotonic() + 60
        while not (listener.heard and sink.messages()):
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        ends_cleanly(process, log)
    assert "Khẩn trương" in listener.heard[0].body.decode()
    assert sink.messages()[0].message()["Auto-Submitted"] == "auto-generated"
