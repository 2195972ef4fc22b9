"""Whose Authentication-Results count, and what they must say."""

import time

import pytest

from docflow.services.authentication import SEVERAL_SENDERS, aligned, authenticated
from docflow.services.ports import ParsedMail

OURS = "mx.binhminh.example"


def mail(*headers: str, sender: str = "vanthu@snv.tinh.example", defects: tuple[str, ...] = ()) -> ParsedMail:
    return ParsedMail(
        content_key="0" * 64,
        message_id=None,
        sender=sender,
        sender_name="",
        recipients=(),
        subject="",
        date=None,
        text="",
        in_reply_to=(),
        automatic=False,
        attachments=(),
        defects=defects,
        authentication=headers,
    )


def confirmed(*headers: str, **fields: object) -> bool:
    return authenticated(mail(*headers, **fields), OURS).authenticated  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "results",
    [
        "dmarc=pass header.from=snv.tinh.example",
        "dmarc=pass (p=reject dis=none) header.from=SNV.tinh.example",
        "dkim=pass header.d=snv.tinh.example",
        "dkim=pass header.d=tinh.example header.s=2026",
        "dkim=pass header.i=@tinh.example header.s=s1 header.b=abc+/=",
        "dkim=fail header.d=tinh.example; dkim=pass header.d=tinh.example",
        "spf=pass smtp.mailfrom=bounce@tinh.example",
        "spf=pass smtp.mailfrom=tinh.example",
        "dmarc=none; spf=pass smtp.mailfrom=tinh.example",
        'iprev=pass policy.iprev=192.0.2.1 (mail.tinh.example); dkim=pass reason="good; all" header.d=tinh.example',
    ],
)
def test_a_result_of_our_server_that_fits_the_sender_confirms_it(results: str) -> None:
    assert confirmed(f"{OURS}; {results}")
    assert confirmed(f"MX.BinhMinh.example 1; {results}")


@pytest.mark.parametrize(
    "results",
    [
        "none",
        "dmarc=pass",
        "dmarc=fail; dkim=pass header.d=tinh.example",
        "dmarc=temperror; dkim=pass header.d=tinh.example",
        "dmarc=pass header.from=songxanh.example",
        "dkim=pass header.d=songxanh.example",
        "dkim=pass header.d=gia.snv.tinh.example",
        "dkim=pass header.d=example",
        "dkim=pass header.d=nv.tinh.example",
        "dkim=pass",
        "dkim=neutral header.d=tinh.example",
        "spf=pass smtp.mailfrom=vanthu@songxanh.example",
        "spf=pass smtp.helo=mail.tinh.example",
        "spf=softfail smtp.mailfrom=tinh.example",
        "arc=pass header.d=tinh.example",
    ],
)
def test_a_result_that_does_not_fit_the_sender_confirms_nothing(results: str) -> None:
    assert not confirmed(f"{OURS}; {results}")


PASS = "dmarc=pass header.from=snv.tinh.example"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (["mx.gia.example; " + PASS], False),
        (["mx.binhminh.example.gia.example; " + PASS], False),
        (["in.binhminh.example; none", f"{OURS}; {PASS}"], True),
        ([f"{OURS}; spf=none", f"{OURS}; {PASS}"], True),
        ([f"{OURS}; dmarc=fail", f"{OURS}; {PASS}"], False),
        ([f"{OURS}; dkim=fail header.d=tinh.example", f"{OURS}; dkim=pass header.d=tinh.example"], False),
        ([f"{OURS}; none", "mx.gia.example; none", f"{OURS}; {PASS}"], False),
        ([f"{OURS} broken", f"{OURS}; {PASS}"], False),
        (["((( broken", f"{OURS}; {PASS}"], True),
        ([], False),
    ],
)
def test_only_the_topmost_headers_of_our_own_server_count(headers: list[str], expected: bool) -> None:
    assert confirmed(*headers) is expected


def test_several_senders_are_never_confirmed() -> None:
    assert not confirmed(f"{OURS}; {PASS}", defects=(SEVERAL_SENDERS,))


def test_a_mail_without_sender_is_never_confirmed() -> None:
    assert not confirmed(f"{OURS}; dmarc=pass", sender="")


def test_without_a_name_of_our_own_server_nobody_counts() -> None:
    verdict = authenticated(mail(f"{OURS}; {PASS}"), None)
    assert not verdict.authenticated
    assert "authserv_id" in verdict.reason


def test_the_reason_names_what_decided() -> None:
    assert authenticated(mail(f"{OURS}; {PASS}"), OURS).reason == "dmarc=pass for snv.tinh.example"
    assert (
        authenticated(mail(f"{OURS}; spf=none"), OURS).reason == f"nothing that {OURS} says confirms snv.tinh.example"
    )


def test_international_domains_are_compared_as_servers_write_them() -> None:
    assert confirmed(f"{OURS}; dkim=pass header.d=xn--tnh-rma.example", sender="a@tính.example")


BROKEN = [
    "",
    ";",
    f"{OURS}",
    f"{OURS};",
    f"{OURS}; =pass",
    f"{OURS}; dkim",
    f"{OURS}; dkim=",
    f"{OURS}; dkim=pass (((((",
    f"{OURS}; dkim=pass header.d",
    f'{OURS}; dkim=pass header.d="',
    f"{OURS} 7; dkim=pass",
    f"{OURS}; " + "(" * 5_000,
    f"{OURS}; " + "dkim=pass header.d=a.example; " * 400,
    f"{OURS}; dkim=pass " + "x=y " * 4_000,
    f"{OURS}; dkim=pass header.d=" + "a" * 100_000,
    f"{OURS}; dkim=pass header.d=\ud800\x00é..",
    "\x00\xff\udcff",
]


@pytest.mark.parametrize("header", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_header_neither_raises_nor_confirms_nor_takes_long(header: str) -> None:
    before = time.process_time()
    assert not confirmed(header)
    assert time.process_time() - before < 2


@pytest.mark.parametrize(
    ("confirmed_domain", "expected"), [("a.example", True), ("x.a.example", True), ("example", False), ("", False)]
)
def test_a_domain_speaks_for_itself_and_for_those_below_it(confirmed_domain: str, expected: bool) -> None:
    assert aligned(confirmed_domain, "x.a.example") is expected
