"""The daily proof: each mail of the last days that a mailbox and its folders hold stands in the ledger, and what the
ledger says lies there does."""

import logging
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from docflow.bootstrap import Container
from docflow.db.queries import mailboxes as rows
from docflow.domain.errors import Invalid, Unavailable
from docflow.services import mailboxes
from docflow.services.asked import Asked
from docflow.services.intake import Envelope, receive, take_in
from docflow.services.letters import TakenIn
from docflow.services.mailboxes import CHANNEL, Finding, Folder, Mailbox, Proof
from docflow.services.ports import ParsedMail

_log = logging.getLogger(__name__)
PERIOD = timedelta(days=2)
PATIENCE = timedelta(minutes=10)
"""Younger mails in the inbox are taken to be on their way."""
FOLDERS: tuple[Folder, ...] = ("inbox", "processed", "quarantine")
"""In the order in which mails move, so that one which moves meanwhile is seen at least once."""
_PLACE = re.compile(r"(?P<folder>.+?)/(?P<validity>\d+)/(?P<uid>\d+)(?:/[0-9a-f]{16})?")
_FIRST = UUID(int=0)
_AT_ONCE = 1000


def prove(container: Container, name: str, box: Mailbox, stopping: Callable[[], bool] = lambda: False) -> Proof | None:
    """Compare, take in what stands nowhere, record what was found, and tell the clerks where it does not agree.

    Needs no lock: a round may go on meanwhile. None where the worker stops before it is done. Raises Unavailable.
    """
    now = container.clock()
    with container.sessions() as session:
        day = mailboxes.local_day(session, container.pictures, now)
    look = _Look(container, name, box, now)
    arrivals = list(look.arrivals(now - PERIOD))  # before the folders: what arrives later is not missed in them
    for folder in FOLDERS:
        if not look.through(folder, day - PERIOD, stopping):
            return None
    look.for_the_gone(arrivals)
    proof = Proof(day, look.held, look.known, tuple(look.findings), gone_is_odd=not box.keeps)
    with container.sessions.begin() as session:
        mailboxes.record(session, container.pictures, name, proof, now)
    container.waker.wake()
    return proof


class _Look:
    def __init__(self, container: Container, name: str, box: Mailbox, now: datetime) -> None:
        self._container = container
        self._name = name
        self._box = box
        self._now = now
        self._places: set[str] = set()
        self._hashes: set[str] = set()
        self.held = self.known = 0
        self.findings: list[Finding] = []

    def arrivals(self, since: datetime) -> Iterator[Any]:
        after: UUID = _FIRST
        while True:
            with self._container.sessions() as session:
                some = rows.lying(session, self._name, since, after)
            yield from some
            if len(some) < _AT_ONCE:
                return
            after = some[-1].id

    def through(self, folder: Folder, since: Any, stopping: Callable[[], bool]) -> bool:
        """False where it was stopped."""
        if self._box.open(folder, to_look=True) is None:
            return True
        whole = folder == "inbox" and not self._box.keeps
        places = {uid: str(self._box.place(uid)) for uid in self._box.uids(since=None if whole else since)}
        known = self._standing(places)
        unknown = [uid for uid in places if uid not in known]
        if folder == "inbox":
            unknown = self._old(unknown)
        if whole:
            self._not_moved(known, places)
        self._places |= {places[uid] for uid in known}
        self.held += len(known) + len(unknown)
        self.known += len(known)
        for uid in unknown:
            if stopping():
                return False
            self._examine(folder, uid)
        return True

    def _standing(self, places: Mapping[int, str]) -> list[int]:
        with self._container.sessions() as session:
            found = mailboxes.known_places(session, self._name, list(places.values()))
        return [uid for uid, place in places.items() if place in found]

    def _old(self, uids: Sequence[int]) -> list[int]:
        about = self._box.about(uids)
        return [uid for uid in uids if uid in about and about[uid].since <= self._now - PATIENCE]

    def _not_moved(self, known: Sequence[int], places: Mapping[int, str]) -> None:
        about = self._box.about(known)
        for uid in self._old(known):
            self.findings.append(Finding("not_moved", places[uid], about[uid].message_id))

    def _examine(self, folder: Folder, uid: int) -> None:
        """A mail at a place that the ledger does not know: known by its bytes or its content, or taken in now."""
        place = str(self._box.place(uid))
        try:
            found = self._found(folder, uid, place)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one mail's trouble is a finding, and hides no other
            _log.warning("mailbox %s: %s could not be taken in: %s", self._name, place, type(error).__name__)
            found = Finding("waiting", place, self._message_id(uid))
        if found is None:
            self.known += 1
            self._places.add(place)
        elif found.what == "vanished":
            self.held -= 1
        else:
            self.findings.append(found)

    def _found(self, folder: Folder, uid: int, place: str) -> Finding | None:
        with tempfile.TemporaryFile(prefix="docflow-mail-") as raw:
            if not self._box.fetch(uid, raw):
                return Finding("vanished", place)
            sha256 = mailboxes.digest_of(raw)
            self._hashes.add(sha256)
            if self._stands_by_bytes(folder, sha256, place):
                return None
            raw.seek(0)
            envelope = Envelope(CHANNEL, source=self._name, place=place)
            try:
                taken = take_in(self._container.intake_tools, raw, envelope)
            except Unavailable as error:
                mailboxes.require_parts(self._container.intake_tools)
                raise Invalid(error.message) from error
        return None if self._received(taken) else Finding("recovered", place, _message_id(taken))

    def _stands_by_bytes(self, folder: Folder, sha256: str, place: str) -> bool:
        with self._container.sessions.begin() as session:
            if not rows.holds_bytes(session, sha256):
                return False
            untold = [a for a in rows.arrivals_of(session, self._name, sha256) if not a.moved_to]
            if untold and folder != "inbox":
                rows.set_moved_to(session, self._name, untold[0].place, place)
            return True

    def _received(self, taken: TakenIn) -> bool:
        """Whether the ledger held the same letter already."""
        container = self._container
        with container.sessions.begin() as session:
            received = receive(session, container.pictures, taken, Asked(self._now, "mail"))
        return received.state == "duplicate"

    def _message_id(self, uid: int) -> str:
        about = self._box.about([uid]).get(uid)
        return about.message_id if about else ""

    def for_the_gone(self, arrivals: Sequence[Any]) -> None:
        """Arrivals that were not seen: older mails are asked for one by one, and the others are gone."""
        missed: dict[str, list[Any]] = defaultdict(list)
        for arrival in arrivals:
            seen = {arrival.place, arrival.moved_to} & self._places or arrival.raw_sha256 in self._hashes
            if not seen and (arrival.moved_to or self._box.places or self._box.keeps):
                missed[_parts(arrival)[0]].append(arrival)
        for folder in FOLDERS:
            validity = self._box.open(folder, to_look=True) if missed else None
            name = self._box.place(0).folder if validity is not None else ""
            there = missed.pop(name, [])
            uids = {_parts(arrival)[2] for arrival in there if _parts(arrival)[1] == validity}
            present = self._box.present(sorted(uids)) if uids else set()
            self._gone(a for a in there if _parts(a)[1] != validity or _parts(a)[2] not in present)
        for left in missed.values():
            self._gone(iter(left))

    def _gone(self, arrivals: Iterator[Any]) -> None:
        store = self._container.intake_tools.store
        for arrival in arrivals:
            what = "gone" if store.exists(arrival.raw_sha256) else "lost"
            self.findings.append(Finding(what, arrival.moved_to or arrival.place, arrival.message_id))


def _parts(arrival: Any) -> tuple[str, int, int]:
    """Folder, UIDVALIDITY and UID of where it lay last."""
    match = _PLACE.fullmatch(arrival.moved_to or arrival.place)
    return (match["folder"], int(match["validity"]), int(match["uid"])) if match else ("", 0, 0)


def _message_id(taken: TakenIn) -> str:
    return (taken.content.message_id or "") if isinstance(taken.content, ParsedMail) else ""
