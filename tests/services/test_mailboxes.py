"""Rounds through a real mailbox, and what stands in their way."""

import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from pydantic import SecretStr

from docflow.bootstrap import Container
from docflow.domain.errors import Invalid, Unavailable
from tests.conftest import ROOT, Clock, District
from tests.dovecot import Dovecot, MailAccount
from tests.mail_office import (
    NAME,
    Away,
    Killed,
    arrivals,
    counting,
    interrupted,
    ledger,
    letter,
    mark,
    never,
    reading,
    told,
    visited,
)
from tests.mailbox import attachment, mail, many, nested, text
from workflows import mailbox_round
from workflows.intake_mailbox import Visit


@pytest.fixture
def office(container: Container, box: MailAccount) -> Container:
    """A container that reads the box."""
    return reading(container, box)


def test_letters_become_documents_and_lie_unread_in_processed(
    office: Container, district: District, box: MailAccount
) -> None:
    for number in range(3):
        box.deliver(letter(number))
    assert visited(office) == 3
    assert ledger(district) == [("document", "", 0)] * 3
    assert box.mails() == {}
    assert len(box.mails("Processed")) == 3
    assert box.flags("Processed") == [set()] * 3
    places = arrivals(district)
    assert [place.split("/")[0::2] for place, _ in places] == [["INBOX", str(uid)] for uid in (1, 2, 3)]
    assert [to.split("/")[0::2] for _, to in places] == [["Processed", str(uid)] for uid in (1, 2, 3)]
    assert mark(district)["looked_at"] is not None


def test_mails_without_a_message_id_are_letters_of_their_own(
    office: Container, district: District, box: MailAccount
) -> None:
    box.put(mail(text("một"), without=["Message-ID"]))
    box.put(mail(text("hai"), without=["Message-ID"]))
    assert visited(office) == 2
    assert ledger(district) == [("document", "", 0)] * 2


def test_the_same_letter_twice_is_one_document_with_two_arrivals(
    office: Container, district: District, box: MailAccount
) -> None:
    box.put(letter())
    box.put(letter())
    assert visited(office) == 1
    assert ledger(district) == [("document", "", 1)]
    assert len(arrivals(district)) == 2
    assert len(box.mails("Processed")) == 2


def test_an_unreadable_mail_among_good_ones_goes_to_quarantine_with_its_reason(
    office: Container, district: District, box: MailAccount
) -> None:
    box.put(letter(1))
    box.put(mail(nested(200)))
    box.put(letter(2))
    assert visited(office) == 3
    assert [state for state, _, _ in ledger(district)] == ["document", "quarantine", "document"]
    assert ledger(district)[1][1] == "nested_too_deep"
    assert (len(box.mails()), len(box.mails("Processed")), len(box.mails("Quarantine"))) == (0, 2, 1)


def test_killed_between_commit_and_move_the_next_round_only_moves(
    office: Container, district: District, box: MailAccount
) -> None:
    box.put(letter())
    box.put(mail(nested(200)))

    def kill(uid: int) -> None:
        raise Killed

    for _ in range(2):
        with pytest.raises(Killed):
            interrupted(office, kill)
    parser = counting(office)
    assert visited(office) == 0
    assert parser.read == 0, "it was read again although it was known"
    assert len(arrivals(district)) == 2
    assert [repeats for _, _, repeats in ledger(district)] == [0, 0]
    assert (len(box.mails()), len(box.mails("Processed")), len(box.mails("Quarantine"))) == (0, 1, 1)


def test_killed_between_move_and_note_nothing_is_taken_twice(
    office: Container, district: District, box: MailAccount
) -> None:
    box.put(letter())

    def move_and_kill(uid: int) -> None:
        with box.client() as other:
            other.select_folder("INBOX")
            other.move([uid], "Processed")
        raise Killed

    with pytest.raises(Killed):
        interrupted(office, move_and_kill)
    assert visited(office) == 0
    assert ledger(district) == [("document", "", 0)]
    assert len(arrivals(district)) == 1
    assert len(box.mails("Processed")) == 1


def test_a_mailbox_made_anew_with_the_same_uids_hides_no_mail(
    office: Container, district: District, box: MailAccount
) -> None:
    box.put(letter(1))
    assert visited(office) == 1
    box.remake()
    time.sleep(1.1)  # Dovecot's UIDVALIDITY is the second in which the folder was made
    box.put(letter(2))
    assert visited(office) == 1
    assert len({place for place, _ in arrivals(district)}) == 2
    assert ledger(district) == [("document", "", 0)] * 2


def test_a_uid_that_a_server_gives_twice_hides_no_mail(office: Container, district: District, box: MailAccount) -> None:
    box.put(letter(1))
    assert visited(office) == 1
    with office.sessions.begin() as session:
        session.connection().exec_driver_sql("UPDATE arrival SET place = regexp_replace(place, '/1$', '/2')")
    box.put(letter(2))
    assert visited(office) == 1
    assert ledger(district) == [("document", "", 0)] * 2
    assert len(arrivals(district)) == 2
    assert box.mails() == {}


def test_a_mail_that_always_fails_is_tried_later_and_kept_raw_in_the_end(
    office: Container, district: District, box: MailAccount
) -> None:
    bad = letter(1, Subject="khong-doc-duoc")
    box.put(bad)
    box.put(letter(2))
    counting(office, b"khong-doc-duoc")
    assert visited(office) == 1
    assert mark(district)["troubles"] == {"1": 1}
    assert "reader was stopped" in mark(district)["last_error"]
    assert len(box.mails()) == 1
    assert visited(office, rounds=3) == 0
    box.put(letter(3))
    assert visited(office) == 2
    assert sorted(ledger(district)) == [("document", "", 0), ("document", "", 0), ("quarantine", "unreadable", 0)]
    assert mark(district)["troubles"] == {}
    assert list(box.mails("Quarantine").values()) == [bad]
    (kept,) = district.query("SELECT raw_sha256 FROM intake WHERE state = 'quarantine'")
    assert b"".join(office.store.open(kept["raw_sha256"])) == bad


def test_while_the_store_is_away_mails_stay_and_none_is_blamed(
    office: Container, district: District, box: MailAccount
) -> None:
    box.put(letter())
    tools = office.intake_tools
    office.__dict__["intake_tools"] = replace(tools, store=Away(tools.store))
    assert visited(office) == 0
    assert mark(district)["failing_since"] is not None
    assert "store does not answer" in mark(district)["last_error"]
    assert mark(district)["troubles"] == {}
    assert len(box.mails()) == 1
    office.__dict__["intake_tools"] = tools
    assert visited(office) == 1
    assert mark(district)["failing_since"] is None
    assert mark(district)["last_error"] == ""


def test_a_mail_that_cannot_be_moved_stops_no_other(office: Container, district: District, box: MailAccount) -> None:
    for number in range(3):
        box.put(letter(number))

    def refuse_first(uid: int) -> None:
        if uid == 1:
            raise Invalid("The mail server refused moving it.")

    with pytest.raises(Unavailable, match="refused moving"):
        interrupted(office, refuse_first)
    assert ledger(district) == [("document", "", 0)] * 3
    assert list(box.mails()) == [1]
    assert visited(office) == 0
    assert box.mails() == {}
    assert ledger(district) == [("document", "", 0)] * 3


def test_a_full_mailbox_is_read_in_several_rounds_new_mails_before_those_that_cannot_be_moved(
    office: Container, district: District, box: MailAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox_round, "MOST", 2)
    for number in range(5):
        box.put(letter(number))

    def refuse(uid: int) -> None:
        raise Invalid("The mail server refused moving it.")

    for known in (2, 4, 5):
        with pytest.raises(Unavailable):
            interrupted(office, refuse)
        assert len(ledger(district)) == known
    visit = Visit(office, NAME, never, stay=True)
    rounds = [(visit.round(), visit.more) for _ in range(3)]
    visit.leave()
    assert rounds == [(0, True), (0, True), (0, False)]
    assert box.mails() == {}


def test_where_mails_are_kept_each_is_read_once_and_nothing_is_touched(
    container: Container, district: District, box: MailAccount
) -> None:
    office = reading(container, box, "?after=keep")
    parser = counting(office)
    box.put(letter(1))
    box.put(mail(nested(200)))
    assert visited(office) == 2
    assert visited(office) == 0
    box.put(letter(2))
    assert visited(office) == 1
    assert parser.read == 3
    assert mark(district)["last_uid"] == 3
    assert box.flags() == [set()] * 3
    assert box.mails("Processed") == {}


def test_where_mails_are_kept_another_uidvalidity_starts_over_without_doubles(
    container: Container, district: District, box: MailAccount
) -> None:
    office = reading(container, box, "?after=keep")
    for number in range(2):
        box.put(letter(number))
    assert visited(office) == 2
    box.remake()
    time.sleep(1.1)  # Dovecot's UIDVALIDITY is the second in which the folder was made
    box.put(letter(1))
    box.put(letter(2))
    assert visited(office) == 1
    assert sorted(ledger(district)) == [("document", "", 0), ("document", "", 0), ("document", "", 1)]


def test_where_mails_are_kept_one_that_failed_is_not_passed_over(
    container: Container, district: District, box: MailAccount
) -> None:
    office = reading(container, box, "?after=keep")
    parser = counting(office, b"khong-doc-duoc")
    box.put(letter(1, Subject="khong-doc-duoc"))
    box.put(letter(2))
    assert visited(office) == 1
    assert (mark(district)["last_uid"], mark(district)["troubles"]) == (2, {"1": 1})
    parser.bad = b"nothing at all"
    assert visited(office) == 1
    assert (mark(district)["last_uid"], mark(district)["troubles"]) == (2, {})


def test_a_wrong_password_is_noted_and_not_tried_at_once_again(
    container: Container, district: District, box: MailAccount
) -> None:
    settings = container.settings.model_copy(
        update={"imap_url": box.whole_url, "secrets": {NAME: SecretStr("mat-khau-sai")}}
    )
    visit = Visit(replace(container, settings=settings), NAME, never, stay=True)
    assert visit.round() == 0
    assert visit.pause == 300
    assert "refused the sign-in of mailbox 'default'" in mark(district)["last_error"]
    assert "mat-khau-sai" not in mark(district)["last_error"]


def test_a_mailbox_that_fails_is_left_alone_ever_longer_and_after_a_quarter_of_an_hour_the_clerks_hear_of_it_once(
    container: Container, district: District, clock: Clock
) -> None:
    settings = container.settings.model_copy(update={"imap_url": "imap://vanthu:x@127.0.0.1:1/INBOX"})
    visit = Visit(replace(container, settings=settings), NAME, never, stay=True)
    pauses = []
    for minutes in (0, 1, 3, 10, 1):
        clock.pass_time(minutes=minutes)
        visit.round()
        pauses.append(visit.pause)
    assert pauses == [5, 60, 240, 300, 300]
    assert told(district, "intake_mailbox_failing") == 1
    passing = Visit(replace(container, settings=settings), NAME, never)
    before = mark(district)["looked_at"]
    clock.pass_time(minutes=2)
    passing.round()
    assert mark(district)["looked_at"] == before, "it was tried before its time"


def test_a_server_that_restarts_between_rounds_is_signed_in_to_anew(container: Container, district: District) -> None:
    with Dovecot() as server:
        box = server.account()
        visit = Visit(reading(container, box), NAME, never, stay=True)
        visit.round()
        server.stop()
        visit.round()
        assert mark(district)["failing_since"] is not None
        server.start()
        box.put(letter())
        assert visit.round() == 1
        assert mark(district)["failing_since"] is None
        visit.leave()


def test_a_server_that_hangs_up_while_nothing_happens_is_no_failure(container: Container, district: District) -> None:
    with Dovecot() as server:
        visit = Visit(reading(container, server.account()), NAME, never, stay=True)
        visit.round()
        server.stop()
        assert visit.wait() == 0
        assert 0 < visit.pause <= 5
        assert mark(district)["failing_since"] is None


def test_a_mailbox_that_is_no_longer_configured_is_no_longer_wanted(container: Container) -> None:
    visit = Visit(container, "khong_co", never)
    assert visit.round() == 0
    assert not visit.wanted


MEMORY = """
import re
from pathlib import Path
from docflow.bootstrap import build
from workflows.intake_mailbox import Visit

def kibibytes(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

visit = Visit(build(), "default", lambda: False, stay=True)
visit._round()
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before = kibibytes("VmRSS")
print("ready", flush=True)
input()
assert visit._round() == 1
print((kibibytes("VmHWM") - before) // 1024)
visit.leave()
"""


def test_a_mail_of_25_megabytes_raises_memory_by_less_than_120(container: Container, box: MailAccount) -> None:
    s = container.settings
    box.put(letter())
    own = {
        "DOCFLOW_DATABASE_URL": s.database_url,
        "DOCFLOW_S3_ENDPOINT": s.s3_endpoint,
        "DOCFLOW_S3_ACCESS_KEY": s.s3_access_key.get_secret_value(),
        "DOCFLOW_S3_SECRET_KEY": s.s3_secret_key.get_secret_value(),
        "DOCFLOW_SECRET_KEY": s.secret_key.get_secret_value(),
        "DOCFLOW_IMAP_URL": box.whole_url,
    }
    with subprocess.Popen(
        [sys.executable, "-c", MEMORY],
        env={**{n: v for n, v in os.environ.items() if not n.startswith("DOCFLOW_")}, **own},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        box.put(mail(many(text("lớn"), attachment(os.urandom(18_300_000)))))
        process.stdin.write("\n")
        process.stdin.flush()
        assert int(process.stdout.readline()) < 120
    (raw,) = (raw for raw in box.mails("Processed").values() if len(raw) > 1_000_000)
    assert len(raw) > 24_500_000
