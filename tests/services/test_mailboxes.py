"""Rounds through a real mailbox, what stands in their way, and the daily proof."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from pydantic import SecretStr

from docflow.adapters.mail import imap
from docflow.bootstrap import Container
from docflow.domain.errors import Invalid, Unavailable
from docflow.services.mailboxes import Folder, Mailbox, Place, Proof
from docflow.services.ports import MailParser, ObjectStore, ParsedMail
from tests.conftest import ROOT, Clock, District
from tests.dovecot import Dovecot, MailAccount
from tests.mailbox import attachment, mail, many, nested, text
from workflows import mailbox_round
from workflows.intake_mailbox import Visit, account, prove_now
from workflows.mailbox_round import Round

NAME = "default"


@pytest.fixture(scope="module")
def server() -> Iterator[Dovecot]:
    with Dovecot() as server:
        yield server


@pytest.fixture
def box(server: Dovecot) -> MailAccount:
    return server.account()


def reading(container: Container, box: MailAccount, options: str = "") -> Container:
    settings = container.settings.model_copy(update={"imap_url": box.whole_url + options})
    return replace(container, settings=settings)


@pytest.fixture
def office(container: Container, box: MailAccount) -> Container:
    """A container that reads the box."""
    return reading(container, box)


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
