"""Which mail rule takes a mail."""

import pytest
from pydantic import ValidationError

from docflow.domain.mail_rules import MailFacts, MailMatch, MailRule, RuleOutcome, first_match

MAIL = MailFacts(
    sender="VanThu@phong-gd.BaVi.example.vn",
    recipients=("vanthu@sonla.example.vn", "Lanh.Dao@sonla.example.vn"),
    subject="V/v  Báo cáo ĐỊNH KỲ tháng 01",
    attachment_types=("application/pdf", "image/png"),
    authenticated=True,
)


def match(**criteria: object) -> MailMatch:
    return MailMatch.model_validate(criteria)


@pytest.mark.parametrize(
    "criteria",
    [
        {"sender": "vanthu@phong-gd.bavi.example.vn"},
        {"sender": "*@*.bavi.example.vn"},
        {"sender": ["khac@x.vn", "vanthu@*"]},
        {"sender_domain": "bavi.example.vn"},
        {"sender_domain": "@phong-gd.bavi.example.vn"},
        {"recipient": "lanh.dao@sonla.example.vn"},
        {"recipient": "vanthu@*"},
        {"subject": "báo cáo định kỳ"},
        {"subject": "bao cao dinh ky"},
        {"subject": "V/V BÁO CÁO"},
        {"subject": ["kế hoạch", "tháng 01"]},
        {"attachment_type": "application/pdf"},
        {"attachment_type": "Image/*"},
        {"authenticated": True},
        {"sender": "vanthu@*", "subject": "báo cáo", "authenticated": True},
    ],
    ids=str,
)
def test_a_criterion_that_fits_the_mail_holds(criteria: dict[str, object]) -> None:
    assert match(**criteria).holds(MAIL)


@pytest.mark.parametrize(
    "criteria",
    [
        {"sender": "vanthu"},
        {"sender": "*@bavi.example.vn"},
        {"sender_domain": "vi.example.vn"},
        {"recipient": "khac@sonla.example.vn"},
        {"subject": "kế hoạch"},
        {"attachment_type": "application/*ml"},
        {"attachment_type": "video/*"},
        {"authenticated": False},
        {"sender": "vanthu@*", "subject": "kế hoạch"},
    ],
    ids=str,
)
def test_one_criterion_that_does_not_fit_is_enough_to_fail(criteria: dict[str, object]) -> None:
    assert not match(**criteria).holds(MAIL)


def test_a_mail_without_sender_fits_no_domain() -> None:
    assert not match(sender_domain="bavi.example.vn").holds(MailFacts(sender=""))


def test_subjects_fit_in_whatever_form_their_accents_are_written() -> None:
    assert match(subject="Báo cáo").holds(MailFacts(sender="a@b.vn", subject="Ba\u0301o ca\u0301o"))


def test_a_rule_that_asks_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="matches every mail"):
        match()


def test_the_first_rule_that_fits_wins() -> None:
    def rule(name: str, subject: str) -> MailRule:
        return MailRule(name=name, when=match(subject=subject), then=RuleOutcome(route="incoming"))

    rules = [rule("plans", "kế hoạch"), rule("reports", "báo cáo"), rule("periodic", "định kỳ")]
    found = first_match(rules, MAIL)
    assert found is not None
    assert found.name == "reports"
    assert first_match(rules[:1], MAIL) is None
