"""Hands documents out by webhook and by portal link; codes for the portal, too. Tried again with growing delays."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta

from prefect import flow
from sqlalchemy.orm import Session

from docflow.bootstrap import Container
from docflow.domain.lifecycle import DeliveryState
from docflow.services import dispatch, portal, webhook_dispatch
from docflow.services.carry import House, Pouch
from docflow.services.parcels import Parcel, parcels_of
from docflow.services.portal import LinkMail, Portal
from docflow.services.webhook_dispatch import Telling
from workflows.deliver import soundness
from workflows.engine import Engine, run_name, take_turns
from workflows.one_parcel import carry_one, settle

_log = logging.getLogger(__name__)
AT_ONCE = 4
LOOK = 15.0  # seconds between looks where no news comes; the shortest delay before another try


@flow(name="hand_out", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def hand_out(stay: bool = False) -> int:
    """Hand out what is due. Returns how many deliveries were tried."""
    return await take_turns("hand_out", _turn, stay=stay, nap=LOOK)


@dataclass(frozen=True, slots=True)
class _Load:
    house: House
    portal: Portal
    tellings: list[Telling]
    mails: list[LinkMail]


async def _turn(engine: Engine) -> int:
    load = await engine.in_thread(_claim, engine)
    work = [engine.in_thread(_tell, engine, telling) for telling in load.tellings]
    work += [engine.in_thread(_mail, engine, load, mail) for mail in load.mails]
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):  # one recipient's trouble is no other's; the claim comes back by itself
            _log.warning("a delivery was interrupted and is tried again: %s", type(outcome).__name__)
    if work:
        engine.container.waker.wake()
    return len(work)


def _claim(engine: Engine) -> _Load:
    container, now = engine.container, engine.container.clock()
    settings = container.settings
    links = Portal(settings.base_url, container.address_key, timedelta(days=settings.portal_days))
    channels = ("webhook", "portal") if settings.smtp_url else ("webhook",)
    with container.sessions.begin() as session:
        parcels = _parcels(session, engine, channels)
        return _Load(
            _house(session, container),
            links,
            webhook_dispatch.tellings(session, container.pictures, [p for p in parcels if p.channel == "webhook"]),
            portal.link_mails(session, links, [p for p in parcels if p.channel == "portal"], now),
        )


def _house(session: Session, container: Container) -> House:
    agency = container.pictures.newest(session)[1].agency
    zone = container.pictures.current_calendars(session)[1].for_units().zone
    return House(agency.name, container.settings.mail_from or agency.email, zone=zone)


def _parcels(session: Session, engine: Engine, channels: tuple[str, ...]) -> list[Parcel]:
    now = engine.container.clock()
    ids = dispatch.claim_ids(session, channels, engine.name, now, most=AT_ONCE)
    return parcels_of(session, ids) if ids else []


def _tell(engine: Engine, telling: Telling) -> None:
    container = engine.container
    with closing(Pouch(container.store, soundness(container).require)) as pouch:
        carry_one(
            engine,
            telling.parcel,
            lambda: webhook_dispatch.send(telling, container.documents, pouch, _secret(container), container.clock()),
        )


def _secret(container: Container) -> Callable[[str], bytes | None]:
    def find(name: str) -> bytes | None:
        found = container.settings.secrets.get(name)
        return found.get_secret_value().encode() if found else None

    return find


def _mail(engine: Engine, load: _Load, mail: LinkMail) -> None:
    """No link leaves before what waits behind it was looked at."""
    container = engine.container

    def send() -> tuple[DeliveryState, str]:
        letter = portal.mail_of(mail, load.house, load.portal)
        for file in mail.parcel.files:
            pouch.path(file)
        return DeliveryState.SENT, container.mailer.send(letter)

    with closing(Pouch(container.store, soundness(container).require)) as pouch:
        carry_one(engine, mail.parcel, send, _settle)


def _settle(engine: Engine, parcel: Parcel, state: DeliveryState, answer: str) -> None:
    if parcel.kind != "code":
        return settle(engine, parcel, state, answer)
    container = engine.container
    with container.sessions.begin() as session:
        return portal.settle_code(session, parcel, engine.name, state, answer, container.clock())
