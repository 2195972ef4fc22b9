"""A small demo, whole: the day, the figures, the proof, and another day in the same folder."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from sqlalchemy import text

from docflow.adapters import config_files
from docflow.adapters.mail.sink import MailSink
from docflow.bootstrap import Container
from docflow.demo import letters, proof
from docflow.demo.dial import Dial, next_morning
from docflow.domain.deadlines import WorkingCalendar
from docflow.domain.mail_rules import MailFacts
from tests.conftest import ROOT, District

LIMIT = 400  # seconds on a busy machine


def demo(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "docflow.cli", "demo", "--exit", "--data-dir", str(folder), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT, cwd=ROOT)


@pytest.mark.xdist_group("demo")
def test_a_day_is_played_agrees_and_can_be_followed_by_another(tmp_path: Path) -> None:
    first = demo(tmp_path, "--mails", "14", "--drafts", "10")
    assert first.returncode == 0, first.stdout + first.stderr
    for told in (
        "returned to its sender",
        "rejected by the unit head",
        "rejected by the leader",
        "the deputy signs for the chairman",
        "recalled after it was sent",
        "came twice and is one document",
        "marked overdue",
        "Everything agrees.",
    ):
        assert told in first.stdout
    second = demo(tmp_path, "--mails", "14", "--drafts", "10")
    assert second.returncode == 0, second.stdout + second.stderr
    assert "Another day" in second.stdout


def test_a_folder_that_holds_a_real_docflow_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    result = demo(tmp_path, "--fresh")
    assert result.returncode == 1
    assert "no demo" in result.stderr
    assert (tmp_path / "postgres").exists()


def test_every_letter_meets_the_rule_its_fate_counts_on() -> None:
    configuration = config_files.load(ROOT / "config")

    def rule_of(letter: letters.Letter) -> str | None:
        found = configuration.rule_for(MailFacts(letter.sender.address, subject=letter.subject))
        return found.name if found else None

    by_itself = [rule_of(x) for x in (*letters.NEEDED, *letters.MORE) if x.fate == "by_itself"]
    assert set(by_itself) == {"province_meeting_invitations", "commune_reports"}
    assert {rule_of(x) for x in letters.NEEDED if x.fate == "late_flash"} == {"flash_telegrams"}
    assert {rule_of(x) for x in letters.NEEDED if x.fate == "return"} == {None}


def test_subjects_arrive_as_they_were_written(tmp_path: Path) -> None:
    now = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
    for number, letter in enumerate((*letters.NEEDED, *letters.MORE)):
        raw = letters.mail(letter, b"%PDF-1.4", f"{number}/STC-NS", now, str(number))
        assert message_from_bytes(raw, policy=policy.default)["Subject"] == letter.subject


def test_the_day_begins_on_a_working_morning_after_today() -> None:
    calendar = WorkingCalendar.of(config_files.load(ROOT / "config").calendar)
    friday_evening = datetime(2026, 3, 6, 14, 0, tzinfo=UTC)
    assert next_morning(friday_evening, calendar).astimezone(letters.ZONE).isoformat() == "2026-03-09T08:00:00+07:00"


def test_the_dial_turns_forward_only(tmp_path: Path) -> None:
    dial = Dial(tmp_path / "clock")
    later = dial.now() + timedelta(hours=3)
    dial.turn_to(later)
    assert dial.now() >= later
    dial.turn_to(later - timedelta(hours=2))
    assert dial.now() >= later
    assert Dial(tmp_path / "clock").now() >= later


def test_a_mail_that_no_delivery_explains_is_told(container: Container, tmp_path: Path) -> None:
    sink = MailSink(tmp_path)
    (tmp_path / "000001.eml").write_bytes(b"Message-ID: <a@b>\r\n\r\nx")
    facts = '{"sender": "a@b", "recipients": ["c@d"], "received_at": "2026-03-02T08:00:00+00:00"}'
    (tmp_path / "000001.json").write_text(facts)
    with container.sessions() as session:
        assert proof.mails(session, sink)[1] == ["mail <a@b> arrived, but nothing says that it was sent"]


def test_a_number_without_an_entry_is_told(district: District) -> None:
    district.act(district.enter(), "vanthu1", "register")
    with district.container.sessions.begin() as session:
        assert proof.numbers(session)[1] == []
        session.execute(text("UPDATE register_counter SET last_number = 2"))
        assert "does not run from 1 to 2" in proof.numbers(session)[1][0]


def test_bytes_that_are_missing_from_the_store_are_told(container: Container) -> None:
    with container.sessions.begin() as session:
        row = {"sha256": "ab" * 32, "size": 3, "at": container.clock()}
        session.execute(text("INSERT INTO blob (sha256, size, stored_at) VALUES (:sha256, :size, :at)"), row)
        assert "ab" * 32 in proof.files(session, container)[1][0]
