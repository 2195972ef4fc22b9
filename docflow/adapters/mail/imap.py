"""Mailboxes over IMAP. Reading marks nothing; only a mail that was named is ever moved or removed."""

import imaplib
import select
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from email.parser import BytesParser
from typing import Any, BinaryIO

from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import LoginError
from pydantic import SecretStr

from docflow.adapters.mail.imap_account import Account, secret_of
from docflow.domain.errors import ConfigInvalid, Invalid, Unauthenticated, Unavailable
from docflow.domain.intake_settings import MailboxSettings
from docflow.services.mailboxes import About, Folder, Place

PIECE = 1 << 20
"""Bytes fetched at once, so that a large mail costs little memory."""
RENEWAL = 300.0  # seconds; servers end an IDLE after 29 minutes, and routers forget a silent connection long before
_TIMEOUT = SocketTimeout(connect=15, read=60)
_GLANCE = 1.0  # seconds between looks at whether the worker stops
_AT_ONCE = 500  # UIDs in one command
_WINDOW = 50_000  # UIDs asked for in one search: imaplib takes lines of a million bytes
_HEADER = "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]"


def sign_in(settings: MailboxSettings, secret: SecretStr) -> "ImapMailbox":
    """Connect and sign in. A secret ``@/path`` is read from that file, anew each time.

    Raises Unauthenticated where the server refuses, Unavailable where it cannot be reached, ConfigInvalid where the
    secret or the certificates are missing.
    """
    account = Account.of(settings)
    if settings.after == "move" and account.inbox in (settings.processed, settings.quarantine):
        raise ConfigInvalid(
            f"Mailbox '{settings.name}' would move mails to where they lie. Name other folders, or set 'after: keep'."
        )
    word = secret_of(settings, secret.get_secret_value())
    with _heard(account):
        context = account.context()
        client = IMAPClient(account.host, account.port, ssl=account.tls, ssl_context=context, timeout=_TIMEOUT)
    try:
        with _heard(account):
            client._imap.debug = 0  # else it formats whole mails for a log that nobody keeps
            client.normalise_times = False
            if settings.starttls and not account.tls:
                client.starttls(context)
            _authenticate(client, settings, account, word)
            return ImapMailbox(client, account, settings)
    except BaseException:
        _shut(client)
        raise


def _authenticate(client: IMAPClient, settings: MailboxSettings, account: Account, word: str) -> None:
    try:
        if settings.sign_in == "xoauth2":
            told = f"user={account.user}\1auth=Bearer {word}\1\1".encode()
            client.sasl_login("XOAUTH2", _once(told))
        elif client.has_capability("AUTH=PLAIN"):
            client.sasl_login("PLAIN", _once(f"\0{account.user}\0{word}".encode()))
        else:
            client.login(account.user, word)
    except LoginError as error:
        if isinstance(error.__context__, imaplib.IMAP4.abort) or "[UNAVAILABLE]" in str(error):
            raise Unavailable(
                f"{_server(account)} cannot sign anybody in now: {_short(error)}. It is tried again."
            ) from error
        raise Unauthenticated(
            f"{_server(account)} refused the sign-in of mailbox '{settings.name}': {_short(error)}. "
            f"Check its user and DOCFLOW_SECRETS__{settings.name.upper()}."
        ) from error
    except UnicodeEncodeError:
        raise ConfigInvalid(f"{_server(account)} takes only ASCII passwords. Choose another one.") from None


def _once(told: bytes) -> Callable[[bytes], bytes]:
    """An OAuth server explains its refusal in a second challenge, which wants an empty answer."""
    answers = iter([told])
    return lambda _challenge: next(answers, b"")


class ImapMailbox:
    """Implements ``mailboxes.Mailbox``; for one thread."""

    def __init__(self, client: IMAPClient, account: Account, settings: MailboxSettings) -> None:
        self._client = client
        self._account = account
        self._validity = 0
        self._next: int | None = None
        self._opened = account.inbox
        self._moves = client.has_capability("MOVE")
        self.places = client.has_capability("UIDPLUS")
        self.pushes = client.has_capability("IDLE")
        self.keeps = settings.after == "keep" or not (self._moves or self.places)
        self._names = {"inbox": account.inbox, "processed": settings.processed, "quarantine": settings.quarantine}
        self._prefix, self._delimiter = self._namespace()
        if not self.keeps:
            self._make(self._real("processed"))
            self._make(self._real("quarantine"))

    def open(self, folder: Folder, *, to_look: bool = False) -> int | None:
        name = self._real(folder)
        with self._talking(f"opening {name}"):
            if folder != "inbox" and not self._client.folder_exists(name):
                return None
            facts = self._client.select_folder(name, readonly=to_look or self.keeps)
        self._opened = self._names[folder]
        self._validity = int(facts.get(b"UIDVALIDITY", 0))
        self._next = facts.get(b"UIDNEXT")
        return self._validity

    def place(self, uid: int) -> Place:
        return Place(self._opened, self._validity, uid)

    def uids(self, *, after: int = 0, since: date | None = None) -> list[int]:
        wanted: list[Any] = ["SINCE", since] if since else []
        found: set[int] = set()
        with self._talking("listing the mails"):
            for first, last in self._windows(after + 1):
                found |= set(self._client.search(["UID", f"{first}:{last}", *wanted]))
        return sorted(uid for uid in found if uid > after)  # n:* holds the last mail even where its UID is below n

    def _windows(self, first: int) -> Iterator[tuple[int, int | str]]:
        if self._next is not None:
            while first + _WINDOW < self._next:
                yield first, first + _WINDOW - 1
                first += _WINDOW
        yield first, "*"

    def present(self, uids: Sequence[int]) -> set[int]:
        found: set[int] = set()
        with self._talking("looking for mails"):
            for some in _in_pieces(uids):
                found |= set(self._client.search(["UID", ",".join(map(str, some))]))
        return found

    def about(self, uids: Sequence[int]) -> Mapping[int, About]:
        found: dict[int, About] = {}
        with self._talking("reading headers"):
            for some in _in_pieces(uids):
                found |= {
                    uid: _about(facts) for uid, facts in self._client.fetch(some, ["INTERNALDATE", _HEADER]).items()
                }
        return found

    def fetch(self, uid: int, into: BinaryIO) -> bool:
        at = size = 0
        while True:
            facts = self._piece(uid, at)
            if facts is None:
                return False
            if b"BODY[]" in facts and at == 0:  # a server that knows no pieces
                into.write(facts[b"BODY[]"] or b"")
                return True
            piece = facts.get(f"BODY[]<{at}>".encode()) or b""
            into.write(piece)
            at, size = at + len(piece), max(size, facts.get(b"RFC822.SIZE", 0))
            # Sizes that servers tell are not always right, so that only an empty or a last short piece ends it.
            if not piece or (len(piece) < PIECE and at >= size):
                return self._whole(uid, at, size)

    def _whole(self, uid: int, read: int, size: int) -> bool:
        """Of a mail that somebody removes meanwhile, Dovecot hands out nothing more, and says OK."""
        if read and read >= size:
            return True
        if not self._still_there(uid):
            return False
        if not read and size:
            raise Invalid(f"{_server(self._account)} does not hand out mail {uid}. Look at it there.")
        return True

    def _still_there(self, uid: int) -> bool:
        with self._talking("looking for news"):
            self._client.noop()
        return uid in self.present([uid])

    def _piece(self, uid: int, at: int) -> Mapping[bytes, Any] | None:
        try:
            with self._talking("reading a mail", refusable=True):
                wanted = ["RFC822.SIZE", f"BODY.PEEK[]<{at}.{PIECE}>"]
                found: Mapping[bytes, Any] | None = self._client.fetch([uid], wanted).get(uid)
        except Invalid:
            if self._still_there(uid):
                raise
            return None
        if found is None and self._still_there(uid):
            raise Invalid(f"{_server(self._account)} does not hand out mail {uid}. Look at it there.")
        return found

    def move(self, uid: int, to: Folder) -> Place | None:
        name = self._real(to)
        try:
            told = self._moved(uid, name)
        except Invalid:
            self._make(name)  # somebody may have removed it meanwhile
            told = self._moved(uid, name)
        return _copied(told, self._names[to])

    def _moved(self, uid: int, name: str) -> bytes | None:
        with self._talking(f"moving a mail to {name}", refusable=True):
            self._client._imap.response("COPYUID")
            if self._moves:
                self._client.move([uid], name)
                return _last(self._client._imap.response("COPYUID"))
            if uid not in self._client.search(["UID", str(uid)]):
                return None
            self._client.copy([uid], name)
            told = _last(self._client._imap.response("COPYUID"))
            self._client.delete_messages([uid], silent=True)
            self._client.uid_expunge([uid])
            return told

    def wait(self, seconds: float, stopping: Callable[[], bool]) -> None:
        until = time.monotonic() + min(seconds, RENEWAL)
        if self._told_meanwhile():
            return
        with self._talking("waiting for mail"):
            self._client.idle()
            news = self._told_already()
            while not news and not stopping() and time.monotonic() < until:
                news = self._readable(min(_GLANCE, max(0.0, until - time.monotonic())))
            self._client.idle_done()

    def _told_meanwhile(self) -> bool:
        """Whether an answer since the folder was opened spoke of more mails: the server will not say it again."""
        return len(self._client._imap.untagged_responses.get("EXISTS", ())) > 1

    def _told_already(self) -> bool:
        """Whether news came in one piece with the answer to IDLE: the socket would keep silent about it."""
        held = self._client.socket()
        held.setblocking(False)
        try:
            return bool(self._client._imap.file.peek(1))
        except ssl.SSLWantReadError:
            return False
        finally:
            held.settimeout(_TIMEOUT.read)

    def _readable(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._client.socket().fileno(), select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def leave(self) -> None:
        _shut(self._client)

    def _namespace(self) -> tuple[str, str]:
        """What own folders' names begin with, and what parts them."""
        with self._talking("asking for namespaces"):
            if self._client.has_capability("NAMESPACE"):
                personal = self._client.namespace().personal
                if personal:
                    prefix, delimiter = personal[0]
                    return prefix, delimiter or "/"
            listed = self._client.list_folders("", "")
            delimiter = listed[0][1] if listed else b"/"
            return "", delimiter.decode() if delimiter else "/"

    def _real(self, folder: Folder) -> str:
        """As the server calls it: ``Công văn/Đã nhận`` may be ``INBOX.Công văn.Đã nhận`` there."""
        if folder == "inbox":
            return self._names[folder]
        name = self._names[folder].replace("/", self._delimiter)
        return name if name.startswith(self._prefix) else self._prefix + name

    def _make(self, name: str) -> None:
        with self._talking(f"making the folder {name}"):
            if not self._client.folder_exists(name):
                self._client.create_folder(name)
                with suppress(imaplib.IMAP4.error):
                    self._client.subscribe_folder(name)

    @contextmanager
    def _talking(self, doing: str, *, refusable: bool = False) -> Iterator[None]:
        with _heard(self._account):
            try:
                yield
            except imaplib.IMAP4.abort:
                raise
            except imaplib.IMAP4.error as error:
                said = f"{_server(self._account)} refused {doing}: {_short(error)}."
                if refusable:
                    raise Invalid(f"{said} Look at it there.") from error
                raise Unavailable(f"{said} Check the mailbox; it is tried again.") from error


@contextmanager
def _heard(account: Account) -> Iterator[None]:
    """What a broken connection raises becomes Unavailable."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        why = f"its certificate is not trusted ({error.verify_message})"
        raise Unavailable(f"{_server(account)} was not spoken to: {why}. Correct it, or name its 'ca'.") from error
    except (imaplib.IMAP4.error, OSError, EOFError, ValueError) as error:  # ValueError: an answer nobody can read
        raise Unavailable(f"{_server(account)} does not answer: {_short(error)}. It is tried again.") from error


def _server(account: Account) -> str:
    return f"The mail server {account.host}:{account.port}"


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__


def _shut(client: IMAPClient) -> None:
    """A polite good-bye would wait for an answer that may never come."""
    with suppress(imaplib.IMAP4.error, OSError):
        client.shutdown()


def _in_pieces(uids: Sequence[int]) -> Iterator[Sequence[int]]:
    for at in range(0, len(uids), _AT_ONCE):
        yield uids[at : at + _AT_ONCE]


def _about(facts: Mapping[bytes, Any]) -> About:
    raw = next((value for key, value in facts.items() if key.startswith(b"BODY[")), b"") or b""
    message_id = str(BytesParser().parsebytes(raw, headersonly=True).get("Message-ID", ""))
    since = facts.get(b"INTERNALDATE")
    return About(since if isinstance(since, datetime) else datetime.fromtimestamp(0, UTC), message_id.strip()[:998])


def _last(response: tuple[str, list[bytes | None]]) -> bytes | None:
    return response[1][-1] if response[1] else None


def _copied(told: bytes | None, folder: str) -> Place | None:
    """The place in ``COPYUID 38505 304 3956`` (RFC 4315)."""
    words = (told or b"").split()
    if len(words) != 3 or not words[0].isdigit() or not words[2].isdigit():
        return None
    return Place(folder, int(words[0]), int(words[2]))
