"""The daily proof that a real mailbox and the ledger agree."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from docflow.bootstrap import Container
from docflow.domain.errors import Invalid, Unavailable
from docflow.services.mailboxes import Proof
from tests.conftest import Clock, District
from tests.dovecot import MailAccount
from tests.mail_office import NAME, Away, arrivals, counting, interrupted, ledger, letter, never, reading, told, visited
from tests.mailbox import mail, nested
from workflows.intake_mailbox import Visit, prove_now


@pytest.fixture
def office(container: Container, box: MailAccount) -> Container:
    """A container that reads the box."""
    return reading(container, box)


@pytest.fixture
def today(clock: Clock) -> Clock:
    """The server's clock is the real one."""
    clock.now = datetime.now(UTC)
    return clock


def proved(office: Container) -> Proof:
    proof = prove_now(office, NAME)
    assert proof is not None
    return proof


def recorded(district: District) -> Any:
    (row,) = district.query("SELECT * FROM mailbox_proof")
    return row


def whats(proof: Proof) -> list[str]:
    return [finding.what for finding in proof.findings]


def test_the_proof_agrees_where_every_mail_stands_in_the_ledger(
    office: Container, district: District, box: MailAccount, today: Clock
) -> None:
    box.put(letter(1))
    box.put(letter(1))
    box.put(mail(nested(200)))
    visited(office)
    box.put(letter(2))  # it has just come: nobody could have taken it in yet
    proof = proved(office)
    assert (proof.held, proof.known, proof.findings, proof.agreed) == (3, 3, (), True)
    assert recorded(district)["agreed"]
    assert told(district, "intake_mailbox_disagrees") == 0


def test_a_mail_that_stands_nowhere_is_taken_in_and_told_once(
    office: Container, district: District, box: MailAccount, today: Clock
) -> None:
    visited(office)
    box.put(letter(7), "Processed")
    proof = proved(office)
    assert (proof.held, proof.known, proof.recovered, proof.agreed) == (1, 0, 1, False)
    assert proof.findings[0].message_id == "<7@so.example>"
    assert ledger(district) == [("document", "", 0)]
    assert proved(office).agreed
    row = recorded(district)
    assert (row["recovered"], [f["what"] for f in row["findings"]]) == (1, ["recovered"])
    assert told(district, "intake_mailbox_disagrees") == 1


def test_a_mail_whose_new_place_was_never_told_is_known_by_its_bytes(
    office: Container, district: District, box: MailAccount, today: Clock
) -> None:
    box.put(letter())
    visited(office)
    with office.sessions.begin() as session:
        session.connection().exec_driver_sql("UPDATE arrival SET moved_to = ''")
    proof = proved(office)
    assert (proof.held, proof.known, proof.agreed) == (1, 1, True)
    assert arrivals(district)[0][1].startswith("Processed/")


def test_the_same_letter_in_other_bytes_is_known_by_its_content(
    office: Container, district: District, box: MailAccount, today: Clock
) -> None:
    box.put(letter())
    visited(office)
    box.put(b"Received: from elsewhere\r\n" + letter(), "Processed")
    proof = proved(office)
    assert (proof.held, proof.known, proof.agreed) == (2, 2, True)
    assert ledger(district) == [("document", "", 1)]


def test_a_mail_that_was_removed_is_gone_and_one_without_bytes_is_lost(
    office: Container, district: District, box: MailAccount, today: Clock
) -> None:
    for number in (1, 2):
        box.put(letter(number))
    visited(office)
    with box.client() as other:
        other.select_folder("Processed")
        other.delete_messages([1, 2])
        other.uid_expunge([1, 2])
    (first, second) = (row["raw_sha256"] for row in district.query("SELECT raw_sha256 FROM intake ORDER BY id"))

    class Emptied(Away):
        def exists(self, sha256: str) -> bool:
            return bool(sha256 == first)

    office.__dict__["intake_tools"] = replace(office.intake_tools, store=Emptied(office.store))
    proof = proved(office)
    assert (whats(proof), proof.agreed) == (["gone", "lost"], False)
    assert proof.findings[1].message_id == "<2@so.example>"
    assert second != first


def test_an_old_mail_taken_in_today_is_not_taken_for_gone(
    office: Container, district: District, box: MailAccount, today: Clock
) -> None:
    box.put(letter(), at=datetime.now(UTC) - timedelta(days=30))
    visited(office)
    proof = proved(office)
    assert (proof.held, proof.agreed) == (0, True)


def test_mails_that_wait_too_long_are_reported(
    office: Container, district: District, box: MailAccount, today: Clock
) -> None:
    before = datetime.now(UTC) - timedelta(minutes=11)
    box.put(letter(1, Subject="khong-doc-duoc"), at=before)
    box.put(letter(2), at=before)
    counting(office, b"khong-doc-duoc")

    def refuse(uid: int) -> None:
        raise Invalid("The mail server refused moving it.")

    with pytest.raises(Unavailable):
        interrupted(office, refuse)
    proof = proved(office)
    assert sorted(whats(proof)) == ["not_moved", "waiting"]
    assert (proof.held, proof.known, proof.agreed) == (2, 1, False)


def test_where_people_file_the_mails_themselves_a_gone_one_is_no_disagreement(
    container: Container, district: District, box: MailAccount, today: Clock
) -> None:
    office = reading(container, box, "?after=keep")
    box.put(letter())
    visited(office)
    with box.client() as other:
        other.select_folder("INBOX")
        other.delete_messages([1])
        other.uid_expunge([1])
    proof = proved(office)
    assert (whats(proof), proof.agreed) == (["gone"], True)


def test_the_proof_is_made_once_a_day_by_itself(
    container: Container, district: District, box: MailAccount, today: Clock
) -> None:
    office = reading(container, box)
    visit = Visit(office, NAME, never, stay=True)
    visit.round()
    first = recorded(district)["made_at"]
    today.pass_time(minutes=5)
    visit.round()
    assert recorded(district)["made_at"] == first
    again = Visit(office, NAME, never, stay=True)
    again.round()
    assert recorded(district)["made_at"] == first, "another worker made it again"
    today.pass_time(days=1)
    visit.round()
    assert len(district.query("SELECT FROM mailbox_proof")) == 2
    visit.leave()
    again.leave()
