"""Mailboxes: what is in them, how far they were read, and the daily proof that they and the ledger agree."""

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import MailboxMark
from docflow.db.queries import mailboxes as rows
from docflow.domain.errors import Unavailable, UnsupportedFile
from docflow.services.intake import Tools
from docflow.services.intake_notices import tell_clerks
from docflow.services.letters import TakenIn
from docflow.services.pictures import Pictures

CHANNEL = "mailbox"
MOST_TRIES = 5
"""After so many a mail that cannot be taken in is kept raw, in quarantine."""
TOLD_AFTER = timedelta(minutes=15)
"""How long a mailbox may fail before the clerks hear of it."""
LONGEST_PAUSE = timedelta(minutes=5)
SHORTEST_PAUSE = timedelta(seconds=5)
_PIECE = 256 * 1024
_AT_ONCE = 1000
_SHOWN = 2000  # characters of an error
_HARMLESS = b"From: a@example.org\r\nSubject: a\r\nDate: Mon, 02 Mar 2026 09:00:00 +0700\r\n\r\na\r\n"

Folder = Literal["inbox", "processed", "quarantine"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mail lies: a UID counts only with the UIDVALIDITY of its folder (RFC 9051, 2.3.1.1)."""

    folder: str
    validity: int
    uid: int

    def __str__(self) -> str:
        return f"{self.folder}/{self.validity}/{self.uid}"


@dataclass(frozen=True, slots=True)
class About:
    """``since`` is when the server received it."""

    since: datetime
    message_id: str


class Mailbox(Protocol):
    """One mailbox, signed in. Every method raises Unavailable where the server does not answer or breaks off.

    ``keeps``: mails stay where they are, because that is asked for or because the server can neither move nor delete
    a single one. ``pushes``: it tells of new mail. ``places``: it tells where a moved mail lies.
    """

    keeps: bool
    pushes: bool
    places: bool

    def open(self, folder: Folder, *, to_look: bool = False) -> int | None:
        """Choose the folder and return its UIDVALIDITY; None where there is no such folder."""

    def place(self, uid: int) -> Place:
        """Of a mail in the open folder."""

    def uids(self, *, after: int = 0, since: date | None = None) -> list[int]:
        """Of the open folder, ascending, above ``after`` and received on ``since`` or later."""

    def present(self, uids: Sequence[int]) -> set[int]:
        """Those of them that are in the open folder."""

    def about(self, uids: Sequence[int]) -> Mapping[int, About]: ...

    def fetch(self, uid: int, into: BinaryIO) -> bool:
        """Write the raw mail, in pieces, without marking it read. False where it is no longer there. Raises Invalid
        where the server does not hand out this one."""

    def move(self, uid: int, to: Folder) -> Place | None:
        """Returns where it lies now, if the server says so; a mail that is gone is no error. Raises Invalid where
        the server refuses."""

    def wait(self, seconds: float, stopping: Callable[[], bool]) -> None:
        """Until there is news, for ``seconds`` at most."""

    def leave(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a mailbox was read. ``troubles`` counts by UID how often a mail could not be taken in."""

    last_uid: int
    troubles: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger says of a mail at a place."""

    sha256: str
    state: str

    @property
    def belongs_in(self) -> Folder:
        return folder_for(self.state)


def folder_for(state: str) -> Folder:
    return "quarantine" if state == "quarantine" else "processed"


def require_parts(tools: Tools) -> None:
    """Tells the trouble of one mail from that of all: raises Unavailable where not even a harmless one could be taken
    in."""
    if not tools.store.ready():
        raise Unavailable("The object store does not answer. It is tried again.")
    with tempfile.TemporaryDirectory(prefix="docflow-in-") as folder:
        path = Path(folder) / "raw"
        path.write_bytes(_HARMLESS)
        if tools.scanner is not None:
            tools.scanner.scan(path)
        try:
            tools.parser.parse(path, Path(folder) / "parts")
        except UnsupportedFile as error:
            raise Unavailable(f"The mail reader reads no mail at all: {error.message}") from error


def digest_of(raw: BinaryIO) -> str:
    """SHA-256 of the whole of it, as the store names it."""
    raw.seek(0)
    digest = hashlib.sha256()
    while piece := raw.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()


def kept_raw(tools: Tools, raw: BinaryIO, envelope: dict[str, Any], error: str) -> TakenIn:
    """A mail that could not be taken in, as it came; a clerk decides."""
    stored = tools.store.put(raw, media_type="message/rfc822", may_be_empty=True)
    return TakenIn("mail", stored, envelope).refused(
        "unreadable", f"It could not be read {MOST_TRIES} times: {error[:_SHOWN]} Look at it and release or reject it."
    )


def begin(session: Session, name: str, validity: int) -> Mark:
    """Where to go on. Another UIDVALIDITY makes all UIDs new: the content key keeps doubles out."""
    mark = _mark(session, name)
    if mark.uid_validity != validity:
        mark.uid_validity, mark.last_uid, mark.troubles = validity, 0, {}
    return Mark(mark.last_uid, {int(uid): tries for uid, tries in mark.troubles.items()})


def passed(session: Session, name: str, uid: int) -> None:
    """The mail is in the ledger; in the same transaction."""
    mark = _mark(session, name)
    mark.last_uid = max(mark.last_uid, uid)
    mark.troubles = {known: tries for known, tries in mark.troubles.items() if known != str(uid)}


def troubled(session: Session, name: str, uid: int, error: str) -> int:
    """The mail could not be taken in, and is tried again beside those after it. Returns how often that was."""
    mark = _mark(session, name)
    tries = int(mark.troubles.get(str(uid), 0)) + 1
    mark.last_uid = max(mark.last_uid, uid)
    mark.troubles = {**mark.troubles, str(uid): tries}
    mark.last_error = error[:_SHOWN]
    return tries


def looked(session: Session, name: str, present: Sequence[int], now: datetime) -> None:
    """All of it was looked at: troubles with mails that are gone are over."""
    mark = _mark(session, name)
    there = {str(uid) for uid in present}
    mark.troubles = {uid: tries for uid, tries in mark.troubles.items() if uid in there}
    mark.looked_at, mark.failing_since = now, None
    if not mark.troubles:
        mark.last_error = ""


def failed(session: Session, pictures: Pictures, name: str, error: str, now: datetime) -> timedelta:
    """It could not be read. Returns how long to leave it alone: as long as it has been failing, within limits."""
    mark = _mark(session, name)
    mark.failing_since = mark.failing_since or now
    mark.looked_at, mark.last_error = now, error[:_SHOWN]
    failing = now - mark.failing_since
    if failing >= TOLD_AFTER:
        since = mark.failing_since.isoformat()
        data = {"mailbox": name, "since": since}
        tell_clerks(session, pictures, "intake_mailbox_failing", f"mailbox:{name}:{since}", data, now)
    return min(LONGEST_PAUSE, max(SHORTEST_PAUSE, failing))


def wait_until(session: Session, name: str) -> datetime | None:
    """When a mailbox that fails is tried again by those who begin anew each time; None where it may be at once."""
    mark = session.get(MailboxMark, name)
    if mark is None or mark.failing_since is None or mark.looked_at is None:
        return None
    return mark.looked_at + min(LONGEST_PAUSE, max(SHORTEST_PAUSE, mark.looked_at - mark.failing_since))


def _mark(session: Session, name: str) -> MailboxMark:
    return rows.lock_mark(session, name)


def known_at(session: Session, name: str, place: Place | str) -> Known | None:
    found = rows.at_place(session, name, str(place))
    return Known(*found) if found else None


def known_places(session: Session, name: str, places: Sequence[str]) -> set[str]:
    """Those of them where an arrival of the ledger lay or lies."""
    found: set[str] = set()
    for at in range(0, len(places), _AT_ONCE):
        found |= rows.known_places(session, name, places[at : at + _AT_ONCE])
    return found


def moved(session: Session, name: str, place: str, to: Place) -> None:
    """``place`` is the one the mail arrived at."""
    rows.set_moved_to(session, name, place, str(to))


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not agree. ``what``: recovered (it stood nowhere and was taken in now), waiting (it could
    not be), not_moved (taken in, but it still lies in the inbox), gone (no folder holds it; its bytes are in the
    store) or lost (nor are they)."""

    what: str
    place: str
    message_id: str = ""

    def as_json(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Proof:
    """``held`` mails lay in the mailbox and its folders; ``known`` of them stood in the ledger."""

    day: date
    held: int
    known: int
    findings: tuple[Finding, ...]
    gone_is_odd: bool = True
    """Where people file the mails themselves, one that is gone is told, and no disagreement."""

    @property
    def recovered(self) -> int:
        return sum(finding.what == "recovered" for finding in self.findings)

    @property
    def agreed(self) -> bool:
        return all(finding.what == "gone" and not self.gone_is_odd for finding in self.findings)


def local_day(session: Session, pictures: Pictures, now: datetime) -> date:
    _, calendars = pictures.current_calendars(session)
    return now.astimezone(calendars.for_units().zone).date()


def proved(session: Session, name: str, day: date) -> bool:
    return rows.proof_exists(session, name, day)


def record(session: Session, pictures: Pictures, name: str, proof: Proof, now: datetime) -> None:
    """One row a day; what an earlier proof of the day recovered stays in it. The clerks are told once a day."""
    row = {
        "id": new_id(),
        "mailbox": name,
        "day": proof.day,
        "made_at": now,
        "held": proof.held,
        "known": proof.known,
        "recovered": proof.recovered,
        "agreed": proof.agreed,
        "findings": [finding.as_json() for finding in proof.findings],
    }
    rows.write_proof(session, row)
    if not proof.agreed:
        day = proof.day.isoformat()
        data: dict[str, Any] = {"mailbox": name, "day": day, "missing": len(proof.findings)}
        tell_clerks(session, pictures, "intake_mailbox_disagrees", f"mailbox:{name}:{day}", data, now)
