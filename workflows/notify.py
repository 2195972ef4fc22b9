"""Tells people: notifications are published, and passed on to mail and webhooks."""

from prefect import flow

from docflow.services import notices
from workflows.engine import Engine, run_name, take_turns

LOOK = 5.0  # seconds between looks where no news comes; work begins without any


@flow(name="notify", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def notify(stay: bool = False) -> int:
    """Publish what is due and queue its mails and calls. Returns how many notifications were passed on."""
    return await take_turns("notify", _turn, stay=stay, nap=LOOK)


async def _turn(engine: Engine) -> int:
    return await engine.in_thread(_pass_on, engine)


def _pass_on(engine: Engine) -> int:
    container = engine.container
    mail = bool(container.settings.smtp_url)
    with container.sessions.begin() as session:
        passed = notices.pass_on(session, container.pictures, container.clock(), mail=mail)
    if passed:
        container.waker.wake()
    return passed
