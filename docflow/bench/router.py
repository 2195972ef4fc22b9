"""From a committed move to the next automatic state, through a real worker with a real Prefect server."""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from statistics import quantiles
from uuid import UUID

import psutil
from sqlalchemy import text

from docflow.bench.bed import Bed
from docflow.bootstrap import Container

PATIENCE = 180.0
MOVED = text("SELECT state <> 'assign' FROM document WHERE id = :id")
LEFT = text("SELECT count(*) FROM outbox WHERE topic = 'advance'")
SPAN = text(
    """
SELECT count(*), extract(epoch FROM max(h.at) - min(h.at))
FROM history h WHERE h.action = 'assign' AND h.document_id = ANY(:ids)
"""
)


@contextlib.contextmanager
def worker(bed: Bed) -> Iterator[psutil.Process]:
    """``docflow worker`` as it is run in earnest."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryFile() as log:
        env = {**inherited, **bed.environment, "PREFECT_HOME": home}
        argv = [sys.executable, "-m", "docflow.cli", "worker"]
        process = subprocess.Popen(argv, env=env, stdout=log, stderr=log)
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(timeout=60)


def drain(container: Container) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with container.sessions() as session:
            if not session.scalar(LEFT):
                return
        time.sleep(0.1)
    raise RuntimeError("the worker does not come to an end of its work")


def light(bed: Bed, container: Container, count: int, pause: float) -> tuple[float, float]:
    """Seconds from commit to next state, p50 and p95, one document at a time."""
    waits = []
    for index in range(count):
        time.sleep(pause)
        waits.append(_one(bed, container, index))
    cuts = quantiles(waits, n=20)
    return cuts[9], cuts[18]


def _one(bed: Bed, container: Container, index: int) -> float:
    document = bed.draft(container, index)
    container.waker.wake()
    began = time.perf_counter()
    while time.perf_counter() - began < PATIENCE:
        with container.engine.connect() as connection:
            if connection.execute(MOVED, {"id": document}).scalar():
                return time.perf_counter() - began
        time.sleep(0.004)
    raise RuntimeError("the router did not move the document")


def backlog(container: Container, documents: list[UUID]) -> float:
    """Moves a second while the worker works off what had gathered before it was started."""
    drain(container)
    with container.sessions() as session:
        count, seconds = session.execute(SPAN, {"ids": documents}).one()
    return float(count) / float(seconds)


def run_per_move(bed: Bed, container: Container, documents: list[UUID]) -> float:
    """The peer: a Prefect flow run for each move, eight at a time, on the same server."""
    os.environ["PREFECT_API_URL"] = bed.environment["DOCFLOW_PREFECT_API_URL"]
    os.environ |= {"PREFECT_LOGGING_LEVEL": "WARNING", "PREFECT_LOGGING_TO_API_ENABLED": "false"}
    return asyncio.run(_run_per_move(container, documents))


async def _run_per_move(container: Container, documents: list[UUID]) -> float:
    from prefect import flow

    from docflow.services import stages
    from docflow.services.asked import Asked

    def step(document: UUID) -> None:
        with container.sessions.begin() as session:
            stages.assign_stage(session, container.pictures, document, Asked(container.clock(), "flow"))

    @flow(name="one-move", log_prints=False)
    async def one_move(document_id: str) -> None:
        await asyncio.to_thread(step, UUID(document_id))

    gate = asyncio.Semaphore(8)

    async def gated(document: UUID) -> None:
        async with gate:
            await one_move(str(document))

    await gated(documents[0])
    began = time.perf_counter()
    await asyncio.gather(*(gated(d) for d in documents[1:]))
    return (len(documents) - 1) / (time.perf_counter() - began)
