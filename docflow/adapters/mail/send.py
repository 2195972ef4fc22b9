"""Mail out over SMTP: one connection a mail, one recipient a mail."""

import smtplib
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

from docflow.adapters.mail.compose import Composed
from docflow.domain.errors import ConfigInvalid, DeliveryFailed
from docflow.services.ports import OutgoingMail

_FORM = "Write DOCFLOW_SMTP_URL as smtp://user:password@host:port, smtps://… or smtp://…?starttls=1."
_PORTS = {"plain": 25, "starttls": 587, "tls": 465}
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
    """Implements ``ports.Mailer``. ``timeout`` is in seconds, for each step but the last answer.

    A 5xx to the sender, the recipient or the message is permanent. Everything else may be tried again, also a
    refused sign-in: that is the settings' fault and no recipient's.
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

    def send(self, mail: OutgoingMail) -> str:
        """Hand the mail over and return the server's answer, such as ``250 OK``.

        Raises DeliveryFailed; Invalid when a field could break out of its header.
        """
        composed = Composed(mail, self._clock())
        try:
            connection = self._connect()
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryFailed(self._unreached(error), permanent=False) from error
        try:
            answer = _hand_over(connection, composed)
            with suppress(smtplib.SMTPException, OSError):
                connection.quit()  # the mail is accepted: whatever happens now does not matter
            return answer
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryFailed(f"{self._unreached(error)}", permanent=False) from error
        finally:
            connection.close()  # never QUIT here: inside DATA it would become text

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        if server.security == "tls":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=self._timeout, context=self._tls
            )
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=self._timeout)
        try:
            connection.ehlo_or_helo_if_needed()
            if server.security == "starttls":
                connection.starttls(context=self._tls)
                connection.ehlo_or_helo_if_needed()
            if server.user:
                connection.login(server.user, server.password)
        except BaseException:
            connection.close()
            raise
        return connection

    def _unreached(self, error: Exception) -> str:
        server = f"{self._server.host}:{self._server.port}"
        if isinstance(error, smtplib.SMTPAuthenticationError):
            return f"The mail server {server} refused the sign-in ({error.smtp_code}). Check DOCFLOW_SMTP_URL."
        if isinstance(error, smtplib.SMTPResponseException):
            return f"The mail server {server} answered {_reply(error.smtp_code, error.smtp_error)}. Try again later."
        return f"The mail server {server} did not take the mail ({error or type(error).__name__}). Try again later."


def _hand_over(connection: smtplib.SMTP, composed: Composed) -> str:
    sender_options = [f"size={composed.size}"] if connection.has_extn("size") else []
    recipient_options: list[str] = []
    if composed.reported and connection.has_extn("dsn"):
        sender_options += _reports_of(composed)
        recipient_options += _when_reported(composed)
    _expect("the sender", 2, connection.mail(composed.sender, sender_options))
    _expect("the recipient", 2, connection.rcpt(composed.recipient, recipient_options))
    _expect("the message", 3, connection.docmd("DATA"))
    for piece in composed.wire():
        connection.send(piece)
    connection.send(b".\r\n")
    if isinstance(connection.sock, socket.socket):
        connection.sock.settimeout(_FINAL_SECONDS)
    return _expect("the message", 2, connection.getreply())


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
    raise DeliveryFailed(
        f"The mail server refused {what}: {_reply(code, text)}. {advice}", permanent=permanent, smtp_code=code
    )


def _reply(code: int, text: bytes | str) -> str:
    shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(shown.split())}"[:500]
