"""Mail rules at work: from the raw mail to the register, and what ``docflow intake explain`` says beforehand."""

import json
from collections.abc import Callable
from email.message import EmailMessage
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from docflow.adapters import config_files
from docflow.cli.main import app
from docflow.domain.configuration import Configuration
from docflow.services import configuration
from docflow.services.asked import Asked
from docflow.services.explaining_mail import explain, look
from docflow.services.intake import Envelope, Received, receive, take_in
from docflow.settings import Settings
from tests.conftest import ROOT, District
from tests.moves import drive

OURS = "mx.binhminh.example"
CONFIRMED = f"{OURS}; dmarc=pass header.from=snv.tinh.example"
FORGED = "mx.keguimao.example; dmarc=pass header.from=snv.tinh.example"
MAILBOX = Envelope("mailbox", "vanthu")


def mail(**headers: str) -> bytes:
    """An invitation of a department of the province, changed by ``headers`` (``_`` for ``-``; empty: left out)."""
    message = EmailMessage()
    usual = {
        "From": "Sở Nội vụ <vanthu@snv.tinh.example>",
        "To": "vanthu@binhminh.example",
        "Subject": "Giấy mời họp giao ban",
        "Date": "Mon, 02 Mar 2026 08:00:00 +0700",
        "Message-ID": "<moi-hop@snv.tinh.example>",
    }
    for name, value in (usual | {name.replace("_", "-"): value for name, value in headers.items()}).items():
        if value:
            message[name] = value
    message.set_content("Kính gửi quý cơ quan.")
    return message.as_bytes()


def with_file(name: str, content: bytes = b"a" * 100) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "dan@nguoidan.example", "vanthu@binhminh.example", "Gửi hồ sơ"
    message["Message-ID"] = "<hoso@nguoidan.example>"
    message.set_content("Kính gửi.")
    message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def shipped(*rules: dict[str, Any], **intake: Any) -> Configuration:
    """The shipped configuration with these rules alone."""
    data = config_files.load(ROOT / "config").model_dump(mode="json")
    books = [*data["register_books"], {"code": "MOI", "name": "Sổ giấy mời", "direction": "incoming"}]
    data |= {"mail_rules": list(rules), "register_books": books, "intake": data["intake"] | intake}
    return Configuration.model_validate(data)


Bring = Callable[..., Received]


@pytest.fixture
def bring(district: District) -> Bring:
    """What an edge does with one raw mail."""
    container = district.container

    def take(raw: bytes, envelope: Envelope = MAILBOX) -> Received:
        taken = take_in(container.intake_tools, BytesIO(raw), envelope)
        with container.sessions.begin() as session:
            return receive(session, container.pictures, taken, Asked(container.clock(), "mail"))

    return take


def apply(district: District, changed: Configuration) -> None:
    with district.container.sessions.begin() as session:
        configuration.apply(session, changed, config_files.digest(changed), district.container.clock())


def rule(then: dict[str, Any], **when: Any) -> dict[str, Any]:
    return {"name": "mot", "when": when or {"sender_domain": "tinh.example"}, "then": then}


def test_a_confirmed_sender_of_a_trusted_rule_is_registered_in_the_book_the_rule_names(
    district: District, bring: Bring
) -> None:
    apply(district, shipped(rule({"trusted": True, "book": "MOI", "main": {"unit": "VP"}})))
    received = bring(mail(Authentication_Results=CONFIRMED))
    assert received.document_id is not None
    assert drive(district, received.document_id) == "review"
    row = district.row(received.document_id)
    assert (row["book"], row["number"]) == ("MOI", 1)


@pytest.mark.parametrize("results", ["", FORGED, f"{OURS}; dmarc=fail header.from=snv.tinh.example"])
def test_a_forged_sender_wins_no_trust_but_keeps_what_the_rule_proposes(
    district: District, bring: Bring, results: str
) -> None:
    apply(district, shipped(rule({"trusted": True, "type": "giay_moi", "main": {"unit": "VP"}})))
    received = bring(mail(Authentication_Results=results))
    assert received.document_id is not None
    assert drive(district, received.document_id) == "register"
    row = district.row(received.document_id)
    assert (row["trusted"], row["document_type"], row["details"]["rule"]["name"]) == (False, "giay_moi", "mot")


def test_a_rule_may_trust_a_program_that_nobody_can_confirm(district: District, bring: Bring) -> None:
    then = {"trusted": True, "trusted_unauthenticated": True}
    apply(district, shipped(rule(then, channel="webhook:portal"), signed_sources=[{"name": "portal"}]))
    by_portal = bring(mail(), Envelope("webhook", "portal"))
    by_mailbox = bring(mail(Message_ID="<2@snv.tinh.example>"))
    assert by_portal.document_id is not None
    assert by_mailbox.document_id is not None
    assert drive(district, by_portal.document_id) == "assign"
    assert drive(district, by_mailbox.document_id) == "register"


def test_the_book_of_a_rule_yields_when_the_document_was_made_secret(district: District, bring: Bring) -> None:
    apply(district, shipped(rule({"trusted": True, "book": "MOI"})))
    received = bring(mail(Authentication_Results=CONFIRMED))
    assert received.document_id is not None
    with district.container.sessions.begin() as session:
        session.execute(text("UPDATE document SET secrecy = 1 WHERE id = :d"), {"d": received.document_id})
    assert drive(district, received.document_id) == "assign"
    assert district.row(received.document_id)["book"] == "DEN-MAT"


def test_the_plus_address_of_the_envelope_chooses_the_unit(district: District, bring: Bring) -> None:
    apply(district, shipped(rule({"unit": "PTNMT"}, plus="datdai")))
    received = bring(mail(), Envelope("listener", recipients=("vanthu+DatDai@binhminh.example",)))
    (unit,) = district.query(
        "SELECT u.code FROM document d JOIN unit u ON u.id = d.owner_unit_id WHERE d.id = :d", d=received.document_id
    )
    assert unit["code"] == "PTNMT"


@pytest.mark.parametrize(
    ("when", "fits"),
    [
        ({"attachment_name": "*phu luc*.xlsx"}, True),
        ({"attachment_name": "*.pdf"}, False),
        ({"attachment_type": "text/plain"}, True),
        ({"has_attachment": False}, False),
        ({"smaller_than": "1 KB"}, True),
        ({"larger_than": "1 KB"}, False),
        ({"partner": "any"}, False),
        ({"channel": "mailbox"}, True),
    ],
    ids=str,
)
def test_a_rule_looks_at_what_the_mail_really_holds(
    district: District, bring: Bring, when: dict[str, Any], fits: bool
) -> None:
    apply(district, shipped(rule({"urgency": "urgent"}, **when)))
    received = bring(with_file("Phụ lục 1.xlsx"))
    (row,) = district.query("SELECT rule, state FROM intake WHERE id = :i", i=received.intake_id)
    assert (row["rule"], row["state"]) == ("mot" if fits else None, "document")


@pytest.mark.parametrize(
    ("sender", "state"),
    [
        ("dan@nguoidan.example", "quarantine"),
        ("vanthu@snv.tinh.example", "document"),
        ("vt@anphu.binhminh.example", "document"),
    ],
)
def test_an_unknown_sender_waits_for_a_clerk_where_the_policy_says_so(
    district: District, bring: Bring, sender: str, state: str
) -> None:
    apply(district, shipped(rule({"route": "incoming"}, sender="vt@anphu.*"), unknown_sender="quarantine"))
    received = bring(mail(From=sender))
    assert (received.state, received.reason_code) == (state, "unknown_sender" if state == "quarantine" else "")


@pytest.mark.parametrize(
    ("then", "told"),
    [
        ({"book": "DI"}, "there is no incoming register book for what is not secret 'DI'"),
        ({"book": "DEN-MAT"}, "there is no incoming register book for what is not secret 'DEN-MAT'"),
        ({"book": "DEM"}, "did you mean 'DEN'"),
    ],
)
def test_a_book_that_cannot_take_mails_is_refused_when_loaded(then: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        shipped(rule(then))


def test_a_partner_nobody_knows_is_refused_when_loaded() -> None:
    with pytest.raises(ValueError, match="there is no partner 'tinhh' -> did you mean 'tinh'"):
        shipped(rule({"route": "incoming"}, partner="tinhh"))


def test_a_source_nobody_has_is_refused_when_loaded() -> None:
    with pytest.raises(ValueError, match="there is no source of webhook 'portl' -> did you mean 'portal'"):
        shipped(rule({"route": "incoming"}, channel="webhook:portl"), signed_sources=[{"name": "portal"}])


MAILS = [
    mail(Authentication_Results=CONFIRMED),
    mail(Authentication_Results=FORGED),
    mail(From="dan@nguoidan.example"),
    with_file("a.txt"),
    mail(From="noreply@snv.tinh.example"),
    mail(Auto_Submitted="auto-generated"),
    b"",
    b"no mail at all",
]


@pytest.mark.parametrize(
    "raw", MAILS, ids=["confirmed", "forged", "nobody", "file", "noreply", "automatic", "empty", "rubbish"]
)
def test_what_is_explained_is_what_happens(district: District, bring: Bring, tmp_path: Path, raw: bytes) -> None:
    rules = shipped(rule({"trusted": True, "book": "MOI"}), unknown_sender="quarantine")
    apply(district, rules)
    (tmp_path / "a.eml").write_bytes(raw)
    (tmp_path / "into").mkdir()
    tools = district.container.intake_tools
    told = explain(rules, look(tools.parser, tools.inspector, tmp_path / "a.eml", tmp_path / "into", MAILBOX.as_json()))
    received = bring(raw)
    (row,) = district.query("SELECT rule FROM intake WHERE id = :i", i=received.intake_id)
    assert (told.state, told.reason_code, told.rule) == (received.state, received.reason_code, row["rule"])
    if received.document_id is not None:
        assert district.row(received.document_id)["trusted"] is told.registered_by_itself
        receipts = district.query(
            "SELECT 1 FROM delivery WHERE document_id = :d AND kind = 'acknowledge'", d=received.document_id
        )
        assert bool(receipts) is told.acknowledged


@pytest.fixture
def eml(tmp_path: Path) -> Callable[[bytes], str]:
    def write(raw: bytes) -> str:
        (tmp_path / "thu.eml").write_bytes(raw)
        return str(tmp_path / "thu.eml")

    return write


def explained(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["intake", "explain", *arguments])


def test_explain_works_from_the_files_alone(eml: Callable[[bytes], str]) -> None:
    shown = explained(eml(mail(Authentication_Results=CONFIRMED)), "--config-dir", str(ROOT / "config"))
    assert shown.exit_code == 0, shown.output
    for told in (
        "authenticated  yes: dmarc=pass for snv.tinh.example",
        "province_meeting_invitations: takes it",
        "yes sender_domain: tinh.example   mail: snv.tinh.example",
        "province_default: fits too",
        "main: unit VP",
        "Becomes: a document. The engine registers it, where its route lets it. The sender gets a receipt",
    ):
        assert told in shown.output


def test_explain_says_why_a_forged_sender_is_not_trusted(eml: Callable[[bytes], str]) -> None:
    shown = explained(eml(mail(Authentication_Results=FORGED)), "--config-dir", str(ROOT / "config"))
    assert "no: there are no Authentication-Results of mx.binhminh.example" in shown.output
    assert "the rule trusts only a confirmed sender" in shown.output


def test_explain_answers_programs_in_json(eml: Callable[[bytes], str]) -> None:
    arguments = ("--config-dir", str(ROOT / "config"), "--json", "--to", "vanthu+datdai@binhminh.example")
    told = json.loads(explained(eml(mail(Subject="Xin cấp đất", From="dan@a.example")), *arguments).stdout)
    assert (told["state"], told["rule"], told["sets"]["main"]) == ("document", "land_by_address", {"unit": "PTNMT"})
    assert told["mail"]["plus"] == ["datdai"]
    assert [r["name"] for r in told["rules"] if r["takes"]] == ["land_by_address"]


def test_explain_knows_what_the_ledger_holds(
    bring: Bring, eml: Callable[[bytes], str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    received = bring(mail())
    monkeypatch.setattr("docflow.cli.running.environment_of", lambda _: environment(settings))
    shown = explained(eml(mail()), "--data-dir", str(settings.data_dir))
    assert f"known already: document ({received.document_id}). It would be a duplicate." in shown.output


def environment(settings: Settings) -> dict[str, str]:
    """What a running docflow leaves in its folder."""
    return {"DOCFLOW_DATABASE_URL": settings.database_url, "DOCFLOW_CONFIG_DIR": str(settings.config_dir)}


def test_explain_refuses_what_is_no_file_or_no_one_configuration(eml: Callable[[bytes], str], tmp_path: Path) -> None:
    absent = explained(str(tmp_path / "nix.eml"))
    both = explained(eml(mail()), "--config-dir", "config", "--data-dir", "var")
    assert (absent.exit_code, both.exit_code) == (1, 1)
    assert "There is no file" in absent.stderr
    assert "not both" in both.stderr
