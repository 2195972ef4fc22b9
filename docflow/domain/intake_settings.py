"""How letters come in: mailboxes, the mail listener, watched folders, signed calls (``config/intake.yaml``).

Passwords and shared secrets stand in the environment, never here: the secret of mailbox ``vanthu`` is
``DOCFLOW_SECRETS__VANTHU``.
"""

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from docflow.domain.checked import Checked, Code, Finding, Flag, Name, Short, Text, refuse, refuse_one


def _network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError:
        refuse_one(f"'{text}' is not a network", "write it as 10.0.0.0/8 or 192.168.1.5")
    return text


def _mailbox_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        port_fits = False
    if not port_fits or parts.scheme not in ("imap", "imaps") or not parts.hostname or not parts.username:
        refuse_one(f"'{text}' is not the address of a mailbox", "write imaps://user@host/INBOX")
    if parts.password:
        refuse_one("holds a password", "leave it out and set DOCFLOW_SECRETS__ and the mailbox's name")
    return text


def _absolute(text: str) -> str:
    if not PurePosixPath(text).is_absolute():
        refuse_one(f"'{text}' is not a full path", "write it from the root: /srv/scans")
    return text


def _pattern(text: str) -> str:
    return text.casefold()


Network = Annotated[str, AfterValidator(_network)]
AddressPattern = Annotated[
    str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254), AfterValidator(_pattern)
]


class MailboxSettings(Checked):
    """One IMAP mailbox. What was taken in is moved to ``processed`` or ``quarantine`` on the same server; with
    ``after: keep`` it stays where it is. ``poll`` is in seconds, for servers that do not push (IDLE) too."""

    name: Name
    url: Annotated[str, AfterValidator(_mailbox_url)]
    sign_in: Literal["password", "xoauth2"] = "password"
    starttls: Flag = False
    processed: Short = "Processed"
    quarantine: Short = "Quarantine"
    after: Literal["move", "keep"] = "move"
    poll: Annotated[int, Field(ge=5, le=3600, strict=True)] = 60


class FolderSettings(Checked):
    """A folder where a scanner or another program drops files. ``settle`` is how many seconds a file must have
    stayed as it is before it is taken; ``separator`` is the text of the barcode on sheets that part a batch."""

    name: Name
    path: Annotated[Text, AfterValidator(_absolute)]
    route: Name | None = None
    type: Name | None = None
    unit: Code | None = None
    separator: Short | None = None
    settle: Annotated[int, Field(ge=0, le=600, strict=True)] = 5


class ListenerSettings(Checked):
    """Who may hand mail in by SMTP or LMTP (``DOCFLOW_SMTP_LISTEN``), and for whom.

    A recipient may be a pattern (``*@binhminh.example``); the plus-addresses of one that is named fit too.
    """

    recipients: tuple[AddressPattern, ...] = ()
    networks: tuple[Network, ...] = ("127.0.0.0/8", "::1/128")
    require_tls: Flag = False


class Acknowledgement(Checked):
    """The receipt that the sender of an electronic document gets the same day (Decree 30/2020 art. 21)."""

    send: Flag = True
    per_sender_and_day: Annotated[int, Field(ge=1, le=1000, strict=True)] = 20


class SignedSource(Checked):
    """A program that hands mails in over HTTP, signed with its secret instead of a token."""

    name: Name


class IntakeSettings(Checked):
    """``authserv_id`` is the name under which our own mail server writes Authentication-Results: no other one's
    count. ``plus_addressing`` says that it delivers ``vanthu+anything@`` to ``vanthu@``; ``read_receipts`` that
    recipients are asked to tell when they have read a document of ours."""

    authserv_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,253}$")] | None = None
    unknown_sender: Literal["accept", "quarantine"] = "accept"
    plus_addressing: Flag = False
    read_receipts: Flag = True
    acknowledge: Acknowledgement = Acknowledgement()
    listener: ListenerSettings = ListenerSettings()
    mailboxes: tuple[MailboxSettings, ...] = ()
    folders: tuple[FolderSettings, ...] = ()
    signed_sources: tuple[SignedSource, ...] = ()

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        refuse([*self._twice("mailboxes"), *self._twice("folders"), *self._twice("signed_sources")])
        return self

    def _twice(self, kind: str) -> Iterator[Finding]:
        seen: set[str] = set()
        for index, one in enumerate(getattr(self, kind)):
            if one.name in seen:
                yield Finding(f"'{one.name}' is there twice", "give each its own name", (kind, index, "name"))
            seen.add(one.name)
