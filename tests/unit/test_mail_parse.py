"""Each kind of difficult mail ends in a ParsedMail or in UnsupportedFile with the right reason."""

import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from docflow.adapters.mail import decode, parse_worker
from docflow.adapters.mail.parse import LimitedMailParser
from docflow.adapters.mail.tree import Refused
from docflow.domain.errors import UnsupportedFile
from docflow.services.ports import ParsedMail
from tests.mailbox import HEADERS, PDF, attachment, continued, leaf, mail, many, nested, text, word

Read = Callable[..., ParsedMail]
Inside = Callable[[bytes], dict[str, Any]]


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Read]:
    """Through the real subprocess."""
    parsers: list[LimitedMailParser] = []

    def parse(raw: bytes, **limits: Any) -> ParsedMail:
        (tmp_path / "raw.eml").write_bytes(raw)
        parsers.append(LimitedMailParser(**limits))
        return parsers[-1].parse(tmp_path / "raw.eml", tmp_path / "into")

    yield parse
    for parser in parsers:
        parser.close()


@pytest.fixture
def inside(tmp_path: Path) -> Inside:
    """The worker's own reading without its process: quick enough for the many small cases."""
    (tmp_path / "parts").mkdir()

    def parse(raw: bytes) -> dict[str, Any]:
        (tmp_path / "raw.eml").write_bytes(raw)
        return parse_worker.take_apart(tmp_path / "raw.eml", tmp_path / "parts")

    return parse


# What an ordinary mail gives


def test_a_mail_with_text_and_a_pdf_is_taken_apart_whole(read: Read) -> None:
    raw = mail(
        many(text("Kính gửi Ủy ban"), attachment(name="Quyết định 15.pdf")),
        Cc="Lãnh đạo <a@b.example.vn>, vanthu@sonla.example.vn",
        In_Reply_To="<1@x>",
        References="<3@x> <2@x> <1@x>",
    )
    found = read(raw)
    assert (found.sender, found.sender_name) == ("vanthu@bavi.example.vn", "Văn thư")
    assert found.recipients == ("vanthu@sonla.example.vn", "a@b.example.vn")
    assert found.message_id == HEADERS["Message-ID"]
    assert found.date == "2026-01-05T08:30:00+07:00"
    assert found.text == "Kính gửi Ủy ban"
    assert found.in_reply_to == ("<1@x>", "<2@x>", "<3@x>")
    assert (found.automatic, found.defects) == (False, ())
    (pdf,) = found.attachments
    assert (pdf.name, pdf.media_type, pdf.inline) == ("Quyết định 15.pdf", "application/pdf", False)
    assert pdf.path.read_bytes() == PDF
    assert (pdf.size, pdf.sha256) == (len(PDF), hashlib.sha256(PDF).hexdigest())


# Charsets and headers


@pytest.mark.parametrize("encoding", ["B", "Q"])
def test_a_cp1258_subject_becomes_composed_text(inside: Inside, encoding: str) -> None:
    wanted = "Quyết định về việc phê duyệt"
    written = wanted.replace("ế", "ê\u0301").replace("ị", "i\u0323").replace("ề", "ê\u0300").replace("ệ", "ê\u0323")
    subject = inside(mail(Subject=word(written, "windows-1258", encoding)))["subject"]
    assert subject == wanted
    assert unicodedata.is_normalized("NFC", subject)


def test_a_cp1258_body_becomes_composed_text(inside: Inside) -> None:
    raw = "Ti\u00ea\u0301ng Vi\u00ea\u0323t".encode("cp1258")
    assert inside(mail(leaf(raw, "text/plain; charset=windows-1258")))["text"] == "Tiếng Việt"


def test_raw_utf_8_in_headers_is_read(inside: Inside) -> None:
    assert inside(mail(Subject="Báo cáo tháng Một"))["subject"] == "Báo cáo tháng Một"


def test_raw_8_bit_headers_without_a_charset_are_read_as_vietnamese_windows_text(inside: Inside) -> None:
    raw = mail(without=["Subject"], raw=[b"Subject: " + "Bao ca\u0301o \u0111\u00ea\u0301n".encode("cp1258")])
    assert inside(raw)["subject"] == "Bao cáo đến"


def test_utf_8_cut_in_the_middle_of_a_letter_stays_utf_8(inside: Inside) -> None:
    raw = mail(without=["Subject"], raw=[b"Subject: " + "Kế hoạch phát triển kinh tế".encode()[:-1]])
    assert inside(raw)["subject"] == "Kế hoạch phát triển kinh t\ufffd"


def test_an_encoded_word_cut_inside_a_letter_is_joined_with_its_neighbour(inside: Inside) -> None:
    first, second = "Quyết".encode()[:5], "Quyết".encode()[5:]
    hexed = ["".join(f"={byte:02X}" for byte in half) for half in (first, second)]
    assert inside(mail(Subject=f"=?utf-8?Q?{hexed[0]}?=\r\n =?utf-8?Q?{hexed[1]}?= xong"))["subject"] == "Quyết xong"


def test_a_broken_encoded_word_is_shown_as_it_is(inside: Inside) -> None:
    assert inside(mail(Subject="=?utf-8?B?A?= x"))["subject"] == "=?utf-8?B?A?= x"


def test_an_unknown_charset_falls_back_and_is_told(inside: Inside) -> None:
    found = inside(mail(leaf("Công văn".encode(), "text/plain; charset=x-klingon")))
    assert found["text"] == "Công văn"
    assert "unknown charset" in found["defects"]


@pytest.mark.parametrize("charset", ["hex", "punycode", "unicode_escape", "undefined", "rot13", "\x00utf-8", "ü"])
def test_a_python_codec_that_is_no_charset_is_not_used(inside: Inside, charset: str) -> None:
    assert inside(mail(leaf(b"4142\\u0041", f'text/plain; charset="{charset}"')))["text"] == "4142\\u0041"


def test_bytes_that_do_not_fit_their_charset_are_shown_as_far_as_they_go(inside: Inside) -> None:
    found = inside(mail(leaf(b"abc\xff\xfe", "text/plain; charset=utf-8")))
    assert found["text"].startswith("abc")
    assert "bytes that do not fit their charset" in found["defects"]


def test_text_never_holds_nul_or_surrogates(inside: Inside) -> None:
    found = inside(mail(leaf(b"a\x00b", "text/plain; charset=utf-8"), Subject="x\x00y =?utf-7?Q?+2D8-?="))
    assert found["text"] == "ab"
    assert found["subject"].encode("utf-8").startswith(b"xy")


def test_a_subject_over_several_lines_becomes_one_line(inside: Inside) -> None:
    assert inside(mail(Subject="mot\r\n hai\r\n\tba =?utf-8?Q?=0D=0ABcc:_x@y?="))["subject"] == "mot hai ba Bcc: x@y"


# What is missing or wrong


@pytest.mark.parametrize("value", [None, "", "<>"])
def test_a_mail_without_message_id_is_read_and_told(inside: Inside, value: str | None) -> None:
    raw = mail(without=["Message-ID"]) if value is None else mail(Message_ID=value)
    found = inside(raw)
    assert found["message_id"] is None
    assert "no Message-ID" in found["defects"]


def test_a_mail_without_sender_is_read_and_told(inside: Inside) -> None:
    found = inside(mail(without=["From"]))
    assert found["sender"] == ""
    assert "no sender" in found["defects"]


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (mail(From="a@tinh.example, b@b.example"), True),
        (b"From: a@tinh.example\r\n" + mail(From="b@b.example"), True),
        (b"From: \r\n" + mail(From="b@b.example"), True),
        (mail(From="A <a@tinh.example>"), False),
        (mail(From="a@tinh.example, a@tinh.example"), False),
    ],
)
def test_several_senders_are_told(inside: Inside, raw: bytes, told: bool) -> None:
    assert ("several senders" in inside(raw)["defects"]) is told


@pytest.mark.parametrize("charset", ["idna", "punycode", "undefined", "unicode_escape"])
def test_eight_bit_text_of_an_impossible_charset_is_read(inside: Inside, charset: str) -> None:
    raw = b"From: a@b.example\r\nContent-Type: text/plain; charset=" + charset.encode() + b"\r\n\r\n"
    assert inside(raw + "Kính gửi ".encode() * 20)["text"].startswith("Kính gửi Kính gửi")


@pytest.mark.parametrize(
    "value",
    ["yesterday", "Mon, 99 Jan 2026 08:30:00 +0700", "Mon, 5 Jan 2026 08:30 +9999", "Mon, 5 Jan 99999 08:30:00 +0700"],
)
def test_an_impossible_date_is_left_out_and_told(inside: Inside, value: str) -> None:
    found = inside(mail(Date=value))
    assert found["date"] is None
    assert "unreadable Date" in found["defects"]


def test_an_address_header_that_breaks_its_parser_is_told(inside: Inside) -> None:
    found = inside(mail(From="(" * 50_000))
    assert found["sender"] == ""
    assert {"unreadable From", "no sender"} & set(found["defects"])  # older Pythons read it as no address at all


def test_a_multipart_without_its_last_boundary_keeps_its_parts(inside: Inside) -> None:
    found = inside(mail(many(text("x"), attachment(), closed=False)))
    assert [part["sha256"] for part in found["attachments"]] == [hashlib.sha256(PDF).hexdigest()]
    assert "close boundary not found" in found["defects"]


def test_a_multipart_whose_boundary_never_comes_is_kept_as_text(inside: Inside) -> None:
    found = inside(mail(b'Content-Type: multipart/mixed; boundary="=_other"\r\n\r\n--=_one\r\n\r\nvan ban\r\n'))
    assert "van ban" in found["text"]
    assert "start boundary not found" in found["defects"]


def test_a_multipart_without_any_boundary_is_kept_as_text(inside: Inside) -> None:
    found = inside(mail(b"Content-Type: multipart/mixed\r\n\r\nvan ban\r\n"))
    assert found["text"] == "van ban"
    assert "no boundary in multipart" in found["defects"]


def test_broken_base64_keeps_what_can_be_read(inside: Inside) -> None:
    found = inside(mail(b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBE*Ri0x!\r\n"))
    assert found["attachments"][0]["size"] > 0


def test_a_content_type_that_is_nonsense_is_not_believed(inside: Inside) -> None:
    found = inside(mail(many(text("x"), leaf(b"y", "application/<x y>; name=a.bin"))))
    assert found["attachments"][0]["media_type"] == "application/octet-stream"


def test_an_empty_body_gives_empty_text(inside: Inside) -> None:
    found = inside(mail(b"\r\n"))
    assert (found["text"], found["attachments"]) == ("", [])


def test_a_byte_order_mark_and_blank_lines_before_the_header_do_not_matter(inside: Inside) -> None:
    assert inside(b"\xef\xbb\xbf\r\n\r\n" + mail())["sender"] == "vanthu@bavi.example.vn"


def test_a_mailbox_separator_before_the_header_does_not_matter(inside: Inside) -> None:
    assert inside(b"From vanthu@x Mon Jan  5 08:30:00 2026\n" + mail())["sender"] == "vanthu@bavi.example.vn"


# Bodies


def test_a_mail_that_is_only_an_attachment_keeps_it(inside: Inside) -> None:
    found = inside(mail(attachment()))
    assert found["text"] == ""
    assert [part["name"] for part in found["attachments"]] == ["cong-van.pdf"]


def test_plain_text_is_preferred_to_html(inside: Inside) -> None:
    found = inside(mail(many(text("plain"), text("<p>html</p>", kind="html"), kind="alternative")))
    assert (found["text"], found["attachments"]) == ("plain", [])


def test_html_is_used_where_the_plain_text_is_empty(inside: Inside) -> None:
    markup = "<style>p{}</style><p>Kính gửi&nbsp;Ủy <b>ban</b></p><script>x()</script><p>hai"
    found = inside(mail(many(text(" \r\n"), text(markup, kind="html"), kind="alternative")))
    assert found["text"] == "Kính gửi Ủy ban\n\nhai"


def test_texts_around_an_attachment_are_joined(inside: Inside) -> None:
    assert inside(mail(many(text("mot"), attachment(), text("hai"))))["text"] == "mot\n\nhai"


def test_a_named_text_part_is_an_attachment(inside: Inside) -> None:
    found = inside(mail(many(text("x"), leaf(b"a;b", "text/plain; name=so.csv"))))
    assert [part["name"] for part in found["attachments"]] == ["so.csv"]
    assert found["text"] == "x"


def test_an_image_shown_in_the_html_is_inline_and_another_is_not(inside: Inside) -> None:
    logo = leaf(b"1", "image/png", "Content-ID: <logo@x>", 'Content-Disposition: attachment; filename="logo.png"')
    scan = leaf(b"2", "image/jpeg", 'Content-Disposition: inline; filename="scan.jpg"')
    found = inside(mail(many(text('<img src="cid:logo@x">', kind="html"), logo, scan)))
    assert {part["name"]: part["inline"] for part in found["attachments"]} == {"logo.png": True, "scan.jpg": False}


def test_an_image_of_a_related_part_is_inline(inside: Inside) -> None:
    related = many(text("<p>x", kind="html"), leaf(b"1", "image/png"), kind="related", boundary="=_two")
    found = inside(mail(many(related, leaf(b"2", "image/png", "Content-Disposition: attachment"))))
    assert [part["inline"] for part in found["attachments"]] == [True, False]


def test_a_nested_message_is_kept_byte_for_byte(read: Read) -> None:
    enclosed = mail(many(text("trong"), attachment(), boundary="=_inner"), raw=[b"X-Odd:  \xff two  spaces "])
    found = read(mail(many(text("ngoài"), b"Content-Type: message/rfc822\r\n\r\n" + enclosed)))
    kept, inner = found.attachments
    assert (kept.name, kept.media_type) == ("attachment-1.eml", "message/rfc822")
    assert kept.path.read_bytes() == enclosed.removesuffix(b"\r\n")
    assert inner.path.read_bytes() == PDF


def test_a_winmail_dat_is_kept_and_told(inside: Inside) -> None:
    found = inside(mail(many(text("x"), attachment(b"\x78\x9f\x3e\x22", "winmail.dat", "application/ms-tnef"))))
    assert found["attachments"][0]["name"] == "winmail.dat"
    assert "TNEF container" in found["defects"]


def test_a_bounce_keeps_its_report_and_is_automatic(inside: Inside) -> None:
    report = b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nAction: failed\r\n"
    found = inside(mail(many(text("x"), report, kind="report")))
    assert found["automatic"] is True
    assert found["attachments"][0]["media_type"] == "message/delivery-status"
    assert found["attachments"][0]["size"] == len(b"Reporting-MTA: dns; x\r\n\r\nAction: failed")


@pytest.mark.parametrize(
    ("header", "automatic"),
    [
        (b"Auto-Submitted: auto-replied", True),
        (b"Auto-Submitted: no", False),
        (b"Precedence: Bulk", True),
        (b"Precedence: first-class", False),
        (b"X-Autoreply: yes", True),
        (b"Return-Path: <>", True),
        (b"Return-Path: <vanthu@bavi.example.vn>", False),
        (b"List-Id: <news.example.vn>", True),
    ],
)
def test_automatic_mail_is_known_by_its_headers(inside: Inside, header: bytes, automatic: bool) -> None:
    assert inside(mail(raw=[header]))["automatic"] is automatic


# File names


def name_of(inside: Inside, *headers: str, kind: str = "application/pdf") -> str:
    return str(inside(mail(many(text("x"), leaf(PDF, kind, *headers))))["attachments"][0]["name"])


def test_a_file_name_in_rfc_2231_pieces_is_joined(inside: Inside) -> None:
    wanted = "Quyết định về việc phê duyệt kế hoạch.pdf"
    assert name_of(inside, f"Content-Disposition: attachment;\r\n {continued('filename', wanted)}") == wanted


def test_a_file_name_in_rfc_2231_with_cp1258_becomes_composed_text(inside: Inside) -> None:
    pieces = continued("filename", "Ti\u00ea\u0301ng.pdf", "windows-1258")
    assert name_of(inside, f"Content-Disposition: attachment; {pieces}") == "Tiếng.pdf"


def test_a_file_name_in_encoded_words_is_read(inside: Inside) -> None:
    encoded = word("Công văn.pdf", "utf-8")
    assert name_of(inside, kind=f'application/pdf; name="{encoded}"') == "Công văn.pdf"


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\\\Users\\\\x\\\\a.pdf", "a.pdf"),
        ("a\x00.pdf", "a.pdf"),
        ("..", "attachment-1.pdf"),
        ("", "attachment-1.pdf"),
        ("a\u202efdp.exe", "afdp.exe"),
    ],
)
def test_a_file_name_is_made_safe(inside: Inside, written: str, wanted: str) -> None:
    assert name_of(inside, f'Content-Disposition: attachment; filename="{written}"') == wanted


def test_a_long_file_name_is_cut_and_keeps_its_ending(inside: Inside) -> None:
    name = name_of(inside, f'Content-Disposition: attachment; filename="{"ă" * 900}.pdf"')
    assert len(name) == decode.MAX_NAME
    assert name.endswith("ă.pdf")


# The content key


def key(inside: Inside, raw: bytes) -> str:
    return str(inside(raw)["content_key"])


def test_the_same_mail_with_other_boundaries_and_path_has_the_same_key(inside: Inside) -> None:
    once = mail(many(text("x"), attachment(), boundary="=_one"), raw=[b"Received: from a by b"])
    again = mail(many(text("x"), attachment(), boundary="=_two"), raw=[b"Received: from c by d"])
    assert key(inside, once) == key(inside, again)


def test_the_key_does_not_follow_folding_encoding_or_line_ends(inside: Inside) -> None:
    once = mail(b"Content-Type: text/plain\r\n\r\nmot\r\nhai\r\n", Subject="Báo cáo tháng")
    again = mail(leaf(b"mot\nhai\n", "text/plain"), Subject=word("Báo cáo tháng", "utf-8")).replace(b"\r\n", b"\n")
    assert key(inside, once) == key(inside, again)


@pytest.mark.parametrize(
    "other",
    [
        mail(many(text("y"), attachment())),
        mail(many(text("x"), attachment(PDF + b"!"))),
        mail(many(text("x"), attachment(kind="application/octet-stream"))),
        mail(many(text("x"), attachment(), attachment())),
        mail(many(text("x"), attachment()), Subject="khac"),
        mail(many(text("x"), attachment()), Date="Mon, 05 Jan 2026 08:30:01 +0700"),
        mail(many(text("x"), attachment()), From="khac@bavi.example.vn"),
        mail(many(text("x"), attachment()), Message_ID="<16@x>"),
    ],
)
def test_another_body_file_type_or_header_gives_another_key(inside: Inside, other: bytes) -> None:
    assert key(inside, mail(many(text("x"), attachment()))) != key(inside, other)


def test_the_key_is_the_one_that_stands_in_the_ledgers(inside: Inside) -> None:
    enclosed = b"Content-Type: message/rfc822\r\n\r\n" + mail(many(text("trong"), attachment(), boundary="=_inner"))
    raw = mail(many(text("x"), attachment(), attachment(b"a;b", "so.csv", "text/csv"), enclosed), Subject="Báo cáo")
    assert key(inside, raw) == "1d6073a1ae2403481a496340a040af4d31679c4ebf7d1d57a5eabd3b36594fd5"
    assert (
        key(inside, mail(without=["Message-ID"])) == "4338900900e267687bc91ed04eef7ad4b0111c8e93cfee56921b752f1a3a9e6e"
    )


def test_mails_without_message_id_share_a_key_only_when_every_byte_is_the_same(inside: Inside) -> None:
    once = mail(without=["Message-ID"])
    assert key(inside, once) == key(inside, once)
    assert key(inside, once) != key(inside, mail(without=["Message-ID"], raw=[b"Received: from c by d"]))


# Limits


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty"),
        (b"\r\n \r\n", "empty"),
        (PDF, "not_a_mail"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not_a_mail"),
        (mail(many(*[text("x")] * 3_000)), "too_many_parts"),
        (mail(nested(100)), "nested_too_deep"),
        (mail(nested(3_000)), "nested_too_deep"),
        (mail(raw=[b"X-Long: " + b"a" * 300 * 1024]), "header_too_large"),
        (mail(raw=[b"X-Many: 1"] * 40_000), "header_too_large"),
        (mail(many(text("x"), leaf(b"y", "a/b", "X-Long: " + "a" * 300 * 1024))), "header_too_large"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mail_past_a_limit_is_refused_with_its_reason(inside: Inside, raw: bytes, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        inside(raw)
    assert refused.value.reason == reason


def test_a_mail_at_the_limits_is_read(inside: Inside) -> None:
    assert inside(mail(nested(20)))["text"] == "bottom"
    assert len(inside(mail(many(*[attachment(b"x")] * 1_999)))["attachments"]) == 1_999


def test_a_refusal_reaches_the_caller_with_its_reason(read: Read) -> None:
    with pytest.raises(UnsupportedFile, match="20 levels") as refused:
        read(mail(nested(100)))
    assert refused.value.details == {"reason": "nested_too_deep"}


def test_a_mail_over_the_size_limit_is_refused_unread(read: Read) -> None:
    with pytest.raises(UnsupportedFile) as refused:
        read(mail(), max_bytes=10)
    assert refused.value.details["reason"] == "too_large"


def test_a_mail_that_burns_the_processor_is_refused(read: Read) -> None:
    marks = "a" + "\u0323\u0301" * 400_000
    with pytest.raises(UnsupportedFile) as refused:
        read(mail(text(marks)), cpu_seconds=1)
    assert refused.value.details["reason"] == "too_slow"


def test_a_mail_that_needs_too_much_memory_is_refused(read: Read) -> None:
    with pytest.raises(UnsupportedFile) as refused:
        read(mail(attachment(os.urandom(12 * 1024 * 1024))), memory_bytes=60 * 1024 * 1024)
    assert refused.value.details["reason"] == "too_much_memory"


def test_a_very_long_text_is_cut_and_told(inside: Inside) -> None:
    found = inside(mail(b"\r\n" + b"abc \r\n" * 300_000))
    assert len(found["text"]) <= parse_worker.MAX_TEXT
    assert "text cut short" in found["defects"]
