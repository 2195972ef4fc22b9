"""Carries deliveries to their recipients, each by itself; tried again with growing delays.

They are claimed by the score and go in rounds. What came of them is written as soon as it is known, that of one
document's recipients together where several are known at once: the document is locked and moved once.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID, uuid4

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from docflow.bootstrap import Container
from docflow.domain.errors import DocflowError
from docflow.domain.lifecycle import DeliveryState
from docflow.services import dispatch
from docflow.services.carry import House, Pouch, carry, end_of
from docflow.services.dispatch import Outcome
from docflow.services.parcels import ACKNOWLEDGE, Parcel
from docflow.services.soundness import Soundness
from workflows.engine import Engine, current, discreet, reason, run_name, take_turns

_log = logging.getLogger(__name__)
AT_ONCE = 6
"""Mails on their way at the same time, each over a connection of its own."""
ROUND = 48
MOST_IN_HAND, FEWEST = 2 * ROUND, 16
"""Claimed and not yet settled; a round is not begun for fewer places than ``FEWEST``."""
LOOK = 15.0  # seconds between looks where no news comes; the shortest delay before another try
PATIENCE = 60  # seconds for the database to come back
LATEST = dispatch.LEASE.total_seconds() * 0.6
"""Seconds after the claim when nothing of it is begun any more: a server may take minutes, and the lease must last."""


@flow(name="deliver", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def deliver(stay: bool = False) -> int:
    """Carry what is due. Returns how many deliveries were tried."""
    hands = _Hands()
    try:
        return await take_turns("deliver", hands.turn, stay=stay, nap=LOOK)
    finally:
        await asyncio.gather(*hands.rounds, return_exceptions=True)


@dataclass(slots=True)
class _Hands:
    """What one run of the flow has in hand: one slow server keeps a place, and nobody waiting."""

    rounds: dict[asyncio.Task[None], int] = field(default_factory=dict)
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    sound: Soundness | None = None

    async def turn(self, engine: Engine) -> int:
        if not engine.container.settings.smtp_url:
            return 0
        self.sound = self.sound or soundness(engine.container)
        while True:
            ticket = engine.bell.ticket()
            free = MOST_IN_HAND - sum(self.rounds.values())
            begin = partial(_begin, engine, self.sound, self.gate, min(free, ROUND))
            if free >= FEWEST and (begun := await engine.in_thread(begin)):
                self.rounds[asyncio.create_task(_go(engine, begun))] = len(begun.parcels)
                return len(begun.parcels)
            if not self.rounds:
                return 0
            await self._news(engine, ticket)

    async def _news(self, engine: Engine, ticket: asyncio.Event) -> None:
        """Until a round is over or something was committed."""
        bell = asyncio.create_task(engine.bell.wait(ticket, LOOK))
        over, _ = await asyncio.wait({bell, *self.rounds}, return_when=asyncio.FIRST_COMPLETED)
        bell.cancel()
        for one in over - {bell}:
            self.rounds.pop(one)


@dataclass(slots=True)
class _Round:
    """``claimed`` is when, by ``time.monotonic``; ``known`` is what came of each parcel, None where nobody knows."""

    house: House
    parcels: list[Parcel]
    pouch: Pouch
    gate: asyncio.Semaphore
    claimed: float
    known: asyncio.Queue[Outcome | Parcel | None] = field(default_factory=asyncio.Queue)


def _begin(engine: Engine, sound: Soundness, gate: asyncio.Semaphore, most: int) -> _Round | None:
    container, claimed = engine.container, time.monotonic()
    with container.sessions.begin() as session:
        parcels = dispatch.claim(session, engine.name, container.clock(), most=most)
        house = _house(session, container) if parcels else None
    return _Round(house, parcels, Pouch(container.store, sound.require), gate, claimed) if house else None


def _house(session: Session, container: Container) -> House:
    configuration = container.pictures.newest(session)[1]
    agency, intake = configuration.agency, configuration.intake
    return House(
        agency.name,
        container.settings.mail_from or agency.email,
        address_key=container.address_key,
        plus_addressing=intake.plus_addressing,
        zone=container.pictures.current_calendars(session)[1].for_units().zone,
        read_receipts=intake.read_receipts,
    )


def soundness(container: Container) -> Soundness:
    return Soundness(container.sessions, container.verifier, container.trust)


async def _go(engine: Engine, begun: _Round) -> None:
    name = uuid4().hex[:12]
    _rounds[name] = begun
    try:
        await engine.call(carry_round, name)
    except Exception as error:  # noqa: BLE001 - what is unsettled comes back by itself when its claim is over
        _log.warning("a round of %d deliveries was interrupted: %s", len(begun.parcels), reason(error))
    finally:
        _rounds.pop(name)
        begun.pouch.close()
    engine.container.waker.wake()


_rounds: dict[str, _Round] = {}
"""What the tasks carry: Prefect is told a name only, never an address or a subject."""


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="round {name}")
async def carry_round(name: str) -> int:
    """Returns how many deliveries it had."""
    engine, begun = current(), _rounds[name]
    with discreet():
        await asyncio.gather(_settle(engine, begun), *(_carried(engine, begun, parcel) for parcel in begun.parcels))
    return len(begun.parcels)


async def _carried(engine: Engine, begun: _Round, parcel: Parcel) -> None:
    known: Outcome | Parcel | None = None
    try:
        async with begun.gate:
            in_time = time.monotonic() - begun.claimed < LATEST and not engine.stopping
            known = await engine.in_thread(_carry, engine, begun, parcel) if in_time else parcel
    except Exception as error:  # noqa: BLE001 - one recipient's trouble is no other's; the claim comes back by itself
        _log.warning("delivery %s was interrupted and is tried again: %s", parcel.id, reason(error))
    begun.known.put_nowait(known)


def _carry(engine: Engine, begun: _Round, parcel: Parcel) -> Outcome:
    try:
        answer = carry(parcel, begun.house, engine.container.mailer, begun.pouch)
    except DocflowError as error:
        _log.warning("delivery %s: %s", parcel.id, error)
        state = end_of(error, tries_left=parcel.attempts < dispatch.MOST_ATTEMPTS)
        return Outcome(parcel, state, error.message)
    return Outcome(parcel, DeliveryState.SENT, answer)


async def _settle(engine: Engine, begun: _Round) -> None:
    """Write what came of them, whatever is known at a time together, until all are accounted for."""
    left = len(begun.parcels)
    while left:
        found = [await begun.known.get()]
        while not begun.known.empty():
            found.append(begun.known.get_nowait())
        left -= len(found)
        ended = [k for k in found if isinstance(k, Outcome) and k.state is not None]
        groups = _by_document(ended)
        await asyncio.gather(*(_until_written(engine, partial(_settled, engine, group)) for group in groups))
        if put_back := [k for k in found if k is not None and k not in ended]:
            await _until_written(engine, partial(_put_back, engine, put_back))


def _by_document(outcomes: list[Outcome]) -> list[list[Outcome]]:
    """A receipt for what came in is another thing than what we send."""
    groups: defaultdict[tuple[UUID, bool], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.parcel.document_id, outcome.parcel.kind == ACKNOWLEDGE].append(outcome)
    return list(groups.values())


async def _until_written(engine: Engine, write: Callable[[], None]) -> None:
    """A mail that left and is not written down would be sent again: a database that is away is waited for."""
    for patience in range(PATIENCE, -1, -1):
        try:
            await engine.in_thread(write)
            return
        except Exception as error:  # noqa: BLE001 - one document's trouble is no other's; the claims come back
            _log.warning("what came of deliveries could not be written: %s", reason(error))
            if not patience or not isinstance(error, (SQLAlchemyError, DocflowError)):
                return
            await engine.rest(1.0)


def _settled(engine: Engine, group: list[Outcome]) -> None:
    container = engine.container
    with container.sessions.begin() as session:
        dispatch.settle_all(session, container.pictures, group, engine.name, engine.asked())


def _put_back(engine: Engine, found: list[Outcome | Parcel]) -> None:
    container = engine.container
    with container.sessions.begin() as session:
        now = container.clock()
        dispatch.defer(session, [k for k in found if isinstance(k, Outcome)], engine.name, now)
        dispatch.release(session, [k for k in found if isinstance(k, Parcel)], engine.name, now)
