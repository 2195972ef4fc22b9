"""Which mail rule takes a mail."""

import pytest
from pydantic import ValidationError

from docflow.domain.mail_rules import MailFacts, MailMatch, RuleOutcome, Size

MAIL = MailFacts(
    sender="VanThu@phong-gd.BaVi.example.vn",
    recipients=("vanthu+HoTich@sonla.example.vn", "vanthu@sonla.example.vn", "Lanh.Dao@sonla.example.vn"),
    subject="V/v  Báo cáo ĐỊNH KỲ tháng 01",
    attachment_types=("application/pdf", "image/png"),
    attachment_names=("Phụ lục số 3.PDF", "ban-do.png"),
    size=3 * 1024 * 1024,
    authenticated=True,
    partner="tinh",
    channel="webhook",
    source="mailgate",
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
        {"plus": "hotich"},
        {"plus": ["x", "ho*"]},
        {"attachment_name": "phụ lục*.pdf"},
        {"attachment_name": "*phu luc*"},
        {"partner": "tinh"},
        {"partner": "any"},
        {"partner": ["anphu", "Tinh"]},
        {"channel": "webhook"},
        {"channel": ["mailbox", "webhook:mailgate"]},
        {"has_attachment": True},
        {"larger_than": "2 MB"},
        {"smaller_than": "3073 KB"},
        {"larger_than": "3145727 B", "smaller_than": "1 GB"},
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
        {"plus": "tich"},
        {"plus": "vanthu"},
        {"attachment_name": "phu luc"},
        {"attachment_name": "*.docx"},
        {"partner": "anphu"},
        {"channel": "webhook:portal"},
        {"channel": "mailbox"},
        {"has_attachment": False},
        {"larger_than": "3 MB"},
        {"smaller_than": "3 MB"},
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


def test_a_mail_of_nobody_known_fits_no_partner() -> None:
    assert not match(partner="any").holds(MailFacts("a@b.example"))


def test_a_plus_alone_is_no_tag() -> None:
    assert MailFacts("a@b.example", ("vanthu+@x.example", "vanthu+a+b@x.example")).plus == ("a+b",)


@pytest.mark.parametrize(
    ("written", "bytes_", "shown"),
    [("5 MB", 5 << 20, "5 MB"), ("200kb", 200 << 10, "200 KB"), ("1024 KB", 1 << 20, "1 MB"), ("0 B", 0, "0 B")],
)
def test_a_size_is_read_in_words_and_written_back(written: str, bytes_: int, shown: str) -> None:
    found = match(larger_than=written).larger_than
    assert found == Size(bytes_)
    assert str(found) == shown
    assert Size.parse(shown) == found


@pytest.mark.parametrize(
    ("criteria", "told"),
    [
        ({"larger_than": "5 megabytes"}, "is not a size"),
        ({"larger_than": 5}, "must be text"),
        ({"larger_than": "5 MB", "smaller_than": "5 MB"}, "matches no mail"),
        ({"channel": "fax"}, "there is no channel"),
        ({"has_attachment": "yes"}, "valid boolean"),
    ],
    ids=str,
)
def test_a_criterion_that_says_nothing_sensible_is_refused(criteria: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        match(**criteria)


def test_each_criterion_is_told_beside_what_the_mail_shows() -> None:
    told = list(match(subject="kế hoạch", partner=["tinh", "anphu"], larger_than="1 MB").compared(MAIL))
    assert [(c.criterion, c.wanted, c.fits) for c in told] == [
        ("partner", "tinh | anphu", True),
        ("subject", "kế hoạch", False),
        ("larger_than", "1 MB", True),
    ]
    assert [c.seen for c in told] == ["tinh", MAIL.subject, "3,145,728 B"]


def test_trust_needs_a_confirmed_sender_unless_the_rule_says_otherwise() -> None:
    forged = MailFacts("vanthu@tinh.example", authenticated=False)
    confirmed = MailFacts("vanthu@tinh.example", authenticated=True)
    careful, careless = RuleOutcome(trusted=True), RuleOutcome(trusted=True, trusted_unauthenticated=True)
    assert [careful.trusts(forged), careful.trusts(confirmed)] == [False, True]
    assert careless.trusts(forged)
    assert not RuleOutcome(route="incoming").trusts(confirmed)


def test_unauthenticated_trust_without_trust_is_refused() -> None:
    with pytest.raises(ValidationError, match="without trusted"):
        RuleOutcome(route="incoming", trusted_unauthenticated=True)
