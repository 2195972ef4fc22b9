"""Decisions on letters that turn out to be the same letter."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.exc import IntegrityError

from docflow.domain.errors import DocflowError, Duplicate, UnsupportedFile
from docflow.services import intake, quarantine
from docflow.services.asked import Asked
from docflow.services.intake import Envelope, Received
from docflow.services.ports import Hazard, MailParser, ParsedMail
from docflow.services.quarantine import Release
from tests.conftest import District
from tests.services.test_cli import mail

RAW = mail("Đề nghị phối hợp", "a")
AGAIN = b"Received: from elsewhere\r\n" + RAW
"""The same letter by another way: other bytes, the same content."""


class Unreadable:
    def parse(self, raw: Path, into: Path) -> ParsedMail:
        raise UnsupportedFile("Reading the message broke the reader.", reason="unreadable")


class Hazardous:
    """Reads as the real one, and finds what it reads encrypted."""

    def __init__(self, real: MailParser) -> None:
        self._real = real

    def parse(self, raw: Path, into: Path) -> ParsedMail:
        return replace(self._real.parse(raw, into), hazard=Hazard("encrypted", "It is encrypted."))


@contextmanager
def reader(district: District, parser: MailParser) -> Iterator[None]:
    before = district.container.intake_tools
    district.container.__dict__["intake_tools"] = replace(before, parser=parser)
    yield
    district.container.__dict__["intake_tools"] = before


def bring(district: District, raw: bytes) -> Received:
    container = district.container
    taken = intake.take_in(container.intake_tools, BytesIO(raw), Envelope("import"))
    with container.sessions.begin() as session:
        return intake.receive(session, container.pictures, taken, Asked(container.clock(), "mail"))


def reparse(district: District, intake_id: UUID) -> Received:
    container = district.container
    with container.sessions.begin() as session:
        letter = quarantine.held(session, container.pictures, intake_id, "reparse")
    taken = quarantine.read_again(container.intake_tools, letter)
    with container.sessions.begin() as session:
        return quarantine.reparse(session, container.pictures, intake_id, taken, district.asked("vanthu1"))


def release(district: District, intake_id: UUID) -> Received:
    container = district.container
    with container.sessions.begin() as session:
        letter = quarantine.held(session, container.pictures, intake_id, "release")
    taken = quarantine.read_again(container.intake_tools, letter)
    with container.sessions.begin() as session:
        return quarantine.release(session, container.pictures, intake_id, taken, Release(), district.asked("vanthu1"))


def two_unread(district: District) -> list[UUID]:
    with reader(district, Unreadable()):
        return [bring(district, raw).intake_id for raw in (RAW, AGAIN)]


def documents(district: District) -> list[Any]:
    return district.query("SELECT id FROM document")


def test_two_that_were_unreadable_and_are_the_same_become_one_document(district: District) -> None:
    first, second = two_unread(district)
    became = reparse(district, first)
    known = reparse(district, second)
    assert (became.state, known.state, known.reason_code) == ("document", "linked", "duplicate")
    assert became.document_id == known.document_id
    assert len(documents(district)) == 1
    assert bring(district, b"X-Way: third\r\n" + RAW).intake_id == first


def test_read_anew_at_the_same_moment_they_still_become_one_document(district: District) -> None:
    both = two_unread(district)
    together = Barrier(2)

    def one(intake_id: UUID) -> str:
        together.wait()
        try:
            return reparse(district, intake_id).state
        except IntegrityError:  # the API says: read it again and decide anew
            return "told to try again"

    with ThreadPoolExecutor(2) as pool:
        states = sorted(pool.map(one, both))
    assert states in (["document", "linked"], ["document", "told to try again"])
    assert len(documents(district)) == 1
    left = district.query("SELECT id FROM intake WHERE state = 'quarantine'")
    assert [reparse(district, row["id"]).state for row in left] in ([], ["linked"])


def test_of_two_that_wait_one_is_decided_on_and_the_other_follows(district: District) -> None:
    first, second = two_unread(district)
    with reader(district, Hazardous(district.container.parser)):
        assert reparse(district, first).reason_code == "encrypted"
        stays = reparse(district, second)
        assert (stays.state, stays.reason_code) == ("quarantine", "duplicate")
        assert str(first) in stays.reason
        became = release(district, first)
        with pytest.raises(Duplicate):
            release(district, second)
        assert reparse(district, second).document_id == became.document_id
    assert len(documents(district)) == 1


def test_where_the_second_clerk_waits_for_the_first_only_one_decision_stands(district: District) -> None:
    with reader(district, Unreadable()):
        letters = [bring(district, mail("Đề nghị", str(n))).intake_id for n in range(4)]
    container = district.container

    def reject(intake_id: UUID, together: Barrier) -> str:
        together.wait()
        try:
            with container.sessions.begin() as session:
                asked = district.asked("vanthu2")
                return quarantine.reject(session, container.pictures, intake_id, "Thư rác", asked).state
        except DocflowError as error:
            return error.code

    for intake_id in letters:
        together = Barrier(3)
        with ThreadPoolExecutor(3) as pool:
            answers = sorted(pool.map(lambda _, i=intake_id, b=together: reject(i, b), range(3)))
        assert answers == ["illegal_transition", "illegal_transition", "rejected"]
