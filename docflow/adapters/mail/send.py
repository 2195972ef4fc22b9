"""Mail out over SMTP, one recipient a mail."""

import smtplib
import socket
import ssl
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

from docflow.adapters.mail.compose import Composed
from docflow.adapters.mail.lines import Line, Lines
from docflow.domain.errors import ConfigInvalid, DeliveryFailed
from docflow.services.ports import OutgoingMail

_FORM = "Write DOCFLOW_SMTP_URL as smtp://user:password@host:port, smtps://… or smtp://…?starttls=1."
_PORTS = {"plain": 25, "starttls": 587, "tls": 465}
_RESET, _CLOSING, _TOO_LARGE = 250, 421, 552
_FIRST_CODE, _LAST_CODE = 200, 599
_NUL = "\x00"  # which no database keeps in a text
_LONGEST_ENVELOPE_ID = 100  # RFC 3461, 4.4
_FINAL_SECONDS = 300.0  # servers look for viruses before they answer the last dot; giving up early sends twice


@dataclass(frozen=True, slots=True)
class SmtpServer:
    host: str
    port: int
    security: Literal["plain", "starttls", "tls"]
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> "SmtpServer":
        """Raises ConfigInvalid without repeating the URL, which holds a password."""
        try:
            parts = urlsplit(url)
            port, options = parts.port, parse_qs(parts.query, strict_parsing=bool(parts.query))
        except ValueError:
            raise ConfigInvalid(f"The address of the mail server cannot be read. {_FORM}") from None
        wrong = parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path not in ("", "/")
        if wrong or options.keys() - {"starttls"} or options.get("starttls", ["0"])[-1] not in ("0", "1"):
            raise ConfigInvalid(f"The address of the mail server is not understood. {_FORM}")
        upgraded = options.get("starttls", ["0"])[-1] == "1"
        security: Literal["plain", "starttls", "tls"] = "starttls" if upgraded else "plain"
        if parts.scheme == "smtps":
            security = "tls"
        return cls(
            host=parts.hostname or "",
            port=port or _PORTS[security],
            security=security,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )


class SmtpMailer:
    """Implements ``ports.Mailer``; threads may share it. ``timeout`` is in seconds, for each step but the last answer.

    A 5xx to the sender, the recipient or the message is permanent. Everything else may be tried again, also a
    refused sign-in: that is the settings' fault and no recipient's. Connections are kept open between mails.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._server = SmtpServer.parse(url)
        self._timeout = timeout
        self._tls = tls or ssl.create_default_context()
        self._clock = clock
        self._lines = Lines(partial(_connect, self._server, timeout, self._tls))
        weakref.finalize(self, self._lines.close)

    def send(self, mail: OutgoingMail) -> str:
        """Hand the mail over and return the server's answer, such as ``250 OK``.

        Raises DeliveryFailed, with ``may_have_arrived`` in its details where the connection broke off between the
        mail's last dot and the answer to it; Invalid when a field could break out of its header.
        """
        composed = Composed(mail, self._clock())
        try:
            line = self._begun(composed)
            return self._hand_over(line, composed)
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryFailed(self._unreached(error), permanent=False) from error

    def _begun(self, composed: Composed) -> Line:
        """A line on which the server takes mail of this sender. One that it dropped while it was free is no failure:
        nothing of the mail was said on it."""
        while True:
            line = self._lines.take()
            try:
                reply = line.connection.mail(composed.sender, _sender_options(line.connection, composed))
            except (smtplib.SMTPException, OSError):
                line.connection.close()
                if not line.carried:
                    raise
                continue
            if reply[0] != _CLOSING or not line.carried:
                return self._expecting(line, "the sender", reply)
            line.connection.close()

    def _expecting(self, line: Line, what: str, reply: tuple[int, bytes]) -> Line:
        try:
            _expect(what, 2, reply)
        except DeliveryFailed:
            self._put_right(line)
            raise
        return line

    def _hand_over(self, line: Line, composed: Composed) -> str:
        try:
            answer = _hand_over(line.connection, composed)
        except DeliveryFailed as error:
            if error.details.get("may_have_arrived"):
                line.connection.close()
            else:
                self._put_right(line)
            raise
        except BaseException:
            line.connection.close()  # never QUIT here: inside DATA it would become text
            raise
        self._free(line)
        return answer

    def _put_right(self, line: Line) -> None:
        """After a refusal, ready for the next mail."""
        try:
            code, _ = line.connection.rset()
        except (smtplib.SMTPException, OSError):
            code = _CLOSING
        if code == _RESET:
            self._free(line)
        else:
            line.connection.close()

    def _free(self, line: Line) -> None:
        line.carried += 1
        if isinstance(line.connection.sock, socket.socket):
            line.connection.sock.settimeout(self._timeout)
        self._lines.give_back(line)

    def _unreached(self, error: Exception) -> str:
        server = f"{self._server.host}:{self._server.port}"
        if isinstance(error, smtplib.SMTPAuthenticationError):
            return f"The mail server {server} refused the sign-in ({error.smtp_code}). Check DOCFLOW_SMTP_URL."
        if isinstance(error, smtplib.SMTPResponseException):
            return f"The mail server {server} answered {_reply(error.smtp_code, error.smtp_error)}. Try again later."
        return f"The mail server {server} did not take the mail ({error or type(error).__name__}). Try again later."


def _connect(server: SmtpServer, timeout: float, tls: ssl.SSLContext) -> smtplib.SMTP:
    if server.security == "tls":
        connection: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=timeout, context=tls)
    else:
        connection = smtplib.SMTP(server.host, server.port, timeout=timeout)
    try:
        if isinstance(connection.sock, socket.socket):  # an answer is awaited after each piece: nothing to gather
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.ehlo_or_helo_if_needed()
        if server.security == "starttls":
            connection.starttls(context=tls)
            connection.ehlo_or_helo_if_needed()
        if server.user:
            connection.login(server.user, server.password)
    except BaseException:
        connection.close()
        raise
    return connection


def _sender_options(connection: smtplib.SMTP, composed: Composed) -> list[str]:
    """With its size, a server refuses at once what is too large for it (RFC 1870)."""
    options = [f"size={composed.size}"] if connection.has_extn("size") else []
    if composed.reported and connection.has_extn("dsn"):
        options += _reports_of(composed)
    return options


def _hand_over(connection: smtplib.SMTP, composed: Composed) -> str:
    """Everything after MAIL."""
    wants_reports = composed.reported and connection.has_extn("dsn")
    _expect("the recipient", 2, connection.rcpt(composed.recipient, _when_reported(composed) if wants_reports else []))
    _expect("the message", 3, connection.docmd("DATA"))
    for piece in composed.wire():
        connection.send(piece)
    connection.send(b".\r\n")
    if isinstance(connection.sock, socket.socket):
        connection.sock.settimeout(_FINAL_SECONDS)
    try:
        reply = connection.getreply()
    except (smtplib.SMTPException, OSError) as error:
        raise _unanswered(f"{error or type(error).__name__}") from error
    if not _FIRST_CODE <= reply[0] <= _LAST_CODE:
        raise _unanswered(_reply(*reply))
    return _expect("the message", 2, reply)


def _unanswered(why: str) -> DeliveryFailed:
    return DeliveryFailed(
        f"The mail server broke off when it had been given the whole mail ({why}): it may have arrived. It is sent "
        "again under the same Message-ID.",
        permanent=False,
        may_have_arrived=True,
    )


def _reports_of(composed: Composed) -> list[str]:
    """RFC 3461: reports bring the headers back, and name the mail by its Message-ID."""
    named = _xtext(composed.message_id.strip("<>"))
    return ["RET=HDRS", *([f"ENVID={named}"] if len(named) <= _LONGEST_ENVELOPE_ID else [])]


def _when_reported(composed: Composed) -> list[str]:
    """Also when it arrived: a delivery then counts as delivered. Nothing where there is nobody to tell."""
    if not composed.sender:
        return ["NOTIFY=NEVER"]
    return ["NOTIFY=SUCCESS,FAILURE,DELAY", f"ORCPT=rfc822;{_xtext(composed.recipient)}"]


def _xtext(text: str) -> str:
    return "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in text)


def _expect(what: str, hundreds: int, reply: tuple[int, bytes]) -> str:
    code, text = reply
    if code // 100 == hundreds:
        return _reply(code, text)
    permanent = code // 100 == 5
    advice = "Correct the address or the mail." if permanent else "It will be tried again."
    if code == _TOO_LARGE:
        advice = "It is too large, or their mailbox is full. Use the portal."
    raise DeliveryFailed(
        f"The mail server refused {what}: {_reply(code, text)}. {advice}", permanent=permanent, smtp_code=code
    )


def _reply(code: int, text: bytes | str) -> str:
    shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(shown.replace(_NUL, ' ').split())}"[:500]
