"""One round through a mailbox: fetch, store, commit, and only then move. Killed between any two of these, the next
round finds the mail where it lay and goes on from there."""

import logging
import tempfile
from collections.abc import Callable, Sequence
from typing import BinaryIO

from sqlalchemy import text

from docflow.bootstrap import Container
from docflow.domain.errors import DocflowError, Invalid, Unavailable
from docflow.services import mailboxes
from docflow.services.asked import Asked
from docflow.services.intake import Envelope, Received, receive, take_in
from docflow.services.letters import TakenIn
from docflow.services.mailboxes import CHANNEL, MOST_TRIES, Folder, Mailbox, Mark

_log = logging.getLogger(__name__)
MOST = 200
"""Mails in one round, so that between two it can be seen whether the mailbox is still ours and wanted."""


class Round:
    """``name`` is the mailbox's. Afterwards ``taken`` letters are in the ledger that were not before, and ``more``
    says whether some were left to the next round."""

    def __init__(self, container: Container, name: str, box: Mailbox, stopping: Callable[[], bool]) -> None:
        self._container = container
        self._name = name
        self._box = box
        self._stopping = stopping
        self._mark = Mark(0, {})
        self._refused: Invalid | None = None
        self.taken = 0
        self.more = False

    def go(self) -> int:
        """Raises Unavailable where the server, the store, the database or another part that all mails need is away,
        or the server does not let mails be moved; those are in the ledger then."""
        validity = self._box.open("inbox")
        if validity is None:
            raise Unavailable(f"There is no folder to read in mailbox '{self._name}'. Correct its address.")
        with self._container.sessions.begin() as session:
            self._mark = mailboxes.begin(session, self._name, validity)
        uids = self._wanted()
        self.more = len(uids) > MOST
        for uid in uids[:MOST]:
            if self._stopping():
                return self.taken
            self._one(uid)
        if self._refused is not None:
            raise Unavailable(self._refused.message) from self._refused
        with self._container.sessions.begin() as session:
            mailboxes.looked(session, self._name, uids, self._container.clock())
        return self.taken

    def _wanted(self) -> Sequence[int]:
        """New ones first: those that are known could not be moved, and those that made trouble may take long again."""
        troubled = self._mark.troubles
        if self._box.keeps:
            found = {*self._box.uids(after=self._mark.last_uid), *self._box.present(sorted(troubled))}
            return sorted(found, key=lambda uid: (uid in troubled, uid))
        places = {uid: str(self._box.place(uid)) for uid in self._box.uids()}
        with self._container.sessions() as session:
            known = mailboxes.known_places(session, self._name, list(places.values()))
        return sorted(places, key=lambda uid: (uid in troubled, places[uid] in known, uid))

    def _one(self, uid: int) -> None:
        with tempfile.TemporaryFile(prefix="docflow-mail-") as raw:
            try:
                if not self._box.fetch(uid, raw):
                    return
            except Invalid as error:
                self._troubled(uid, error)
                return
            try:
                place, to = self._entered(uid, raw)
            except Exception as error:  # noqa: BLE001 - no mail may stand in the way of the next, whatever it holds
                self._require_parts(error)
                if self._troubled(uid, error) < MOST_TRIES or not self._kept_raw(uid, raw, error):
                    return
                place, to = str(self._box.place(uid)), "quarantine"
        if not self._box.keeps:
            self._move(uid, place, to)

    def _entered(self, uid: int, raw: BinaryIO) -> tuple[str, Folder]:
        """The place it arrived at, as the ledger calls it, and the folder it belongs in."""
        place = str(self._box.place(uid))
        sha256 = mailboxes.digest_of(raw)
        with self._container.sessions() as session:
            known = mailboxes.known_at(session, self._name, place)
        if known is not None and known.sha256 == sha256:
            self._passed(uid)
            return place, known.belongs_in
        if known is not None:  # a server that gives a UID twice: another mail lies where one lay before
            place = f"{place}/{sha256[:16]}"
        raw.seek(0)
        taken = take_in(self._container.intake_tools, raw, Envelope(CHANNEL, source=self._name, place=place))
        return place, mailboxes.folder_for(self._received(uid, taken).state)

    def _received(self, uid: int, taken: TakenIn) -> Received:
        container = self._container
        with container.sessions.begin() as session:
            received = receive(session, container.pictures, taken, Asked(container.clock(), "mail"))
            if self._marks(uid):
                mailboxes.passed(session, self._name, uid)
        self.taken += received.state != "duplicate"
        container.waker.wake()
        return received

    def _passed(self, uid: int) -> None:
        if self._marks(uid):
            with self._container.sessions.begin() as session:
                mailboxes.passed(session, self._name, uid)

    def _marks(self, uid: int) -> bool:
        """Where mails are moved, what is left in the inbox says how far it was read."""
        return self._box.keeps or uid in self._mark.troubles

    def _require_parts(self, error: Exception) -> None:
        try:
            mailboxes.require_parts(self._container.intake_tools)
            with self._container.sessions() as session:
                session.execute(text("SELECT 1"))
        except Exception as missing:  # noqa: BLE001 - whatever a harmless mail meets, the next one would meet too
            raise Unavailable(f"Mail cannot be taken in now: {_told(missing)}") from error

    def _troubled(self, uid: int, error: Exception) -> int:
        unforeseen = None if isinstance(error, DocflowError) else error
        _log.warning(
            "mailbox %s: mail %d could not be taken in: %s", self._name, uid, _told(error), exc_info=unforeseen
        )
        with self._container.sessions.begin() as session:
            return mailboxes.troubled(session, self._name, uid, f"Mail {uid}: {_told(error)}")

    def _kept_raw(self, uid: int, raw: BinaryIO, error: Exception) -> bool:
        envelope = Envelope(CHANNEL, source=self._name, place=str(self._box.place(uid)))
        raw.seek(0)
        try:
            taken = mailboxes.kept_raw(self._container.intake_tools, raw, envelope.as_json(), _told(error))
            self._received(uid, taken)
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - it lies where it lay, and those behind it are taken in
            _log.exception("mailbox %s: mail %d could not even be kept raw; it stays where it is", self._name, uid)
            return False
        self._passed(uid)
        return True

    def _move(self, uid: int, place: str, to: Folder) -> None:
        try:
            lies = self._box.move(uid, to)
        except Invalid as error:
            self._refused = error
            return
        if lies is not None:
            with self._container.sessions.begin() as session:
                mailboxes.moved(session, self._name, place, lies)


def _told(error: Exception) -> str:
    """Others' messages can hold what is in the mail."""
    return error.message if isinstance(error, DocflowError) else f"{type(error).__name__}; the log says more."
