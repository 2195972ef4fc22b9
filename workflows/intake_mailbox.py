"""Takes in what comes to the mailboxes of ``config/intake.yaml`` and ``DOCFLOW_IMAP_URL``; one flow a mailbox, and
one worker at a mailbox at a time."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import TypeVar

from prefect import flow
from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError

from docflow.adapters.mail import imap
from docflow.adapters.mail.imap_account import default_mailbox
from docflow.bootstrap import Container
from docflow.domain.errors import DocflowError, NotFound, Unauthenticated, Unavailable
from docflow.domain.intake_settings import MailboxSettings
from docflow.services import mailboxes
from docflow.services.mailboxes import LONGEST_PAUSE, Mailbox, Proof
from workflows.engine import Engine, Shift, attempt, here, reason, run_name
from workflows.mailbox_proof import prove
from workflows.mailbox_round import Round
from workflows.one_at_a_time import Hold, alone

_log = logging.getLogger(__name__)
R = TypeVar("R")
DEFAULT = "default"
LOOK = 10.0  # seconds between looks at which mailboxes there are, and whether another worker let go of one
_DROPPED = 3.0  # seconds before a server that hung up while nothing happened is called again
_REST = 1.0  # seconds after a failure, and between shifts


@flow(name="intake_mailbox", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def intake_mailbox(mailbox: str = "", stay: bool = False) -> int:
    """Take in what lies in the mailbox, or in each one after the other. Returns how many letters were new."""
    async with here() as engine:
        if mailbox:
            return await _shift(engine, mailbox, stay=stay)
        return sum([await _shift(engine, name, stay=False) for name in await engine.in_thread(names, engine.container)])


async def keep_mailboxes(engine: Engine) -> None:
    """Until the worker stops: a flow for each mailbox there is; those that come and go are noticed."""
    running: dict[str, asyncio.Task[None]] = {}
    wanted: set[str] = set()
    while not engine.stopping:
        await attempt("mailboxes", _attend_all(engine, running, wanted))
        await engine.rest(LOOK)
    await asyncio.gather(*running.values())


async def _attend_all(engine: Engine, running: dict[str, asyncio.Task[None]], wanted: set[str]) -> int:
    found = await engine.in_thread(names, engine.container)
    wanted.clear()
    wanted.update(found)
    for name in found:
        if name not in running or running[name].done():
            running[name] = asyncio.create_task(_keep(engine, name, wanted))
    return 0


async def _keep(engine: Engine, name: str, wanted: set[str]) -> None:
    while name in wanted and not engine.stopping:
        try:
            if engine.alive:
                await intake_mailbox(name, stay=True)
            else:
                await intake_mailbox.fn(name, stay=True)
        except Exception as error:  # noqa: BLE001 - whatever one mailbox met, it is looked at anew and the others go on
            _log.warning("mailbox %s: %s", name, reason(error))
        await engine.rest(_REST)


def names(container: Container) -> list[str]:
    """Of all mailboxes there are now."""
    with container.sessions() as session:
        _, configuration = container.pictures.newest(session)
    found = [mailbox.name for mailbox in configuration.intake.mailboxes]
    return [*found, DEFAULT] if container.settings.imap_url and DEFAULT not in found else found


def account(container: Container, name: str) -> tuple[MailboxSettings, SecretStr]:
    """How to reach it, and the secret. Raises NotFound where there is no such mailbox (any more), ConfigInvalid."""
    secret = container.settings.secrets.get(name, SecretStr(""))
    with container.sessions() as session:
        _, configuration = container.pictures.newest(session)
    for mailbox in configuration.intake.mailboxes:
        if mailbox.name == name:
            return mailbox, secret
    if name != DEFAULT or not container.settings.imap_url:
        raise NotFound(f"There is no mailbox '{name}'. Name one of config/intake.yaml.")
    settings, password = default_mailbox(container.settings.imap_url)
    return settings, secret if secret.get_secret_value() else password


def prove_now(container: Container, name: str) -> Proof | None:
    """The daily proof on demand, beside whatever the worker does. Raises NotFound, Unauthenticated, Unavailable."""
    settings, secret = account(container, name)
    box = imap.sign_in(settings, secret)
    try:
        return prove(container, name, box)
    finally:
        box.leave()


async def _shift(engine: Engine, name: str, *, stay: bool) -> int:
    shift = Shift(engine, f"intake_mailbox {name}", stay=stay)
    thread = ThreadPoolExecutor(1, thread_name_prefix=f"mailbox-{name}")
    visit = Visit(engine.container, name, lambda: engine.stopping, stay=stay)
    try:
        while visit.wanted:
            async with alone(engine, f"mailbox:{name}") as hold:
                if hold:
                    await _attend(engine, shift, visit, thread, hold)
            if shift.over(idle=True):
                break
            await engine.rest(LOOK if visit.wanted else 0)
        return shift.done
    finally:
        await _in(thread, visit.leave)
        thread.shutdown(wait=False)


async def _attend(engine: Engine, shift: Shift, visit: "Visit", thread: ThreadPoolExecutor, hold: Hold) -> None:
    """Round after round, for as long as the mailbox is ours and wanted."""
    while await hold.still():
        found = await attempt("intake_mailbox", _in(thread, visit.round))
        shift.done += found
        if not visit.wanted or shift.over(idle=not found and not visit.more):
            return
        if visit.more:
            continue
        if not visit.pause:
            await attempt("intake_mailbox", _in(thread, visit.wait))
        await engine.rest(visit.pause)


async def _in(thread: ThreadPoolExecutor, work: Callable[[], R]) -> R:
    """A thread a mailbox: a connection is for one, and waiting for mail would keep the engine's from others."""
    return await asyncio.get_running_loop().run_in_executor(thread, work)


class Visit:
    """A mailbox as one worker reads it: signed in when needed, and anew after trouble. ``pause`` is how many seconds
    to leave it alone; 0 says that ``wait`` knows. ``more`` says that there is more to do at once. ``wanted`` is False
    once the configuration has it no more."""

    def __init__(self, container: Container, name: str, stopping: Callable[[], bool], *, stay: bool = False) -> None:
        self._container = container
        self._name = name
        self._stopping = stopping
        self._stay = stay
        self._account: tuple[MailboxSettings, SecretStr] | None = None
        self._box: Mailbox | None = None
        self._proved: date | None = None
        self.pause = 0.0
        self.more = False
        self.wanted = True

    def round(self) -> int:
        """Returns how many letters were new. What stands in the way is noted, and told when it lasts."""
        self.pause, self.more = 0.0, False
        try:
            return self._round()
        except NotFound:
            self.wanted = False
            return 0
        except (DocflowError, SQLAlchemyError) as error:
            self.leave()
            self.pause = self._failed(error)
            return 0

    def _round(self) -> int:
        known = account(self._container, self._name)
        if not self._stay and self._failed_just_now():
            return 0
        box = self._signed_in(known)
        one = Round(self._container, self._name, box, self._stopping)
        one.go()
        self.more = one.more
        return one.taken if one.more or self._stopping() else one.taken + self._prove(box)

    def _signed_in(self, known: tuple[MailboxSettings, SecretStr]) -> Mailbox:
        if self._box is None or known != self._account:
            self.leave()
            self._box, self._account = imap.sign_in(*known), known
        return self._box

    def _prove(self, box: Mailbox) -> int:
        """Once a day. Another round comes soon after it: of what came meanwhile the server has told already."""
        container = self._container
        with container.sessions() as session:
            day = mailboxes.local_day(session, container.pictures, container.clock())
            due = day != self._proved and not mailboxes.proved(session, self._name, day)
        self._proved = day
        if not due:
            return 0
        proof = prove(container, self._name, box, self._stopping)
        self._proved = day if proof else None
        self.pause = _REST
        return proof.recovered if proof else 0

    def _failed_just_now(self) -> bool:
        with self._container.sessions() as session:
            until = mailboxes.wait_until(session, self._name)
        return until is not None and self._container.clock() < until

    def _failed(self, error: Exception) -> float:
        said = error.message if isinstance(error, DocflowError) else "The database does not answer."
        _log.warning("mailbox %s: %s", self._name, said)
        container = self._container
        with container.sessions.begin() as session:
            pause = mailboxes.failed(session, container.pictures, self._name, said, container.clock())
        container.waker.wake()
        # Whoever knocks with a wrong password is soon shut out: a person has to correct it first.
        return (LONGEST_PAUSE if isinstance(error, Unauthenticated) else pause).total_seconds()

    def wait(self) -> int:
        """Until there is news, or it is time to look. Returns 0."""
        if self._box is None or self._account is None:
            self.pause = _REST
            return 0
        poll = self._account[0].poll
        if not self._box.pushes:
            self.pause = float(poll)
            return 0
        try:
            self._box.wait(poll, self._stopping)
        except Unavailable:
            self.leave()
            self.pause = _DROPPED
        return 0

    def leave(self) -> None:
        if self._box is not None:
            self._box.leave()
        self._box = None
