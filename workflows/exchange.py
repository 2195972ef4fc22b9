"""Exchanges documents and statuses with partners by edXML."""

import asyncio
import logging
from collections.abc import Awaitable

from prefect import flow

from docflow.adapters.edxml.write import write_message
from docflow.domain.errors import DocflowError
from docflow.domain.lifecycle import DeliveryState
from docflow.services import exchange, exchange_documents, exchange_out, outbox
from docflow.services.dispatch import Parcel
from docflow.services.exchange_out import Letter, Post, Told
from docflow.services.outbox import Event
from workflows.engine import Engine, reason, run_name, take_turns
from workflows.one_parcel import carry_one

_log = logging.getLogger(__name__)
AT_ONCE = 4
EVENTS = 50
LOOK = 15.0  # seconds between looks where no news comes; the shortest delay before another try


@flow(name="exchange", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def exchange_with_partners(stay: bool = False) -> int:
    """Queue the statuses that moves call for and send what is due. Returns how many events and messages there were."""
    return await take_turns("exchange", _turn, stay=stay, nap=LOOK)


async def _turn(engine: Engine) -> int:
    events = await engine.in_thread(_claim_events, engine)
    for event in events:
        await _progress(engine, event)
    told, letters = await engine.in_thread(_claim, engine)
    work: list[Awaitable[None]] = [engine.in_thread(_tell, engine, one) for one in told]
    work += [engine.in_thread(_carry, engine, parcel, letter) for parcel, letter in letters]
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):  # one partner's trouble is no other's; the claim comes back by itself
            _log.warning("an edXML message was interrupted and is sent again: %s", type(outcome).__name__)
    if work:
        engine.container.waker.wake()
    return len(events) + len(work)


def _claim_events(engine: Engine) -> list[Event]:
    container = engine.container
    with container.sessions.begin() as session:
        return outbox.claim(session, "exchange", engine.name, container.clock(), most=EVENTS)


async def _progress(engine: Engine, event: Event) -> None:
    try:
        await engine.in_thread(_queue, engine, event)
    except Exception as error:  # noqa: BLE001 - one document's trouble is written down and is no other's
        _log.warning("statuses of document %s could not be queued: %s", event.document_id, type(error).__name__)
        await engine.in_thread(_not_queued, engine, event, reason(error))


def _queue(engine: Engine, event: Event) -> None:
    container = engine.container
    with container.sessions.begin() as session:
        exchange.tell_progress(session, container.pictures, event.document_id, container.clock())
        outbox.done(session, engine.name, [event.id])


def _not_queued(engine: Engine, event: Event, why: str) -> None:
    container = engine.container
    with container.sessions.begin() as session:
        outbox.failed(session, engine.name, event, why, container.clock())


def _claim(engine: Engine) -> tuple[list[Told], list[tuple[Parcel, Letter]]]:
    container, now = engine.container, engine.container.clock()
    with container.sessions.begin() as session:
        told = exchange_out.claim_statuses(session, container.pictures, engine.name, now, most=AT_ONCE)
        letters = exchange_documents.claim_documents(session, container.pictures, engine.name, now, most=AT_ONCE)
        return told, letters


def _post(engine: Engine) -> Post:
    container = engine.container

    def secret(name: str) -> bytes | None:
        found = container.settings.secrets.get(name)
        return found.get_secret_value().encode() if found else None

    return Post(container.store, container.partners, write_message, secret)


def _tell(engine: Engine, told: Told) -> None:
    container = engine.container
    try:
        answer = exchange_out.send(told.letter, _post(engine), container.clock())
    except DocflowError as error:
        _log.warning("status %s: %s", told.id, error)
        with container.sessions.begin() as session:
            exchange_out.was_not_told(session, container.pictures, told, engine.name, error, engine.asked())
        return
    with container.sessions.begin() as session:
        exchange_out.was_told(session, container.pictures, told, engine.name, answer, engine.asked())


def _carry(engine: Engine, parcel: Parcel, letter: Letter) -> None:
    def send() -> tuple[DeliveryState, str]:
        return DeliveryState.SENT, exchange_out.send(letter, _post(engine), engine.container.clock())

    carry_one(engine, parcel, send)
