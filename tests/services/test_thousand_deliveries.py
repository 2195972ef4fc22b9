"""A thousand deliveries to a server that refuses, defers, delays, drops, duplicates and reports.

Two workers carry them; what we say of each in the end is what the server saw."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest

from docflow.bootstrap import Container
from tests.conftest import Clock, District
from tests.correspondence import Post, posting
from tests.moves import whole
from tests.trouble_sink import REPORTED, TroubleSink
from workflows.deliver import deliver
from workflows.engine import Engine

SIZES = (300, 300, *[60] * 5, *[1] * 100)
KINDS = (
    *["ok"] * 12,
    *("no", "content", "later", "later", "cut", "gone", "slow", "there", "there", "back", "twice", "mute", "never"),
)
EVENTS = "SELECT delivery_id, kind, detail FROM delivery_event ORDER BY id"
MAY_HAVE_ARRIVED = "may have arrived"


@pytest.fixture
def post(district: District, tmp_path: Path) -> Iterator[Post]:
    with posting(district, tmp_path) as post:
        yield post


def test_a_thousand_deliveries_end_in_the_state_the_server_saw(post: Post, clock: Clock) -> None:
    kinds = cycle(KINDS)
    with TroubleSink() as sink:
        number = 0
        for size in SIZES:
            names = islice(kinds, size)
            post.dispatched(*(f"{kind}-{number + i}@tinh.example" for i, kind in enumerate(names)))
            number += size
        carried(post, sink, clock)
    deliveries = post.district.query("SELECT * FROM delivery WHERE kind = 'document'")
    assert len(deliveries) == number == sum(SIZES)
    truth = seen_by(sink)
    wrong = {d["address"]: (d["state"], truth[d["address"]]) for d in deliveries if d["state"] != truth[d["address"]]}
    assert wrong == {}
    assert {d["state"] for d in deliveries} == {"sent", "delivered", "bounced", "refused", "failed"}
    each_handing_over_is_on_record(post, sink, deliveries)
    every_document_is_closed_but_where_a_clerk_is_waited_for(post, deliveries)
    whole(post.district)


def carried(post: Post, sink: TroubleSink, clock: Clock) -> None:
    """Round after round, hours apart, until nothing is queued; what the server reports is taken in between."""
    container = post.district.container
    settings = container.settings.model_copy(update={"smtp_url": sink.url})
    for _ in range(10):
        asyncio.run(two_workers(replace(container, settings=settings)))
        while sink.reports:
            assert post.take(sink.reports.pop(0)).state in ("linked", "duplicate")
        if not post.district.query("SELECT 1 FROM delivery WHERE state = 'queued' LIMIT 1"):
            return
        clock.pass_time(hours=5)
    raise AssertionError("deliveries are queued for ever")


async def two_workers(container: Container) -> None:
    async def work() -> None:
        async with Engine(container).at_work():
            await deliver.fn(stay=False)

    await asyncio.gather(work(), work())


def seen_by(sink: TroubleSink) -> dict[str, str]:
    """By address, the state that follows from what the server did last, and from what it reported of it."""
    states: dict[str, str] = {}
    for done in sink.log:
        state = {"refused": "refused", "deferred": "failed", "cut off": "failed"}.get(done.befell, "sent")
        reported = {"delivered": "delivered", "failed": "bounced"}.get(REPORTED.get(done.kind, ""), state)
        states[done.recipient] = reported if state == "sent" else state
    return states


def each_handing_over_is_on_record(post: Post, sink: TroubleSink, deliveries: list[Any]) -> None:
    """As often as the server was given a mail, its delivery has an attempt that says what came of it."""
    events: defaultdict[Any, list[Any]] = defaultdict(list)
    for event in post.district.query(EVENTS):
        events[event["delivery_id"]].append(event)
    seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
    ids: defaultdict[str, set[str]] = defaultdict(set)
    for done in sink.log:
        seen[done.recipient][done.befell] += 1
        ids[done.recipient] |= {done.message_id} - {""}
    for delivery in deliveries:
        told, saw = events[delivery["id"]], seen[delivery["address"]]
        count = Counter(e["kind"] for e in told)
        unanswered = sum(MAY_HAVE_ARRIVED in e["detail"] for e in told if e["kind"] in ("deferred", "failed"))
        assert ids[delivery["address"]] <= {delivery["message_id"]}, "a repeat is the same mail"
        assert (count["sent"], count["refused"]) == (saw["taken"], saw["refused"]), delivery["address"]
        assert unanswered == saw["taken unanswered"], delivery["address"]
        assert count["attempt"] >= saw.total(), "a closing server takes an attempt of which it sees nothing"
        assert count["attempt"] == count["sent"] + count["refused"] + count["deferred"] + count["failed"]
    twice = {d["message_id"] for d in deliveries if d["address"].startswith("twice-")}
    assert all(Counter(sink.passed_on)[one] == 2 for one in twice)


def every_document_is_closed_but_where_a_clerk_is_waited_for(post: Post, deliveries: list[Any]) -> None:
    waiting = {d["document_id"] for d in deliveries if d["state"] == "failed"}
    states = {d: post.district.row(d)["state"] for d in {d["document_id"] for d in deliveries}}
    assert states == {d: "dispatch" if d in waiting else "closed" for d in states}
