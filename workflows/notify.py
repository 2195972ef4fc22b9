"""Tells people: notifications are published and passed on; what leaves the house has flows of its own, so that a slow
server elsewhere keeps nobody from hearing in the app."""

import asyncio
import logging

from prefect import flow

from docflow.domain.errors import DocflowError
from docflow.services import notice_mail, notices
from docflow.services.carry import House
from docflow.services.notice_mail import Letter
from workflows.engine import Engine, run_name, take_turns

_log = logging.getLogger(__name__)
LOOK = 5.0  # seconds between looks where no news comes; work begins without any
AT_ONCE = 4


@flow(name="notify", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def notify(stay: bool = False) -> int:
    """Publish what is due and queue its mails and calls. Returns how many notifications were passed on."""
    return await take_turns("notify", _pass_on, stay=stay, nap=LOOK)


async def _pass_on(engine: Engine) -> int:
    return await engine.in_thread(_passed_on, engine)


def _passed_on(engine: Engine) -> int:
    container = engine.container
    mail = bool(container.settings.smtp_url)
    with container.sessions.begin() as session:
        passed = notices.pass_on(session, container.pictures, container.clock(), mail=mail)
    if passed:
        container.waker.wake()
    return passed


@flow(name="mail_notices", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def mail_notices(stay: bool = False) -> int:
    """Send the mails that are due. Returns how many were tried."""
    return await take_turns("mail_notices", _mail, stay=stay, nap=LOOK)


async def _mail(engine: Engine) -> int:
    if not engine.container.settings.smtp_url:
        return 0
    house, letters = await engine.in_thread(_letters, engine)
    sending = (engine.in_thread(_send, engine, house, letter) for letter in letters)
    for letter, outcome in zip(letters, await asyncio.gather(*sending, return_exceptions=True), strict=True):
        if isinstance(outcome, BaseException):  # one address's trouble is no other's; the claim comes back by itself
            _log.warning("mail %s was interrupted and is tried again: %s", letter.id, type(outcome).__name__)
    return len(letters)


def _letters(engine: Engine) -> tuple[House, list[Letter]]:
    container = engine.container
    with container.sessions.begin() as session:
        agency = container.pictures.newest(session)[1].agency
        house = House(agency.name, container.settings.mail_from or agency.email)
        letters = notice_mail.claim(session, container.pictures, engine.name, container.clock(), most=AT_ONCE)
        return house, letters


def _send(engine: Engine, house: House, letter: Letter) -> None:
    container = engine.container
    try:
        container.mailer.send(notice_mail.compose(letter, house, container.settings.base_url))
    except DocflowError as error:
        _log.warning("mail %s: %s", letter.id, error)
        with container.sessions.begin() as session:
            notice_mail.failed(session, letter, engine.name, error, container.clock())
        return
    with container.sessions.begin() as session:
        notice_mail.sent(session, letter, engine.name, container.clock())
