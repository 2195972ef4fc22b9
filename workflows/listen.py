"""Takes letters from mail servers (SMTP, LMTP), in the worker's loop.

A letter has no flow run of its own: its client waits for the answer, which must not hang on whether Prefect is there,
and what came of it stands in the ledger. What follows from the document is the router's, as of any other.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from docflow.adapters.mail.listen import MailListener
from docflow.adapters.mail.listen_at import Address, Certificate, addresses
from docflow.domain.errors import Unavailable
from docflow.domain.intake_settings import ListenerSettings
from docflow.services.intake import Envelope, receive, take_in
from docflow.services.listening import Handed
from docflow.settings import Settings
from workflows.engine import Engine

_log = logging.getLogger(__name__)
AT_ONCE = 8
"""Letters read and stored at the same time, in threads of their own: a flood of mail holds up no flow."""
_TURN = 60.0  # seconds a letter waits for its turn before the client is asked to come again
_FRESH = 3.0  # seconds for which the rules of the newest configuration are not read again
_PATIENCE = 12.0  # seconds for letters in hand when the worker stops; it waits 15
_AGAIN = 5.0  # seconds before another try to listen where something else does
_LOOK = 60.0


async def keep_listening(engine: Engine) -> None:
    """Until the worker stops. Raises ConfigInvalid for an address or a certificate that is none."""
    async with listening(engine):
        while not engine.stopping:
            await engine.rest(_LOOK)


@contextlib.asynccontextmanager
async def listening(engine: Engine) -> AsyncIterator[MailListener]:
    """The listener at ``DOCFLOW_SMTP_LISTEN``, for the length of the ``with``."""
    settings = engine.container.settings
    where, certificate = addresses(settings.smtp_listen), _certificate(settings)
    threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="docflow-letter")
    desk = Desk(engine, threads)
    listener = MailListener(desk.rules, desk.take, size_limit=settings.mail_limit, certificate=certificate)
    try:
        await asyncio.gather(*(_listen(engine, listener, address) for address in where))
        yield listener
    finally:
        await listener.stop(_PATIENCE)
        threads.shutdown(wait=False, cancel_futures=True)


def _certificate(settings: Settings) -> Certificate | None:
    if settings.smtp_tls_certificate is None:
        return None
    return Certificate(settings.smtp_tls_certificate, settings.smtp_tls_key)


async def _listen(engine: Engine, listener: MailListener, address: Address) -> None:
    while not engine.stopping:
        try:
            await listener.start(address)
        except OSError as error:
            _log.error("cannot listen at %s (%s); it is tried again", address, error)
            await engine.rest(_AGAIN)
        else:
            return


class Desk:
    """Where letters are taken in: so many at once, under the newest rules."""

    def __init__(self, engine: Engine, threads: ThreadPoolExecutor) -> None:
        self._engine, self._threads = engine, threads
        self._free = asyncio.Semaphore(AT_ONCE)
        self._reading = asyncio.Lock()
        self._known: ListenerSettings | None = None
        self._read_at = 0.0

    async def rules(self) -> ListenerSettings:
        """Raises Unavailable or SQLAlchemyError where they cannot be read."""
        async with self._reading:
            now = time.monotonic()
            if self._known is None or now - self._read_at > _FRESH:
                self._known = await self._engine.in_thread(self._newest)
                self._read_at = now
            return self._known

    def _newest(self) -> ListenerSettings:
        container = self._engine.container
        with container.sessions() as session:
            return container.pictures.newest(session)[1].intake.listener

    async def take(self, letter: BinaryIO, handed: Handed) -> str:
        """Returns the intake's id once it is committed. Raises Unavailable where no turn comes in time, and what
        ``take_in`` and ``receive`` raise."""
        try:
            async with asyncio.timeout(_TURN):
                await self._free.acquire()
        except TimeoutError as error:
            raise Unavailable(f"{AT_ONCE} letters are in hand and none was done in time. Try again later.") from error
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._kept, letter, handed)
        finally:
            self._free.release()

    def _kept(self, letter: BinaryIO, handed: Handed) -> str:
        container = self._engine.container
        envelope = Envelope(
            "listener",
            source=handed.source,
            mail_from=handed.mail_from,
            recipients=handed.recipients,
            peer=handed.peer,
        )
        taken = take_in(container.intake_tools, letter, envelope, limit=container.settings.mail_limit)
        with container.sessions.begin() as session:
            received = receive(session, container.pictures, taken, self._engine.asked("mail"))
        container.waker.wake()
        return str(received.intake_id)
