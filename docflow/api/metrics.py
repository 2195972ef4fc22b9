"""Counts and times of this process, and figures read from the database when somebody looks.

Each process answers for itself; the label ``process`` keeps their series apart.
"""

import os
from collections.abc import Iterator
from threading import Lock
from time import monotonic

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from docflow.db.models import Document
from docflow.db.queries.intake import by_channel_and_state, marks, newest_proofs, waiting
from docflow.services import outbox

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class FromDatabase(Collector):
    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions

    def collect(self) -> Iterator[GaugeMetricFamily]:
        waiting = GaugeMetricFamily("docflow_outbox_rows", "Rows in the outbox", labels=["topic"])
        dead = GaugeMetricFamily("docflow_outbox_dead_rows", "Rows that wait for a person", labels=["topic"])
        documents = GaugeMetricFamily("docflow_open_documents", "Open documents by state", labels=["state"])
        try:
            with self._sessions.begin() as session:
                backlog = outbox.backlog(session)
                states = session.execute(OPEN_BY_STATE).all()
        except SQLAlchemyError:
            return  # what the process itself counts is still worth telling
        for topic, (count, _, given_up) in backlog.items():
            waiting.add_metric([topic], count)
            dead.add_metric([topic], given_up)
        for state, count in states:
            documents.add_metric([state], count)
        yield from (waiting, dead, documents)


class FromLedger(Collector):
    """What came in. The whole ledger is counted anew at most for a hundredth of the time; what waits, each time."""

    SHARE = 100
    LEAST = 5.0  # seconds between counts

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions
        self._counted: list[tuple[str, str, int, int]] = []
        self._again_at = 0.0
        self._lock = Lock()

    def collect(self) -> Iterator[Metric]:
        try:
            with self._sessions.begin() as session:
                found = [*self._letters(session), *_quarantine(session), *_mailboxes(session)]
        except SQLAlchemyError:
            return
        yield from found

    def _letters(self, session: Session) -> Iterator[Metric]:
        letters = GaugeMetricFamily("docflow_intake_letters", "Letters that came in", labels=["channel", "state"])
        repeats = CounterMetricFamily("docflow_intake_repeats", "Arrivals of a known letter", labels=["channel"])
        total: dict[str, int] = {}
        for channel, state, number, repeated in self._count(session):
            letters.add_metric([channel, state], number)
            total[channel] = total.get(channel, 0) + repeated
        for channel, repeated in total.items():
            repeats.add_metric([channel], repeated)
        yield from (letters, repeats)

    def _count(self, session: Session) -> list[tuple[str, str, int, int]]:
        with self._lock:
            begun = monotonic()
            if begun >= self._again_at:
                self._counted = by_channel_and_state(session)
                self._again_at = monotonic() + max(self.LEAST, self.SHARE * (monotonic() - begun))
            return self._counted


def _quarantine(session: Session) -> Iterator[Metric]:
    number, oldest = waiting(session)
    yield GaugeMetricFamily("docflow_intake_quarantine", "Letters that wait for a clerk's decision", number)
    if oldest is not None:
        name = "docflow_intake_quarantine_oldest_timestamp_seconds"
        yield GaugeMetricFamily(name, "When the one that waits longest came in", oldest.timestamp())


def _mailboxes(session: Session) -> Iterator[Metric]:
    """An instant is worth more than an age: the watchman subtracts."""
    failing = GaugeMetricFamily("docflow_mailbox_failing", "1 while it cannot be read", labels=["mailbox"])
    looked = GaugeMetricFamily("docflow_mailbox_looked_timestamp_seconds", "The last look", labels=["mailbox"])
    agrees = GaugeMetricFamily("docflow_mailbox_agrees", "1 where the last proof agreed", labels=["mailbox"])
    for mark in marks(session):
        failing.add_metric([mark.name], int(mark.failing_since is not None))
        if mark.looked_at is not None:
            looked.add_metric([mark.name], mark.looked_at.timestamp())
    for proof in newest_proofs(session):
        agrees.add_metric([proof.mailbox], int(proof.agreed))
    yield from (failing, looked, agrees)


OPEN_BY_STATE = select(Document.state, func.count()).where(Document.ended_at.is_(None)).group_by(Document.state)


class Metrics:
    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._process = str(os.getpid())
        self._requests = Counter(
            "docflow_http_requests",
            "Requests answered",
            ["process", "method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "docflow_http_seconds",
            "Time to answer",
            ["process", "method", "route"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._registry.register(FromDatabase(sessions))
        self._registry.register(FromLedger(sessions))

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(self._process, method, route, str(status)).inc()
        self._seconds.labels(self._process, method, route).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)
