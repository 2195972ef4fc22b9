"""``docflow config apply`` moves open deadlines; ``docflow sla simulate`` says beforehand what would move."""

import csv
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from docflow.adapters import config_files
from docflow.cli import sla
from docflow.cli.main import app
from docflow.services import configuration
from docflow.settings import Settings
from tests.conftest import ROOT, District
from tests.moves import history
from tests.services.test_recalculation import apply, due, step

Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped files; another calendar goes into them."""
    for file in (ROOT / "config").rglob("*.yaml"):
        copy = tmp_path / "config" / file.relative_to(ROOT / "config")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(file.read_text())
    return tmp_path / "config"


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Run:
    monkeypatch.setenv("DOCFLOW_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("DOCFLOW_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("DOCFLOW_CONFIG_DIR", str(folder))

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    return invoke


def off(folder: Path, day: str) -> Path:
    file = folder / "calendar.yaml"
    written = file.read_text().replace("extra_days_off: []", f"extra_days_off: [{{day: {day}, name: Nghỉ bão}}]")
    file.write_text(written)
    return file


def test_applying_another_calendar_says_what_it_moved(run: Run, folder: Path, district: District) -> None:
    document = district.enter()
    before = due(district, document, "register_incoming")
    off(folder, "2026-03-03")
    result = run("config", "apply")
    assert result.exit_code == 0, result.stderr
    assert "Version 2 is applied." in result.stdout
    assert "moved: 2; documents: 1; passed by it: 0." in result.stdout
    assert due(district, document, "register_incoming") > before
    assert history(district, document)[-1]["action"] == "recalculate"


def test_applying_again_finishes_what_was_interrupted(run: Run, folder: Path, district: District) -> None:
    documents = [district.enter() for _ in range(3)]
    off(folder, "2026-03-03")
    loaded = config_files.load(folder)
    with district.container.sessions.begin() as session:
        configuration.apply(session, loaded, config_files.digest(loaded), district.container.clock())
    assert step(district, most=2)
    result = run("config", "apply")
    assert "Nothing changed: version 2" in result.stdout
    assert "moved: 6; documents: 3;" in result.stdout
    assert [[h["action"] for h in history(district, d)].count("recalculate") for d in documents] == [1, 1, 1]
    assert "moved" not in run("config", "apply").stdout


def test_a_unit_that_is_none_is_refused_with_the_nearest_name(run: Run, folder: Path) -> None:
    file = folder / "calendar.yaml"
    file.write_text(file.read_text() + "\nunits: {PTCKX: {extra_days_off: [{day: 2026-03-03, name: Nghỉ}]}}\n")
    result = run("config", "apply")
    assert result.exit_code == 1
    assert "no unit 'PTCKX'" in result.stderr
    assert "did you mean 'PTCKH'?" in result.stderr


def test_a_simulated_calendar_is_told_in_a_table_with_totals(run: Run, folder: Path, district: District) -> None:
    document = district.enter(subject="Không nên thấy")
    before = due(district, document, "register_incoming")
    result = run("sla", "simulate", "--calendar", str(off(folder, "2026-03-03")))
    assert result.exit_code == 0, result.stderr
    assert str(document) in result.stdout
    assert "2026-03-04 17:00:00" in result.stdout
    assert "+7.50 h" in result.stdout
    assert "Không nên thấy" not in result.stdout
    assert "2 changed" in result.stdout
    assert due(district, document, "register_incoming") == before


def test_a_long_table_ends_with_how_many_more_there_are(
    run: Run, folder: Path, district: District, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sla, "MOST_LINES", 1)
    district.enter()
    result = run("sla", "simulate", "--calendar", str(off(folder, "2026-03-03")))
    assert "and 1 more" in result.stdout
    assert "2 changed" in result.stdout


def test_policies_and_absences_are_tried_out_together_as_csv(run: Run, tmp_path: Path, district: District) -> None:
    document = district.enter()
    policies = tmp_path / "stricter.yaml"
    policies.write_text("policies:\n  - {name: register_incoming, allowance: 2 working hours}\n")
    sheet = tmp_path / "what.csv"
    result = run("sla", "simulate", "--policy", str(policies), "--all", "--csv", str(sheet))
    assert result.exit_code == 0, result.stderr
    assert sheet.read_bytes().startswith(b"\xef\xbb\xbf")
    rows = {r["policy"]: r for r in csv.DictReader(StringIO(sheet.read_text("utf-8-sig"), newline=""))}
    assert set(rows) == {"register_incoming", "resolve_incoming"}
    assert rows["register_incoming"]["document_id"] == str(document)
    assert rows["register_incoming"]["new_due"] == "2026-03-02 11:00:00"
    assert rows["resolve_incoming"]["new_due"] == rows["resolve_incoming"]["old_due"]
    on_stdout = run("sla", "simulate", "--policy", str(policies), "--csv", "-")
    assert len(list(csv.reader(StringIO(on_stdout.stdout)))) == 3
    assert "1 changed" in on_stdout.stderr


def test_a_misspelt_policy_is_pointed_at(run: Run, tmp_path: Path, district: District) -> None:
    district.enter()
    policies = tmp_path / "misspelt.yaml"
    policies.write_text("policies:\n  - {name: register_incomming, allowance: 2 working hours}\n")
    result = run("sla", "simulate", "--policy", str(policies))
    assert "No open clock runs by the policy 'register_incomming'." in result.stdout


def test_a_bad_file_ends_with_status_2_and_its_lines(run: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "calendar.yaml"
    wrong.write_text("zone: Asia/Ho_Chi_Minh\nhours: {monday: ['25:00-26:00']}\n")
    result = run("sla", "simulate", "--calendar", str(wrong))
    assert result.exit_code == 2
    assert "calendar.yaml:2 hours.monday[0]: " in result.stderr
    assert run("sla", "simulate", "--policy", str(tmp_path / "absent.yaml")).exit_code == 2


def test_an_absence_of_nobody_known_is_one_line_on_stderr(run: Run) -> None:
    result = run("sla", "simulate", "--absent", "nobody:2026-03-02..2026-03-03")
    assert result.exit_code == 1
    assert "no active user 'nobody'" in result.stderr


def test_the_same_calendar_changes_nothing(run: Run, folder: Path, district: District) -> None:
    district.enter()
    apply(district)
    result = run("sla", "simulate", "--calendar", str(folder / "calendar.yaml"), "--unit", "UBND")
    assert "0 changed" in result.stdout
