"""``docflow intake`` and what the doctor says of what comes in, against real parts."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from typer.testing import Result

from docflow.adapters import config_files
from docflow.db.models import MailboxMark, MailboxProof
from docflow.domain.configuration import Configuration
from docflow.services import configuration
from tests.conftest import ROOT, START, District
from tests.services.test_cli import mail, run

Run = Callable[..., Result]
__all__ = ["run"]
NOBODY_LISTENS = "imap://vanthu@127.0.0.1:1/INBOX"


def with_mailbox(district: District, **settings: Any) -> None:
    shipped = config_files.load(ROOT / "config").model_dump(mode="json")
    shipped["intake"]["mailboxes"] = [{"name": "vanthu", "url": NOBODY_LISTENS, **settings}]
    changed = Configuration.model_validate(shipped)
    with district.container.sessions.begin() as session:
        configuration.apply(session, changed, config_files.digest(changed), START)


def doctor(run: Run, part: str) -> tuple[str, str]:
    """What it says of one part."""
    for line in run("doctor").stdout.splitlines():
        grade, _, told = line.partition(" ")
        if told.strip().startswith(part):
            return grade, told
    raise AssertionError(part)


def test_import_takes_mails_messages_and_papers_for_what_they_are(
    run: Run, district: District, tmp_path: Path, letter: Callable[[], bytes]
) -> None:
    (tmp_path / "1.eml").write_bytes(mail("Đề nghị phối hợp", "a"))
    (tmp_path / "to-trinh.PDF").write_bytes(letter())
    (tmp_path / "hong.edxml").write_bytes(b"<?xml version='1.0'?><a/>")
    (tmp_path / "ghi-chu.txt").write_bytes(b"xin chao")
    result = run("intake", "import", str(tmp_path))
    assert result.exit_code == 0, result.stdout
    assert "2 document, 1 quarantine" in result.stdout
    kinds = {(r["kind"], r["state"]) for r in district.query("SELECT kind, state FROM intake")}
    assert kinds == {("mail", "document"), ("file", "document"), ("edxml", "quarantine")}
    assert {r["subject"] for r in district.query("SELECT subject FROM document")} == {"Đề nghị phối hợp", "to-trinh"}


def test_a_file_that_is_named_is_a_mail_whatever_its_ending(run: Run, district: District, tmp_path: Path) -> None:
    (tmp_path / "thu.txt").write_bytes(mail("Đề nghị phối hợp", "a"))
    assert run("intake", "import", str(tmp_path / "thu.txt")).exit_code == 0
    assert [r["kind"] for r in district.query("SELECT kind FROM intake")] == ["mail"]


def test_a_folder_without_letters_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(b"PK")
    result = run("intake", "import", str(tmp_path))
    assert result.exit_code == 1
    assert "There is no letter in" in result.stderr


def test_list_shows_what_waits_and_of_documents_neither_sender_nor_subject(run: Run, tmp_path: Path) -> None:
    (tmp_path / "1.eml").write_bytes(mail("Chuyện riêng", "a"))
    (tmp_path / "hong.edxml").write_bytes(b"khong phai xml")
    run("intake", "import", str(tmp_path))
    waiting = run("intake", "list", "--state", "quarantine").stdout
    assert waiting.count(" import ") == 1
    everything = run("intake", "list").stdout
    assert everything.count(" import ") == 2
    assert "Chuyện riêng" not in everything
    assert "vanthu@snv" not in everything
    assert run("intake", "list", "--state", "lost").exit_code == 2


def test_prove_says_where_a_mailbox_cannot_be_read(run: Run, district: District) -> None:
    result = run("intake", "prove")
    assert (result.exit_code, "No mailbox is set" in result.stderr) == (1, True)
    with_mailbox(district)
    result = run("intake", "prove")
    assert result.exit_code == 1
    assert result.stdout.startswith("vanthu:")
    assert "no mailbox 'khac'" in run("intake", "prove", "--mailbox", "khac").stdout


def test_the_doctor_tells_of_letters_that_wait_too_long(run: Run, district: District, tmp_path: Path) -> None:
    (tmp_path / "hong.edxml").write_bytes(b"khong phai xml")
    run("intake", "import", str(tmp_path))
    assert doctor(run, "intake") == ("ok", "   intake        1 letters in quarantine")
    with district.container.sessions.begin() as session:
        session.connection().exec_driver_sql("UPDATE intake SET received_at = now() - interval '50 hours'")
    grade, told = doctor(run, "intake")
    assert (grade, "the first for 2 days" in told) == ("wrong", True)


def test_the_doctor_tells_of_a_mailbox_that_fails_or_does_not_agree(run: Run, district: District) -> None:
    assert doctor(run, "mailboxes")[0] == "ok"
    with_mailbox(district)
    assert doctor(run, "mailboxes")[0] == "note"
    assert "DOCFLOW_SECRETS__VANTHU" in doctor(run, "intake")[1]
    proof = MailboxProof(mailbox="vanthu", day=date(2026, 3, 1), made_at=START, held=3, known=2, agreed=False)
    proof.findings = []
    mark = MailboxMark(name="vanthu", last_uid=1, troubles={}, looked_at=datetime.now(UTC), last_error="")
    with district.container.sessions.begin() as session:
        session.add_all([mark, proof])
    grade, told = doctor(run, "mailboxes")
    assert (grade, "did not agree on 2026-03-01" in told) == ("wrong", True)
    with district.container.sessions.begin() as session:
        session.merge(mark).failing_since = START
    grade, told = doctor(run, "mailboxes")
    assert (grade, "fails since 2026-03-02" in told) == ("wrong", True)
