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
from sqlalchemy.orm import Session

from docflow.bench import herd, router
from docflow.bench.bed import Bed
from docflow.bootstrap import Container, build, now_utc
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
    scans = _scans(bed, container, model)
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
Look = Callable[[Session], object]
LOOKS: dict[str, Look] = {
    "when the next one is due": next_fire,
    f"claiming {BATCH} that are due": lambda session: raw(session).execute(DUE, (now_utc(), BATCH)).fetchall(),
}


def _scans(bed: Bed, container: Container, model: UUID) -> Table:
    """The same look, turn by turn, in a database with ten thousand open clocks and in one with a million."""
    far = now_utc() + timedelta(days=30)
    small = _twin(bed, container)
    for herded, count in ((small, SMALL), (container, LARGE)):
        herd.graze(herded, model, count // EACH, far, timedelta(days=60) / (count // EACH), EACH)
        herd.graze(herded, model, BATCH, now_utc() - timedelta(seconds=1))
    found = {name: _compared(small, container, look) for name, look in LOOKS.items()}
    for herded in (small, container):
        herd.stop(herded, "<=", now_utc())
    found["looking where nothing is due"] = _compared(small, container, LOOKS[f"claiming {BATCH} that are due"])
    small.close()
    herd.stop(container, ">=", far)
    table = Table(title="Looking for what is due, median milliseconds", title_justify="left")
    for column in ("what", f"{SMALL:,} open", f"{LARGE:,} open", "ratio", "goal"):
        table.add_column(column)
    for name, (few, many) in found.items():
        table.add_row(name, f"{few:.3f}", f"{many:.3f}", f"{many / few:.2f}", "≤ 1.5")
    return table


def _twin(bed: Bed, container: Container) -> Container:
    """A copy of the database as it is, on the same server."""
    container.close()
    with psycopg.connect(f"{_plain(bed).rpartition('/')[0]}/postgres", autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS twin")
        connection.execute("CREATE DATABASE twin TEMPLATE docflow")
    url = f"{bed.settings.database_url.rpartition('/')[0]}/twin"
    return build(bed.settings.model_copy(update={"database_url": url}), name="bench-twin")


def _compared(
    few: Container, many: Container, look: Callable[[Session], object], times: int = 60
) -> tuple[float, float]:
    times_few, times_many = [], []
    for _ in range(times):
        times_few.append(_timed(few, look))
        times_many.append(_timed(many, look))
    return median(times_few[5:]), median(times_many[5:])


def _timed(container: Container, look: Look) -> float:
    """Milliseconds; nothing is kept."""
    with container.sessions() as session:
        session.connection()
        began = time.perf_counter()
        look(session)
        passed = time.perf_counter() - began
        session.rollback()
    return passed * 1000
