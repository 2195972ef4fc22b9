"""The command line against real parts."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from docflow.bootstrap import Container, ShiftedClock, clock_of
from docflow.cli import running, schema
from docflow.cli.main import app
from docflow.domain.errors import Invalid, Unavailable
from docflow.local.lock import FolderLock
from docflow.services import auth, people
from docflow.settings import Settings
from tests.conftest import ROOT, District

Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``docflow`` with the settings of the test's database and store in its environment."""
    monkeypatch.setenv("DOCFLOW_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("DOCFLOW_S3_ENDPOINT", settings.s3_endpoint)
    monkeypatch.setenv("DOCFLOW_S3_ACCESS_KEY", settings.s3_access_key.get_secret_value())
    monkeypatch.setenv("DOCFLOW_S3_SECRET_KEY", settings.s3_secret_key.get_secret_value())
    monkeypatch.setenv("DOCFLOW_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("DOCFLOW_CONFIG_DIR", str(ROOT / "config"))

    def invoke(*arguments: str, input: str | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), input=input)

    return invoke


def mail(subject: str, key: str) -> bytes:
    message = EmailMessage()
    message["From"] = "Sở Nội vụ <vanthu@snv.tinh.example>"
    message["To"] = "vanthu@binhminh.example"
    message["Subject"] = subject
    message["Message-ID"] = f"<{key}@snv.tinh.example>"
    message["Date"] = "Mon, 02 Mar 2026 08:00:00 +0700"
    message.set_content("Kính gửi quý cơ quan.")
    return message.as_bytes()


def test_an_expected_failure_is_one_line_on_stderr_and_status_1(run: Run) -> None:
    result = run("token", "create", "--user", "nobody")
    assert result.exit_code == 1
    assert result.stderr == "docflow: There is no user 'nobody'.\n"
    assert result.stdout == ""


def test_without_any_docflow_a_command_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCFLOW_DATABASE_URL", raising=False)
    result = CliRunner().invoke(app, ["audit", "verify", "--data-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert "docflow up --data-dir" in result.stderr


def test_the_shipped_configuration_is_in_order(run: Run) -> None:
    result = run("config", "check")
    assert result.exit_code == 0
    assert "3 routes" in result.stdout


def test_a_wrong_configuration_is_named_by_file_line_field_and_remedy(run: Run, tmp_path: Path) -> None:
    for file in (ROOT / "config").rglob("*.yaml"):
        copy = tmp_path / file.relative_to(ROOT / "config")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(file.read_text())
    calendar = tmp_path / "calendar.yaml"
    calendar.write_text(calendar.read_text().replace("Asia/Ho_Chi_Minh", "Asia/Atlantis"))
    result = run("config", "check", "--config-dir", str(tmp_path))
    assert result.exit_code == 1
    assert re.search(r"calendar\.yaml:2 zone: .*Atlantis.* -> ", result.stderr)
    assert run("config", "apply", "--config-dir", str(tmp_path)).exit_code == 1


def test_applying_the_same_configuration_twice_changes_nothing(run: Run) -> None:
    result = run("config", "apply")
    assert result.exit_code == 0
    assert "Nothing changed: version 1" in result.stdout


def test_a_user_added_with_a_password_from_stdin_can_sign_in(run: Run, container: Container) -> None:
    arguments = ("user", "add", "mai", "--name", "Mai Hoa", "--member", "UBND:clerk:Văn thư", "--password-stdin")
    result = run(*arguments, input="mat-khau-rat-dai\n")
    assert result.exit_code == 0, result.stderr
    with container.sessions.begin() as session:
        assert auth.check_password(session, "mai", "mat-khau-rat-dai", container.clock()) is not None
    assert run(*arguments, input="mat-khau-rat-dai\n").exit_code == 1


def test_a_membership_that_is_none_is_refused_before_anything_is_stored(run: Run, container: Container) -> None:
    result = run("user", "add", "mai", "--name", "Mai", "--member", "UBND:king", "--password-stdin", input="x" * 12)
    assert result.exit_code == 1
    assert "UNIT:ROLE" in result.stderr
    with container.sessions() as session, pytest.raises(Exception, match="no user"):
        people.find_user(session, "mai")


def test_a_created_token_identifies_its_user_within_its_scopes(run: Run, container: Container) -> None:
    result = run("token", "create", "--user", "tichhop", "--scopes", "intake:write", "--days", "3")
    assert result.exit_code == 0, result.stderr
    with container.sessions() as session:
        found = auth.identify(session, result.stdout.strip(), container.clock())
        assert found.user_id == people.find_user(session, "tichhop").id
    assert found.scopes == {"intake:write"}


def test_import_takes_files_and_maildirs_once_and_goes_on_after_a_bad_one(
    run: Run, district: District, tmp_path: Path
) -> None:
    for folder in ("box/cur", "box/new", "box/tmp"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "box/cur/1:2,S").write_bytes(mail("Đề nghị phối hợp", "a"))
    (tmp_path / "box/new/2").write_bytes(mail("Đề nghị cung cấp số liệu", "b"))
    (tmp_path / "box/tmp/3").write_bytes(mail("chưa xong", "c"))
    (tmp_path / "again.eml").write_bytes(mail("Đề nghị phối hợp", "a"))
    (tmp_path / "empty.eml").write_bytes(b"")
    result = run("intake", "import", str(tmp_path))
    assert result.exit_code == 0
    assert "2 document, 1 duplicate, 1 quarantine" in result.stdout
    subjects = {row["subject"] for row in district.query("SELECT subject FROM document")}
    assert subjects == {"Đề nghị phối hợp", "Đề nghị cung cấp số liệu"}
    assert run("intake", "import", str(tmp_path / "box")).exit_code == 0
    assert len(district.query("SELECT id FROM document")) == 2


def test_audit_verify_is_quiet_about_whole_chains_and_names_a_broken_one(run: Run, district: District) -> None:
    document = district.enter()
    assert run("audit", "verify").exit_code == 0
    with district.container.sessions.begin() as session:
        session.execute(text("UPDATE document SET number = 7 WHERE id = :id"), {"id": document})
    result = run("audit", "verify")
    assert result.exit_code == 1
    assert str(document) in result.stderr


def test_doctor_finds_everything_in_order_but_a_missed_deadline_and_a_dead_event_wrong(
    run: Run, district: District
) -> None:
    document = district.enter()
    result = run("doctor")
    assert result.exit_code == 1
    assert "has been due for" in result.stdout, "it was entered by the tests' clock, months ago"
    with district.container.sessions.begin() as session:
        session.execute(text("UPDATE clock SET next_fire_at = NULL WHERE document_id = :id"), {"id": document})
    result = run("doctor")
    assert result.exit_code == 0, result.stdout
    assert "at the newest revision" in result.stdout
    with district.container.sessions.begin() as session:
        session.execute(text("UPDATE outbox SET dead_at = now() WHERE document_id = :id"), {"id": document})
    result = run("doctor")
    assert result.exit_code == 1
    assert "wait for a person" in result.stdout


def test_migrate_says_where_the_schema_is(run: Run, container: Container) -> None:
    current, newest = schema.standing(container.engine)
    assert current == newest
    result = run("migrate")
    assert result.exit_code == 0, result.stderr
    assert f"revision {newest}" in result.stdout


def test_the_api_refuses_to_be_reached_by_others_without_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCFLOW_SECRET_KEY", raising=False)
    result = CliRunner().invoke(app, ["api", "--host", "0.0.0.0"])
    assert result.exit_code == 1
    assert "DOCFLOW_SECRET_KEY" in result.stderr


def test_up_says_who_has_the_folder(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    lock.acquire()
    try:
        result = CliRunner().invoke(app, ["up", "--data-dir", str(tmp_path)])
    finally:
        lock.release()
    assert result.exit_code == 1
    assert "in use by another docflow" in result.stderr


def test_a_running_docflow_is_found_by_its_folder_and_a_dead_one_is_not(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    lock.acquire()
    with pytest.raises(Unavailable, match="starting or stopping"):
        running.environment_of(tmp_path)
    running.announce(tmp_path, {"DOCFLOW_DATABASE_URL": "postgresql://x"})
    assert (tmp_path / "environment.json").stat().st_mode & 0o077 == 0
    assert running.environment_of(tmp_path) == {"DOCFLOW_DATABASE_URL": "postgresql://x"}
    lock.release()
    assert running.environment_of(tmp_path) is None


def test_a_shifted_clock_follows_its_file(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    file.write_text("0")
    clock = ShiftedClock(file)
    before = clock()
    fresh = tmp_path / "fresh"
    fresh.write_text("7200")
    fresh.replace(file)
    assert 7200 <= (clock() - before).total_seconds() < 7260


def test_a_shifted_clock_is_refused_where_others_can_see_it(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="DOCFLOW_CLOCK_FILE"):
        clock_of(Settings(clock_file=tmp_path / "clock", base_url="https://docflow.huyen.example"))


def test_help_names_every_command_of_the_surface() -> None:
    told = CliRunner().invoke(app, ["--help"]).stdout
    for name in [
        "up",
        "demo",
        "api",
        "worker",
        "migrate",
        "config",
        "user",
        "token",
        "intake",
        "audit",
        "doctor",
        "bench",
    ]:
        assert re.search(rf"^│ {name} ", told, re.MULTILINE), name


def test_the_command_line_loads_neither_prefect_nor_fastapi_to_say_what_it_can() -> None:
    code = "import sys, docflow.cli.main; print([m for m in ('prefect', 'fastapi', 'minio') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout.replace("'", '"')) == []
