"""SMTP and LMTP: the door through which mail servers hand letters in.

250 is said only once ``take`` came back, so what was answered with it is committed. Trouble of ours is a 4xx: the
client keeps the letter and comes again.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session, TLSSetupException
from sqlalchemy.exc import SQLAlchemyError

from docflow.adapters.mail.listen_at import Address, Certificate
from docflow.domain.errors import DocflowError, TooLarge
from docflow.domain.intake_settings import ListenerSettings
from docflow.services.listening import Handed, lets_in, presentable, takes_for

_log = logging.getLogger(__name__)
Rules = Callable[[], Awaitable[ListenerSettings]]
Take = Callable[[BinaryIO, Handed], Awaitable[str]]
"""Returns the name under which the letter is kept for good."""

IDLE = 300.0  # seconds a client may be silent (RFC 5321 §4.5.3.2 wants as much)
HANDSHAKE = 30.0  # seconds
MOST_CLIENTS = 100
MOST_RECIPIENTS = 100  # the least a server has to take (RFC 5321 §4.5.3.1.8); the client sends the rest again
CALLS = {"*": 100, "MAIL": 5_000, "RCPT": 50_000, "DATA": 5_000, "RSET": 5_000, "NOOP": 1_000}
"""Of each command in one session: a client that means well never comes near."""
_IN_MEMORY = 1 << 20  # bytes of a letter before it goes to disk
_GLANCE = 0.05

_TOO_LARGE = "552 5.3.4 The letter is larger than this office takes. Send it in parts"
_LATER = "451 4.3.0 It could not be kept. Try again later"
_STOPPING = "421 4.3.2 Closing down. Try again later"
_CROWDED = "421 4.7.0 Too many connections. Try again later"
_STRANGER = "554 5.7.1 No mail is taken from your address"


class MailListener:
    """aiosmtpd's handler, and the servers. ``size_limit`` is in bytes of one letter."""

    def __init__(
        self,
        rules: Rules,
        take: Take,
        *,
        size_limit: int,
        certificate: Certificate | None = None,
        idle: float = IDLE,
        most_clients: int = MOST_CLIENTS,
    ) -> None:
        self.size_limit = size_limit
        self.stopping = False
        self.ports: list[int] = []
        self.clients: set[_Conversation] = set()
        self._rules, self._take = rules, take
        self._certificate, self._idle, self._most_clients = certificate, idle, most_clients
        self._servers: list[asyncio.Server] = []
        self._in_hand: set[asyncio.Task[str]] = set()

    async def start(self, address: Address) -> None:
        """Listen there too. Other workers of this user may listen on the same port. Raises OSError."""
        loop = asyncio.get_running_loop()

        def conversation() -> SMTP:
            return self._conversation(address.protocol)

        if address.path:
            self._servers.append(await loop.create_unix_server(conversation, address.path))
            os.chmod(address.path, 0o660)  # connecting takes the right to write
            return
        server = await loop.create_server(conversation, address.host, address.port, reuse_port=True)
        self._servers.append(server)
        self.ports += [s.getsockname()[1] for s in server.sockets]

    def _conversation(self, protocol: str) -> "_Conversation":
        kind = _LmtpConversation if protocol == "lmtp" else _Conversation
        return kind(
            self,
            data_size_limit=self.size_limit,
            enable_SMTPUTF8=True,
            hostname=socket.gethostname(),
            ident="docflow",
            tls_context=self._certificate.context() if self._certificate else None,
            timeout=self._idle,
            command_call_limit=CALLS,
            loop=asyncio.get_running_loop(),
        )

    async def stop(self, patience: float) -> None:
        """Nothing new; what is in hand is finished within ``patience`` seconds, or its client is never told 250."""
        self.stopping = True
        for server in self._servers:
            server.close()
        for client in [c for c in self.clients if not c.busy]:
            client.dismiss()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while self.clients or self._in_hand:
                    await asyncio.sleep(_GLANCE)
        for client in list(self.clients):
            client.cut()

    async def refusal(self, peer: str) -> str | None:
        """What to say instead of a greeting."""
        if self.stopping:
            return _STOPPING
        if len(self.clients) > self._most_clients:
            return _CROWDED
        try:
            return None if lets_in(await self._rules(), peer) else _STRANGER
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not the client's fault
            _tell("a client could not be greeted", error)
            return _STOPPING

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        first, *others = responses
        return [first, "250-PIPELINING", *(r for r in others if not r.startswith("250-AUTH"))]

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        rules, peer = await self._rules(), _host(session)
        if not lets_in(rules, peer):
            return _STRANGER
        if rules.require_tls and peer and session.ssl is None:
            return "530 5.7.0 Must issue a STARTTLS command first"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= MOST_RECIPIENTS:
            return "452 4.5.3 Too many recipients. Send the others after this letter"
        if not takes_for(await self._rules(), address):
            return "550 5.1.1 No such mailbox here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_exception(self, error: Exception) -> str:
        _tell("a mail client's command failed", error)
        return _LATER

    async def answer_to(self, letter: BinaryIO, handed: Handed, owned: ExitStack) -> str:
        """Goes on when the client leaves: its letter is kept, and found known when it comes again."""
        task = asyncio.create_task(self._answered(letter, handed, owned))
        self._in_hand.add(task)
        task.add_done_callback(self._in_hand.discard)
        return await asyncio.shield(task)

    async def _answered(self, letter: BinaryIO, handed: Handed, owned: ExitStack) -> str:
        with owned:
            try:
                return f"250 2.0.0 Kept as {await self._take(letter, handed)}"
            except TooLarge:
                return _TOO_LARGE
            except Exception as error:  # noqa: BLE001 - the client keeps the letter and comes again
                _tell("a letter could not be kept", error)
                return _LATER


def _tell(what: str, error: Exception) -> None:
    expected = isinstance(error, DocflowError | SQLAlchemyError | TLSSetupException | OSError)
    _log.warning("%s: %r", what, error.__cause__ or error, exc_info=None if expected else error)


def _host(session: Session | None) -> str:
    """The client's IP address; empty on a socket in the file system, whose peer has no name."""
    assert session is not None, "there since the connection was made"
    peer: Any = session.peer
    return str(peer[0]) if isinstance(peer, tuple) else ""


class _Conversation(SMTP):
    """One client. aiosmtpd's own DATA holds a letter in memory several times over; this one writes it down as it
    comes, and takes lines of any length: broken mailers write them, and the size limit bounds them."""

    source = "smtp"

    def __init__(self, listener: MailListener, **options: Any) -> None:
        self._listener = listener
        self.busy = False
        super().__init__(listener, **options)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._listener.clients.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._listener.clients.discard(self)
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        self._reset_timeout()  # aiosmtpd counts from the last command: a long letter over a slow line would be cut
        super().data_received(data)

    def dismiss(self) -> None:
        transport = cast("asyncio.WriteTransport | None", self.transport)
        if transport is not None and not transport.is_closing():
            transport.write(_STOPPING.encode() + b"\r\n")
            transport.close()

    def cut(self) -> None:
        transport = cast("asyncio.WriteTransport | None", self.transport)
        if transport is not None:
            transport.abort()

    async def _handle_client(self) -> None:
        refusal = await self._listener.refusal(_host(self.session))
        if refusal is None:
            await super()._handle_client()
            return
        await self.push(refusal)
        if self.transport is not None:
            self.transport.close()

    async def smtp_STARTTLS(self, arg: str) -> None:
        """With an end: where the connection breaks within the handshake, asyncio tells nobody, and the place of this
        client would never be free again."""
        try:
            async with asyncio.timeout(min(HANDSHAKE, self._timeout_duration)):
                await super().smtp_STARTTLS(arg)
        except TimeoutError as error:
            raise TLSSetupException from error

    async def smtp_AUTH(self, arg: str) -> None:
        await self.push("502 5.5.1 Nobody signs in here")

    async def smtp_DATA(self, arg: str) -> None:
        assert self.envelope is not None
        trouble = self._not_now(self.envelope, arg)
        if trouble:
            await self.push(trouble)
            return
        self.busy = True
        envelope, self.envelope = self.envelope, self._create_envelope()
        handed = self._handed(envelope)
        with ExitStack() as owned:
            letter = cast(BinaryIO, owned.enter_context(SpooledTemporaryFile(_IN_MEMORY, prefix="docflow-letter-")))
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            whole = await self._receive(letter)
            letter.seek(0)
            answer = await self._listener.answer_to(letter, handed, owned.pop_all()) if whole else _TOO_LARGE
        await self.push(self._answers(answer, len(envelope.rcpt_tos)))
        self.busy = False
        if self._listener.stopping:
            self.dismiss()

    def _not_now(self, envelope: Envelope, arg: str | None) -> str | None:
        if not envelope.rcpt_tos:
            return "503 5.5.1 Say who it is from and for first (MAIL, RCPT)"
        return "501 5.5.4 Syntax: DATA" if arg else None

    def _handed(self, envelope: Envelope) -> Handed:
        sender = presentable(envelope.mail_from or "")
        recipients = tuple(dict.fromkeys(map(presentable, envelope.rcpt_tos)))
        return Handed(self.source, "" if sender == "<>" else sender, recipients, _host(self.session))

    async def _receive(self, letter: BinaryIO) -> bool:
        """Only CR LF . CR LF ends a letter: whoever takes a bare LF for a line's end can be fed two letters in one.
        Returns whether it was within the limit; what is beyond is read and thrown away."""
        size, at_line_start = 0, True
        while True:
            try:
                piece, ends_line = await self._reader.readuntil(b"\r\n"), True
            except asyncio.LimitOverrunError as overrun:
                piece, ends_line = await self._reader.read(overrun.consumed), False
            if at_line_start and piece == b".\r\n":
                return size <= self._listener.size_limit
            if at_line_start and piece.startswith(b"."):
                piece = piece[1:]  # the dot that the client doubled (RFC 5321 §4.5.2)
            at_line_start = ends_line
            size += len(piece)
            if size <= self._listener.size_limit:
                letter.write(piece)

    def _answers(self, answer: str, accepted: int) -> str:
        return answer


class _LmtpConversation(_Conversation, LMTP):
    source = "lmtp"

    def _answers(self, answer: str, accepted: int) -> str:
        """One for each recipient that was accepted, repeated ones too (RFC 2033 §4.2)."""
        return "\r\n".join([answer] * accepted)
