"""Once a minute: compare the database with itself and with Prefect, and repair what fell between two commits."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect import flow

from docflow.db.queries.signing_sessions import expire_sessions
from docflow.domain.errors import DocflowError
from docflow.services import dispatch, recalculation, sweep
from workflows.engine import Engine, attempt, here, run_name

_log = logging.getLogger(__name__)
EVERY = 60.0
OWN_FLOWS = [
    *("router", "deliver", "render", "index", "recognise", "escalate", "notify", "mail_notices", "call_webhooks"),
    *("exchange", "intake_folder", "intake_mailbox", "hand_out", "verify", "retain", "renew", "sweep"),
]
_NAMED = "on "


@dataclass(slots=True)
class _Place:
    """Where the next look for stranded documents goes on."""

    after: UUID = sweep.START


@dataclass(frozen=True, slots=True)
class Swept:
    freed: int
    driven: int
    closed: int
    mirrored: int
    runs: int
    recalculated: int
    expired: int

    @property
    def total(self) -> int:
        return self.freed + self.driven + self.closed + self.mirrored + self.runs + self.recalculated + self.expired


@flow(name="sweep", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def sweep_once() -> int:
    """Returns how much had to be repaired."""
    async with here() as engine:
        return await sweep_all(engine, _Place())


async def keep_sweeping(engine: Engine) -> None:
    """Until the worker stops. No run of its own a minute: that would bury what there is to see."""
    place = _Place()
    while not engine.stopping:
        await attempt("sweep", sweep_all(engine, place))
        await engine.rest(EVERY)


async def sweep_all(engine: Engine, place: _Place) -> int:
    freed = await engine.in_thread(_free, engine)
    driven = await engine.in_thread(_drive, engine, place)
    closed = await engine.in_thread(_close, engine)
    mirrored = await engine.in_thread(_mirror, engine) if engine.prefect else 0
    runs = await engine.in_thread(close_stranded_runs, engine) if engine.alive else 0
    recalculated = await engine.in_thread(_recalculate, engine)
    expired = await engine.in_thread(_expire, engine)
    swept = Swept(freed, driven, closed, mirrored, runs, recalculated, expired)
    if swept.total:
        _log.warning("swept: %s", swept)
        engine.container.waker.wake()
    return swept.total


def _free(engine: Engine) -> int:
    container = engine.container
    with container.sessions.begin() as session:
        now = container.clock()
        return sweep.free_claims(session, now) + sweep.hasten(session, now)


def _drive(engine: Engine, place: _Place) -> int:
    container = engine.container
    with container.sessions.begin() as session:
        found = sweep.drive_stranded(session, container.pictures, container.clock(), place.after)
    place.after = found.after
    return found.driven


def _close(engine: Engine) -> int:
    container = engine.container
    with container.sessions() as session:
        found = sweep.unclosed(session)
    return sum(_close_one(engine, document_id) for document_id in found)


def _close_one(engine: Engine, document_id: UUID) -> bool:
    container = engine.container
    try:
        with container.sessions.begin() as session:
            return dispatch.close_when_settled(session, container.pictures, document_id, engine.asked()) is not None
    except DocflowError as error:
        _log.warning("document %s could not be closed: %s", document_id, error)
        return False


def _mirror(engine: Engine) -> int:
    container = engine.container
    with container.sessions.begin() as session:
        return sweep.requeue_mirror(session, container.clock())


def _expire(engine: Engine) -> int:
    """Signatures that were prepared and never came."""
    container = engine.container
    with container.sessions.begin() as session:
        return expire_sessions(session, container.clock())


def _recalculate(engine: Engine) -> int:
    """Deadlines that a calendar's interrupted application left behind. Returns how many batches there were."""
    container = engine.container
    with container.sessions.begin() as session:
        more = recalculation.wanted(session, container.pictures)
    batches = 0
    while more and not engine.stopping:
        with container.sessions.begin() as session:
            more = recalculation.recalculate_some(session, container.pictures, engine.asked())
        batches += more
    return batches


def close_stranded_runs(engine: Engine, grace: timedelta = sweep.GRACE) -> int:
    """Close runs that a killed worker left ``Running``, and own ones that ended while Prefect was away.

    A run is alive while its worker holds its lock in the database. The documents' runs are not touched: they are
    ``Running`` by design.
    """
    assert engine.prefect is not None, "asked for only while Prefect is alive"
    closed = 0
    settled = datetime.now(UTC) - grace  # Prefect's times are the wall clock's
    for run_id, name in engine.prefect.unfinished(OWN_FLOWS, settled):
        if _stranded(engine, run_id, name):
            engine.prefect.crashed(run_id, "its worker is gone")
            closed += 1
    return closed


def _stranded(engine: Engine, run_id: UUID, name: str) -> bool:
    if not name.startswith(_NAMED):
        return False
    worker = name.removeprefix(_NAMED)
    if worker == engine.name:
        return str(run_id) not in engine.runs.values()
    with engine.container.sessions.begin() as session:
        return sweep.worker_is_gone(session, worker)
