"""Tells people: notifications are published and passed on; what leaves the house has flows of its own, so that a slow
server elsewhere keeps nobody from hearing in the app."""

import asyncio
import logging
from functools import partial

from prefect import flow

from docflow.domain.errors import DocflowError
from docflow.services import notice_mail, notices, webhooks
from docflow.services.carry import House
from docflow.services.notice_mail import Letter
from docflow.services.webhooks import Call
from workflows.engine import Engine, run_name, take_turns

_log = logging.getLogger(__name__)
LOOK = 5.0  # seconds between looks where no news comes; work begins without any
AT_ONCE = 4
HOOKS_AT_ONCE = 6


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


@flow(name="call_webhooks", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def call_webhooks(stay: bool = False) -> int:
    """Make the calls that are due, one a webhook at a time. Returns how often it found one to make or to wait for."""
    under_way: set[asyncio.Task[None]] = set()
    try:
        return await take_turns("call_webhooks", partial(_call, under_way), stay=stay, nap=LOOK)
    finally:
        await asyncio.gather(*under_way, return_exceptions=True)


async def _call(under_way: set[asyncio.Task[None]], engine: Engine) -> int:
    """One webhook that is slow to answer keeps one place and none of the others."""
    calls = await engine.in_thread(_calls, engine, HOOKS_AT_ONCE - len(under_way))
    under_way |= {asyncio.create_task(_called(engine, call)) for call in calls}
    if under_way:
        done, _ = await asyncio.wait(under_way, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
        under_way -= done
        return max(len(calls), 1)
    return 0


def _calls(engine: Engine, most: int) -> list[Call]:
    container = engine.container
    with container.sessions.begin() as session:
        return webhooks.claim(session, engine.name, container.clock(), most=most)


async def _called(engine: Engine, call: Call) -> None:
    try:
        await engine.in_thread(_make, engine, call)
    except Exception as error:  # noqa: BLE001 - the claim comes back by itself
        _log.warning("webhook call %s was interrupted and is made again: %s", call.id, type(error).__name__)


def _make(engine: Engine, call: Call) -> None:
    container = engine.container
    body, headers = webhooks.request_of(call, container.clock())
    try:
        status = container.webhooks.post(call.url, body, headers)
    except DocflowError as error:
        with container.sessions.begin() as session:
            webhooks.failed(session, call, engine.name, error, container.clock())
        return
    with container.sessions.begin() as session:
        webhooks.answered(session, call, engine.name, status, container.clock())
