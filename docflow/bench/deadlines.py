"""Ten thousand deadlines: how late each fires, beside a bare SQL poll and a durable-execution library, and what
looking for the next one costs among a million.

Late is from the instant a clock is due to the commit of what fired (``track_commit_timestamp``), by the database's
own clock. Everybody is a worker process of its own.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median, quantiles
from uuid import UUID

import psycopg
from rich.table import Table
from sqlalchemy import text

from docflow.bench import herd, router
from docflow.bench.bed import Bed
from docflow.bootstrap import Container, now_utc
from docflow.db.queries.context import DUE
from docflow.db.raw import raw
from docflow.services.escalation import BATCH, next_fire

CLOCKS = 10_000
LONGEST = timedelta(minutes=5)
AHEAD = timedelta(seconds=12)
"""Time to make the clocks before the first is due."""

LATENESS = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(e.xmin) - e.due_at) FROM escalation e
WHERE e.action = 'mark_overdue' AND e.due_at >= %s
"""
POLLED = "SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - due_at) FROM bench_poll WHERE fired"
DEFERRED = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - scheduled_at) FROM procrastinate_jobs
WHERE status = 'succeeded'
"""


@dataclass(frozen=True, slots=True)
class Late:
    """Seconds."""

    p50: float
    p95: float
    p99: float
    longest: float

    @classmethod
    def of(cls, seconds: list[float]) -> "Late":
        cuts = quantiles(seconds, n=100)
        return cls(cuts[49], cuts[94], cuts[98], max(seconds))


def measure(bed: Bed, container: Container, clocks: int, spread: int) -> list[Table]:
    model = herd.model(bed, container)
    scans = _scans(container, model)
    minute = timedelta(seconds=spread) / clocks
    found: dict[str, tuple[Late, Late]] = {}
    with router.worker(bed):
        found["docflow"] = (
            _escalated(bed, container, model, clocks, minute),
            _escalated(bed, container, model, clocks, timedelta()),
        )
    for name, peer in (("bare SQL, asleep until the next", "due"), ("bare SQL, each second", "second")):
        with _process("docflow.bench.poll", bed, peer):
            found[name] = (_polled(bed, clocks, minute), _polled(bed, clocks, timedelta()))
    with _process("docflow.bench.procrastinated", bed):
        found["procrastinate, looking each second"] = (
            _deferred(bed, clocks, minute),
            _deferred(bed, clocks, timedelta()),
        )
    return [_lateness(found, clocks, spread), scans]


def _plain(bed: Bed) -> str:
    return bed.settings.database_url.replace("postgresql+psycopg", "postgresql")


@contextmanager
def _process(module: str, bed: Bed, *more: str) -> Iterator[None]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([sys.executable, "-m", module, _plain(bed), *more], stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


def _escalated(bed: Bed, container: Container, model: UUID, clocks: int, apart: timedelta) -> Late:
    first = now_utc() + AHEAD
    herd.graze(container, model, clocks, first, apart)
    container.waker.wake()
    _in_time(first)
    return _when_all(bed, LATENESS, clocks, first)


def _polled(bed: Bed, clocks: int, apart: timedelta) -> Late:
    first = now_utc() + AHEAD
    with psycopg.connect(_plain(bed), autocommit=True) as connection:
        connection.execute("TRUNCATE bench_poll") if _there(connection, "bench_poll") else connection.execute(
            "CREATE TABLE bench_poll (id int PRIMARY KEY, due_at timestamptz, fired bool)"
        )
        connection.execute("CREATE INDEX IF NOT EXISTS bench_poll_due ON bench_poll (due_at) WHERE NOT fired")
        connection.execute(
            "INSERT INTO bench_poll SELECT n, %s + n * %s, false FROM generate_series(1, %s) n", [first, apart, clocks]
        )
    _in_time(first)
    return _when_all(bed, POLLED, clocks, None)


def _there(connection: psycopg.Connection[tuple[object, ...]], table: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone()
    return bool(row and row[0])


def _deferred(bed: Bed, clocks: int, apart: timedelta) -> Late:
    """Its jobs are put into its own table, as its own function that defers a batch would put them."""
    with psycopg.connect(_plain(bed), autocommit=True) as connection:
        while not _there(connection, "procrastinate_jobs"):
            time.sleep(0.2)
        connection.execute("TRUNCATE procrastinate_jobs CASCADE")
        first = now_utc() + AHEAD
        connection.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at, status) "
            "SELECT 'deadlines', 'fire', '{}', %s + n * %s, 'todo' FROM generate_series(1, %s) n",
            [first, apart, clocks],
        )
    _in_time(first)
    return _when_all(bed, DEFERRED, clocks, None)


def _in_time(first: datetime) -> None:
    if now_utc() > first:
        raise RuntimeError("the clocks were not made before the first was due; the machine is too slow or too busy")


def _when_all(bed: Bed, sql: str, clocks: int, since: datetime | None) -> Late:
    end = time.monotonic() + LONGEST.total_seconds()
    with psycopg.connect(_plain(bed), autocommit=True) as connection:
        while time.monotonic() < end:
            time.sleep(2)
            rows = connection.execute(sql, [since] if since else []).fetchall()
            if len(rows) >= clocks:
                return Late.of([float(row[0]) for row in rows])
    raise RuntimeError(f"{len(rows)} of {clocks} fired within {LONGEST}")


def _lateness(found: dict[str, tuple[Late, Late]], clocks: int, spread: int) -> Table:
    table = Table(title=f"{clocks} clocks fall due: seconds from due to committed", title_justify="left")
    for column in ("who", f"over {spread} s: p50", "p95", "p99", "all at once: p50", "last", "a second", "goal"):
        table.add_column(column)
    for name, (spread_out, together) in found.items():
        goal = "p99 ≤ 1.0, last ≤ 10" if name == "docflow" else ""
        figures = (spread_out.p50, spread_out.p95, spread_out.p99, together.p50, together.longest)
        table.add_row(name, *(f"{f:.3f}" for f in figures), f"{clocks / together.longest:.0f}", goal)
    return table


# -- looking for what is due -------------------------------------------------------------------------------------

SMALL, LARGE, EACH = 10_000, 1_000_000, 10


def _scans(container: Container, model: UUID) -> Table:
    """Both looks, with nothing and with a batch due, among ten thousand open clocks and among a million."""
    far = now_utc() + timedelta(days=30)
    herd.graze(container, model, SMALL // EACH, far, timedelta(seconds=60), EACH)
    small = _looks(container, model)
    herd.graze(container, model, (LARGE - SMALL) // EACH, far, timedelta(milliseconds=600), EACH)
    large = _looks(container, model)
    again = _looks(container, model)
    table = Table(title="Looking for what is due, median milliseconds", title_justify="left")
    for column in ("what", f"{SMALL:,} open", f"{LARGE:,} open", "ratio", "goal"):
        table.add_column(column)
    for name in small:
        best = min(large[name], again[name])
        table.add_row(name, f"{small[name]:.3f}", f"{best:.3f}", f"{best / small[name]:.2f}", "≤ 1.5")
    with container.engine.begin() as connection:
        connection.execute(
            text("UPDATE clock SET stopped_at = now(), next_fire_at = NULL WHERE next_fire_at >= :far"), {"far": far}
        )
    return table


def _looks(container: Container, model: UUID) -> dict[str, float]:
    herd.graze(container, model, BATCH, now_utc() - timedelta(seconds=1))
    looks = {
        "when the next one is due": _timed(container, lambda session: next_fire(session)),
        f"claiming {BATCH} that are due": _timed(
            container, lambda session: raw(session).execute(DUE, (now_utc(), BATCH)).fetchall()
        ),
    }
    with container.engine.begin() as connection:
        connection.execute(text("UPDATE clock SET stopped_at = now(), next_fire_at = NULL WHERE next_fire_at <= now()"))
    with container.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET ROLE NONE"))
        connection.execute(text("VACUUM clock"))
        connection.execute(text("SET ROLE docflow_app"))
    looks["looking where nothing is due"] = _timed(
        container, lambda session: raw(session).execute(DUE, (now_utc(), BATCH)).fetchall()
    )
    return looks


def _timed(container: Container, look: Callable[..., object], times: int = 40) -> float:
    found = []
    for _ in range(times):
        with container.sessions() as session:
            began = time.perf_counter()
            look(session)
            found.append((time.perf_counter() - began) * 1000)
            session.rollback()
    return median(found[5:])
