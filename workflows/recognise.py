"""Reads scanned pages, one file at a time. Where the reader is not installed, what waits goes on waiting."""

import logging

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from docflow.services import outbox, recognition
from docflow.services.full_text import CurrentFile
from docflow.services.outbox import Event
from workflows.engine import Engine, current, discreet, run_name, take_turns
from workflows.file_events import claim, work_off

_log = logging.getLogger(__name__)
LOOK = 15.0  # seconds between looks where no news comes


@flow(name="recognise", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def recognise(stay: bool = False) -> int:
    """Read the pages that wait. Returns how many documents were looked at."""
    return await take_turns("recognise", _Turn(), stay=stay, nap=LOOK)


class _Turn:
    """One shift's turns: what is missing is said once in it, and only where somebody waits for it."""

    def __init__(self) -> None:
        self._said = ""

    async def __call__(self, engine: Engine) -> int:
        lacking = await engine.in_thread(engine.container.recogniser.lacks)
        if lacking:
            await self._say(engine, lacking)
            return 0
        events = await engine.in_thread(claim, engine, "recognise", 1)
        for event in events:
            await _recognise(engine, event)
        return len(events)

    async def _say(self, engine: Engine, lacking: str) -> None:
        if lacking != self._said and await engine.in_thread(_waiting, engine):
            _log.warning("scanned pages wait to be read: %s", lacking)
            self._said = lacking


def _waiting(engine: Engine) -> bool:
    with engine.container.sessions.begin() as session:
        return "recognise" in outbox.backlog(session)


async def _recognise(engine: Engine, event: Event) -> None:
    async def one(file: CurrentFile) -> None:
        await engine.call(recognise_one, file, event)

    await work_off(engine, event, recognition.unread, one, "read")


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="recognise {file.sha256}")
async def recognise_one(file: CurrentFile, event: Event) -> str:
    """Returns why nothing was read, empty where something was."""
    engine = current()
    with discreet():
        return await engine.in_thread(_read, engine, file, event)


def _read(engine: Engine, file: CurrentFile, event: Event) -> str:
    container = engine.container

    def keep() -> None:
        with container.sessions.begin() as session:
            outbox.renew(session, engine.name, event, container.clock())

    found = recognition.read(container.store, container.recogniser, file, keep)
    if found is None:
        return "it has text of its own"
    with container.sessions.begin() as session:
        recognition.record(session, file, found, container.clock())
    return found.reason
