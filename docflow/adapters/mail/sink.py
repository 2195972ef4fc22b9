"""A real SMTP server that keeps what it is sent: the recipients of the demo and of the tests."""

import asyncio
import json
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from types import TracebackType
from typing import Self

from aiosmtpd.smtp import SMTP, Envelope, Session

_ACCEPTED = "250 2.0.0 OK, kept"
_NO_MAILBOX = "550 5.1.1 No such mailbox here"
_LATER = "451 4.7.1 Try again later"
_STOP_SECONDS = 10


@dataclass(frozen=True, slots=True)
class SunkMail:
    """One accepted mail; ``path`` is the message as it came."""

    path: Path
    sender: str
    recipients: tuple[str, ...]
    received_at: datetime

    def message(self) -> EmailMessage:
        with self.path.open("rb") as source:
            return BytesParser(EmailMessage, policy=policy.default).parse(source)


class MailSink:
    """Each accepted mail becomes ``NNNNNN.eml`` and, beside it, ``NNNNNN.json`` with its envelope.

    ``refuse_permanently`` holds addresses answered with 550; ``refuse_temporarily`` how often an address is
    still answered with 451. Both may be changed while it runs; letter case does not matter.
    """

    def __init__(
        self, folder: Path, host: str = "127.0.0.1", port: int = 0, *, max_bytes: int = 100 * 1024 * 1024
    ) -> None:
        self.folder = folder
        self.host = host
        self.port = port
        self.refuse_permanently: set[str] = set()
        self.refuse_temporarily: dict[str, int] = {}
        self._max_bytes = max_bytes
        self._kept = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._clients: list[SMTP] = []

    @property
    def url(self) -> str:
        return f"smtp://{self.host}:{self.port}"

    def start(self) -> None:
        """Listen; with port 0 a free one is taken and found in ``port``. Raises OSError when it is in use."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._kept = max((int(path.stem) for path in self.folder.glob("*.json")), default=0)
        started: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="mail-sink", daemon=True)
        self._thread.start()
        self.port = started.result()

    def stop(self) -> None:
        """Close the port and every connection; a second call does nothing."""
        if self._thread and self._loop and self._stopping:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(_STOP_SECONDS)
        self._thread = self._loop = self._stopping = None

    def messages(self) -> list[SunkMail]:
        """All that was accepted, in the order of arrival."""
        return [_sunk(path) for path in sorted(self.folder.glob("*.json"))]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        wanted = address.casefold()
        if wanted in {refused.casefold() for refused in self.refuse_permanently}:
            return _NO_MAILBOX
        for refused, left in self.refuse_temporarily.items():
            if refused.casefold() == wanted and left > 0:
                self.refuse_temporarily[refused] = left - 1
                return _LATER
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content or b""
        self._kept += 1
        path = self.folder / f"{self._kept:06d}.eml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        facts = {
            "sender": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "received_at": datetime.now(UTC).isoformat(),
        }
        # The JSON comes last and at once, so that a mail is either whole or not there.
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps(facts), encoding="utf-8")
        unfinished.replace(path.with_suffix(".json"))
        return _ACCEPTED

    def _run(self, started: Future[int]) -> None:
        try:
            asyncio.run(self._serve(started))
        except OSError as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _serve(self, started: Future[int]) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await self._loop.create_server(self._client, self.host, self.port)
        started.set_result(server.sockets[0].getsockname()[1])
        await self._stopping.wait()
        server.close()
        for client in self._clients:
            if client.transport is not None:
                client.transport.close()
        await server.wait_closed()

    def _client(self) -> SMTP:
        self._clients = [client for client in self._clients if client.transport is not None]
        client = SMTP(self, hostname="mail-sink", data_size_limit=self._max_bytes, loop=self._loop)
        self._clients.append(client)
        return client


def _sunk(path: Path) -> SunkMail:
    facts = json.loads(path.read_text(encoding="utf-8"))
    return SunkMail(
        path=path.with_suffix(".eml"),
        sender=facts["sender"],
        recipients=tuple(facts["recipients"]),
        received_at=datetime.fromisoformat(facts["received_at"]),
    )
