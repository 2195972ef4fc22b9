"""An office that reads a real mailbox, round by round, and what can happen to it meanwhile."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import SecretStr

from docflow.adapters.mail import imap
from docflow.bootstrap import Container
from docflow.domain.errors import Unavailable
from docflow.domain.intake_settings import MailboxSettings
from docflow.services.mailboxes import Folder, Mailbox, Place
from docflow.services.ports import MailParser, ObjectStore, ParsedMail
from tests.conftest import District
from tests.dovecot import PASSWORD, MailAccount
from tests.mailbox import attachment, mail, many, text
from workflows.intake_mailbox import Visit, account
from workflows.mailbox_round import Round

NAME = "default"
boxes: list[imap.ImapMailbox] = []
"""Those that a test signed in to; they are left when it ends."""


def signed_in(account: MailAccount, secret: str = PASSWORD, **fields: Any) -> imap.ImapMailbox:
    settings = MailboxSettings(name="vanthu", **{"url": account.url, **fields})
    boxes.append(imap.sign_in(settings, SecretStr(secret)))
    return boxes[-1]


def reading(container: Container, box: MailAccount, options: str = "") -> Container:
    settings = container.settings.model_copy(update={"imap_url": box.whole_url + options})
    return replace(container, settings=settings)


def never() -> bool:
    return False


def visited(office: Container, rounds: int = 1) -> int:
    visit = Visit(office, NAME, never, stay=True)
    try:
        return sum(visit.round() for _ in range(rounds))
    finally:
        visit.leave()


def letter(number: int = 1, **headers: Any) -> bytes:
    return mail(
        many(text(f"Kính gửi số {number}"), attachment()), **{"Message_ID": f"<{number}@so.example>", **headers}
    )


def ledger(district: District) -> list[tuple[str, str, int]]:
    rows = district.query("SELECT state, reason_code, repeats FROM intake ORDER BY id")
    return [(row["state"], row["reason_code"], row["repeats"]) for row in rows]


def arrivals(district: District) -> list[tuple[str, str]]:
    rows = district.query("SELECT place, moved_to FROM arrival WHERE source = 'default' ORDER BY id")
    return [(row["place"], row["moved_to"]) for row in rows]


def mark(district: District) -> Any:
    return district.query("SELECT * FROM mailbox_mark WHERE name = 'default'")[0]


def told(district: District, kind: str) -> int:
    rows = district.query("SELECT count(DISTINCT key) AS n FROM notification WHERE kind = :k", k=kind)
    return int(rows[0]["n"])


class Counting:
    """The real parser, counted, and unable to read mails that hold ``bad``."""

    def __init__(self, parser: MailParser, bad: bytes = b"nothing at all") -> None:
        self.parser, self.bad, self.read = parser, bad, 0

    def parse(self, raw: Path, into: Path) -> ParsedMail:
        self.read += 1
        if self.bad in raw.read_bytes():
            raise Unavailable("The mail reader was stopped.")
        return self.parser.parse(raw, into)


def counting(office: Container, bad: bytes = b"nothing at all") -> Counting:
    parser = Counting(office.parser, bad)
    office.__dict__["intake_tools"] = replace(office.intake_tools, parser=parser)
    return parser


class Away:
    """An object store that does not answer."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def ready(self) -> bool:
        return False

    def put(self, source: BinaryIO, **more: Any) -> Any:
        raise Unavailable("The object store does not answer.")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Killed(BaseException):
    pass


class Between:
    """A mailbox with something that happens before each move."""

    def __init__(self, box: Mailbox, before_move: Callable[[int], None]) -> None:
        self._box, self._before = box, before_move

    def move(self, uid: int, to: Folder) -> Place | None:
        self._before(uid)
        return self._box.move(uid, to)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._box, name)


def interrupted(office: Container, before_move: Callable[[int], None]) -> None:
    signed_in = imap.sign_in(*account(office, NAME))
    try:
        Round(office, NAME, Between(signed_in, before_move), never).go()
    finally:
        signed_in.leave()
