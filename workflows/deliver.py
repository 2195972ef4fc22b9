"""Carries deliveries to their recipients, one recipient at a time; tried again with growing delays."""

import asyncio
import logging

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from sqlalchemy.orm import Session

from docflow.bootstrap import Container
from docflow.domain.errors import DocflowError
from docflow.domain.lifecycle import DeliveryState
from docflow.services import dispatch
from docflow.services.carry import House, carry, end_of
from docflow.services.dispatch import Parcel
from workflows.engine import Engine, current, discreet, reason, run_name, take_turns

_log = logging.getLogger(__name__)
AT_ONCE = 4
LOOK = 15.0  # seconds between looks where no news comes; the shortest delay before another try


@flow(name="deliver", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def deliver(stay: bool = False) -> int:
    """Carry what is due. Returns how many deliveries were tried."""
    return await take_turns("deliver", _turn, stay=stay, nap=LOOK)


async def _turn(engine: Engine) -> int:
    if not engine.container.settings.smtp_url:
        return 0
    house, parcels = await engine.in_thread(_claim, engine)
    if parcels:
        await asyncio.gather(*(_deliver(engine, house, parcel) for parcel in parcels))
        engine.container.waker.wake()
    return len(parcels)


def _claim(engine: Engine) -> tuple[House, list[Parcel]]:
    container = engine.container
    with container.sessions.begin() as session:
        house = _house(session, container)
        return house, dispatch.claim(session, engine.name, container.clock(), most=AT_ONCE)


def _house(session: Session, container: Container) -> House:
    configuration = container.pictures.newest(session)[1]
    agency = configuration.agency
    return House(
        agency.name,
        container.settings.mail_from or agency.email,
        address_key=container.address_key,
        plus_addressing=configuration.intake.plus_addressing,
        zone=container.pictures.current_calendars(session)[1].for_units().zone,
    )


async def _deliver(engine: Engine, house: House, parcel: Parcel) -> None:
    _parcels[str(parcel.id)] = (house, parcel)
    try:
        await engine.call(deliver_one, str(parcel.id))
    except Exception as error:  # noqa: BLE001 - one recipient's trouble is no other's; the claim comes back by itself
        _log.warning("delivery %s was interrupted and is tried again: %s", parcel.id, reason(error))
    finally:
        _parcels.pop(str(parcel.id), None)


_parcels: dict[str, tuple[House, Parcel]] = {}
"""What the tasks carry: Prefect is told the id only, never an address or a subject."""


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="delivery {delivery}")
async def deliver_one(delivery: str) -> str:
    """Returns the delivery's state afterwards."""
    engine = current()
    house, parcel = _parcels[delivery]
    with discreet():
        return await engine.in_thread(_carry, engine, house, parcel)


def _carry(engine: Engine, house: House, parcel: Parcel) -> str:
    container = engine.container
    try:
        answer = carry(parcel, house, container.mailer, container.store)
    except DocflowError as error:
        _log.warning("delivery %s: %s", parcel.id, error)
        return _failed(engine, parcel, error)
    return _settle(engine, parcel, DeliveryState.SENT, answer)


def _settle(engine: Engine, parcel: Parcel, state: DeliveryState, answer: str) -> str:
    container = engine.container
    with container.sessions.begin() as session:
        dispatch.settle(session, container.pictures, parcel, engine.name, state, answer, engine.asked())
    return state.value


def _failed(engine: Engine, parcel: Parcel, error: DocflowError) -> str:
    container = engine.container
    state = end_of(error, tries_left=parcel.attempts < dispatch.MOST_ATTEMPTS)
    if state is not None:
        return _settle(engine, parcel, state, error.message)
    with container.sessions.begin() as session:
        dispatch.try_later(session, parcel, engine.name, error.message, container.clock())
    return DeliveryState.QUEUED.value
