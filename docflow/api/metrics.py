"""Counts and times of this process, and figures read from the database when somebody looks.

Each process answers for itself; the label ``process`` keeps their series apart.
"""

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from docflow.db.models import Document
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

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(self._process, method, route, str(status)).inc()
        self._seconds.labels(self._process, method, route).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)
