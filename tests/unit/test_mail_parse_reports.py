"""Reports on mails of ours are understood; nothing a person writes is taken for one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from docflow.adapters.mail import parse_worker
from docflow.adapters.mail.parse import LimitedMailParser
from docflow.services.ports import MailReport, ReportedRecipient
from tests.mailbox import leaf, mail, many, text

Inside = Callable[[bytes], dict[str, Any]]
OURS = "<0199.1@docflow.sonla.example.vn>"
SENT = f"From: vanthu@sonla.example.vn\r\nMessage-ID: {OURS}\r\nSubject: Cong van\r\n".encode()
FAILED = """Reporting-MTA: dns; mx.bavi.example.vn
Arrival-Date: Mon, 05 Jan 2026 08:30:00 +0700

Final-Recipient: rfc822; a@bavi.example.vn
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 No such
  mailbox here
"""
DELAYED = """
Original-Recipient: rfc822;b@bavi.example.vn
Final-Recipient: rfc822; c@khac.example.vn
Action: delayed (will try again)
Status: 4.4.1 (no answer)
"""


@pytest.fixture
def inside(tmp_path: Path) -> Inside:
    """The reading itself, without its process."""
    (tmp_path / "parts").mkdir()

    def parse(raw: bytes) -> dict[str, Any]:
        (tmp_path / "raw.eml").write_bytes(raw)
        return parse_worker.take_apart(tmp_path / "raw.eml", tmp_path / "parts")

    return parse


def part(kind: str, content: str) -> bytes:
    return f"Content-Type: {kind}\r\n\r\n".encode() + content.replace("\n", "\r\n").encode()


def bounce(status: str = FAILED, *returned: bytes, **headers: str) -> bytes:
    return mail(
        many(text("Xin loi"), part("message/delivery-status", status), *returned, kind="report"),
        **{"From": "mailer-daemon@bavi.example.vn", "Auto_Submitted": "auto-replied", **headers},
    )


def returned(kind: str = "message/rfc822") -> bytes:
    body = many(text("x"), leaf(b"%PDF-1.4", "application/pdf; name=a.pdf"), boundary="=_sent")
    return f"Content-Type: {kind}\r\n\r\n".encode() + SENT + (body if kind == "message/rfc822" else b"")


@pytest.mark.parametrize(
    "kind", ["message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "message/global-headers"]
)
def test_a_delivery_report_tells_who_why_and_about_which_mail(inside: Inside, kind: str) -> None:
    assert inside(bounce(FAILED, returned(kind)))["report"] == {
        "kind": "delivery",
        "original_id": OURS,
        "recipients": [
            {
                "address": "a@bavi.example.vn",
                "action": "failed",
                "status": "5.1.1",
                "diagnostic": "550 5.1.1 No such mailbox here",
            }
        ],
        "disposition": "",
    }


def test_a_report_reaches_the_caller_and_the_returned_mail_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "raw.eml").write_bytes(bounce(FAILED, returned()))
    parser = LimitedMailParser()
    try:
        found = parser.parse(tmp_path / "raw.eml", tmp_path / "into")
    finally:
        parser.close()
    recipient = ReportedRecipient("a@bavi.example.vn", "failed", "5.1.1", "550 5.1.1 No such mailbox here")
    assert found.report == MailReport("delivery", OURS, (recipient,))
    assert [one.media_type for one in found.attachments] == ["message/delivery-status", "message/rfc822"]
    assert found.automatic


def test_each_recipient_of_a_report_is_told_by_the_address_we_wrote_to(inside: Inside) -> None:
    recipients = inside(bounce(FAILED + DELAYED))["report"]["recipients"]
    assert [(r["address"], r["action"], r["status"]) for r in recipients] == [
        ("a@bavi.example.vn", "failed", "5.1.1"),
        ("b@bavi.example.vn", "delayed", "4.4.1"),
    ]


@pytest.mark.parametrize(("status", "action"), [("5.2.2", "failed"), ("4.2.2", "delayed"), ("2.0.0", "delivered")])
def test_an_action_that_is_missing_follows_from_the_status(inside: Inside, status: str, action: str) -> None:
    report = inside(bounce(f"Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; <a@b.vn>\nStatus: {status}\n"))["report"]
    assert [(r["address"], r["action"]) for r in report["recipients"]] == [("a@b.vn", action)]


def test_a_report_without_the_returned_mail_has_no_original_id(inside: Inside) -> None:
    assert inside(bounce())["report"]["original_id"] is None


def test_a_read_receipt_is_told_with_its_disposition(inside: Inside) -> None:
    receipt = part(
        "message/disposition-notification",
        f"Reporting-UA: x\nFinal-Recipient: rfc822; a@b.vn\nOriginal-Message-ID: {OURS}\n"
        "Disposition: manual-action/MDN-sent-manually; displayed/warning\n",
    )
    report = inside(mail(many(text("Da doc"), receipt, kind="report")))["report"]
    assert report == {"kind": "receipt", "original_id": OURS, "recipients": [], "disposition": "displayed"}


QMAIL = f"""Hi. This is the qmail-send program at bavi.example.vn.
I'm afraid I wasn't able to deliver your message to the following addresses.

<a@bavi.example.vn>:
Sorry, no mailbox here by that name. (#5.1.1)

--- Below this line is a copy of the message.

Message-ID: {OURS}
"""


def test_a_bounce_of_no_standard_form_is_understood(inside: Inside) -> None:
    raw = mail(text_part(QMAIL), From="MAILER-DAEMON@bavi.example.vn", raw=[b"Return-Path: <>"])
    report = inside(raw)["report"]
    assert report["original_id"] == OURS
    assert [(r["address"], r["action"]) for r in report["recipients"]] == [("a@bavi.example.vn", "failed")]


def text_part(content: str) -> bytes:
    return part("text/plain", content)


def test_what_a_person_forwards_of_a_bounce_is_no_report(inside: Inside) -> None:
    assert inside(mail(text_part(QMAIL)))["report"] is None
    forwarded = mail(many(text("xem"), part("message/delivery-status", FAILED), returned()))
    assert inside(forwarded)["report"] is None


def test_an_ordinary_automatic_mail_is_no_report(inside: Inside) -> None:
    assert inside(mail(raw=[b"Auto-Submitted: auto-generated"]))["report"] is None


def test_a_bounce_that_breaks_the_library_is_read_without_a_report(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(message: object) -> None:
        raise LookupError("unknown encoding: x-nothing")

    monkeypatch.setattr("flufl.bounce.all_failures", breaks)
    found = inside(mail(text_part(QMAIL), From="MAILER-DAEMON@bavi.example.vn"))
    assert (found["report"], found["sender"]) == (None, "MAILER-DAEMON@bavi.example.vn")


@pytest.mark.parametrize("status", ["", "\n\n\n", "Final-Recipient: rfc822;\n", "\x00\xff: x\n\n:::\n", "x" * 5_000])
def test_a_report_that_names_nobody_is_no_report(inside: Inside, status: str) -> None:
    assert inside(bounce(status))["report"] is None
