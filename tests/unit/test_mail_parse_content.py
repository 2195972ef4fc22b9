"""What a mail holds is found in whatever it was packed: messages, winmail.dat, S/MIME, old charsets, odd names."""

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms

from docflow.adapters.mail import iconv, parse_worker, shelf
from docflow.adapters.mail.tree import Refused
from tests.mailbox import PDF, attachment, continued, leaf, mail, many, nested, text, word

Inside = Callable[[bytes], dict[str, Any]]


@pytest.fixture
def inside(tmp_path: Path) -> Inside:
    """The reading itself, without its process."""
    (tmp_path / "parts").mkdir()

    def parse(raw: bytes) -> dict[str, Any]:
        (tmp_path / "raw.eml").write_bytes(raw)
        found = parse_worker.take_apart(tmp_path / "raw.eml", tmp_path / "parts")
        for one in found["attachments"]:
            one["bytes"] = (tmp_path / "parts" / one["file"]).read_bytes()
        return found

    return parse


def names(found: dict[str, Any]) -> list[str]:
    return [one["name"] for one in found["attachments"]]


# Messages in messages


def enclosing(inner: bytes, boundary: str, **headers: str) -> bytes:
    part = b'Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename="thu.eml"\r\n\r\n' + inner
    return mail(many(text(f"text {boundary}"), part, boundary=boundary), **headers)


def enclosed(levels: int) -> bytes:
    inside = mail(many(text("bottom"), attachment(), boundary="=_bottom"), Subject="cap 0")
    for level in range(1, levels + 1):
        inside = enclosing(inside, f"=_{level}", Subject=f"cap {level}")
    return inside


def test_the_files_of_an_enclosed_message_are_listed_beside_it(inside: Inside) -> None:
    found = inside(enclosed(1))
    assert names(found) == ["thu.eml", "cong-van.pdf"]
    assert found["attachments"][1]["bytes"] == PDF


def test_the_text_of_an_enclosed_message_stands_below_a_line_that_names_it(inside: Inside) -> None:
    assert inside(enclosed(1))["text"] == "text =_1\n\n--- Thư kèm theo: cap 0 ---\nbottom"


def test_five_levels_of_messages_are_opened_and_each_file_is_there_once(inside: Inside) -> None:
    found = inside(enclosed(5))
    assert names(found) == ["thu.eml"] * 5 + ["cong-van.pdf"]
    assert found["text"].endswith("--- Thư kèm theo: cap 0 ---\nbottom")


def test_a_message_on_the_sixth_level_stays_a_file(inside: Inside) -> None:
    found = inside(enclosed(6))
    assert names(found) == ["thu.eml"] * 6
    assert "bottom" not in found["text"]


@pytest.mark.parametrize("levels", [30, 1_000])
def test_messages_in_messages_without_end_are_refused(inside: Inside, levels: int) -> None:
    raw = b"".join(b"From: a@b.vn\r\nContent-Type: message/rfc822\r\n\r\n" for _ in range(levels)) + mail()
    with pytest.raises(Refused) as refused:
        inside(raw)
    assert refused.value.reason == "nested_too_deep"


def test_the_parts_of_all_enclosed_messages_count_together(inside: Inside) -> None:
    half = mail(many(*[text("x")] * 1_100, boundary="=_half"))
    part = b"Content-Type: message/rfc822\r\n\r\n" + half
    with pytest.raises(Refused) as refused:
        inside(mail(many(part, part)))
    assert refused.value.reason == "too_many_parts"


def test_a_guard_holds_in_an_enclosed_message_too(inside: Inside) -> None:
    with pytest.raises(Refused) as refused:
        inside(enclosing(mail(nested(100)), "=_out"))
    assert refused.value.reason == "nested_too_deep"


def test_what_is_called_a_message_and_is_none_stays_a_file(inside: Inside) -> None:
    found = inside(mail(many(text("x"), b"Content-Type: message/rfc822\r\n\r\nkhong phai thu\r\n")))
    assert (names(found), found["text"]) == (["attachment-1.eml"], "x")


def test_an_image_shown_by_an_enclosed_message_is_inline(inside: Inside) -> None:
    logo = leaf(b"1", "image/png", "Content-ID: <logo@x>", 'Content-Disposition: attachment; filename="logo.png"')
    inner = mail(many(text('<img src="cid:logo@x">', kind="html"), logo, boundary="=_in"))
    assert [one["inline"] for one in inside(enclosing(inner, "=_out"))["attachments"]] == [False, True]


# Charsets


@pytest.mark.parametrize(
    ("charset", "known_as"),
    [("TCVN-5712", "TCVN5712-1"), ("x-viet-tcvn5712", "TCVN5712-1"), ("viscii", "VISCII"), ("VISCII1.1-1", "VISCII")],
)
def test_an_old_vietnamese_charset_is_read(inside: Inside, charset: str, known_as: str) -> None:
    wanted = "ỦY BAN NHÂN DÂN: Quyết định về việc phê duyệt"
    lines = f"{wanted}\nĐộc lập - Tự do - Hạnh phúc"
    convert = ["iconv", "-f", "utf-8", "-t", known_as]
    body, subject = (subprocess.run(convert, input=t.encode(), stdout=-1, check=True).stdout for t in (lines, wanted))
    encoded = "".join(f"={byte:02X}" for byte in subject)
    found = inside(mail(leaf(body, f"text/plain; charset={charset}"), Subject=f"=?{charset}?Q?{encoded}?="))
    assert (found["subject"], found["text"], found["defects"]) == (wanted, lines, [])


def test_every_byte_of_the_old_charsets_has_a_letter() -> None:
    for name in ("TCVN5712-1", "VISCII"):
        assert "\ufffd" not in iconv.decode(bytes(range(256)), name)


def test_a_charset_this_machine_does_not_convert_is_told_and_readable(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(iconv, "known", lambda name: "NO-SUCH-CHARSET")
    found = inside(mail(leaf("Công văn".encode(), "text/plain; charset=viscii")))
    assert found["text"] == "Công văn"
    assert "unknown charset" in found["defects"]


# File names


def name_of(inside: Inside, *headers: bytes, kind: str = "application/pdf") -> str:
    part = b"\r\n".join([f"Content-Type: {kind}".encode(), *headers, b"", b"x"])
    return names(inside(mail(many(text("x"), part))))[0]


@pytest.mark.parametrize(
    "written",
    [
        b"filename=\"cong van.pdf\"; filename*=utf-8''C%C3%B4ng%20v%C4%83n.pdf",
        b"filename*=utf-8''C%C3%B4ng%20v%C4%83n.pdf; filename=\"cong van.pdf\"",
        b'filename="C%C3%B4ng%20v%C4%83n.pdf"',
        b"filename*0*=utf-8''C%C3%B4ng; filename*1*=%20v%C4%83; filename*2=n.pdf",
        'filename="Công văn.pdf"'.encode(),
        b'filename="C\xf4ng v\xe3n.pdf"'.replace(b"\xe3", "ă".encode("cp1258")),
        b'filename="=?utf-8?Q?C=C3=B4ng_v?= =?utf-8?Q?=C4=83n=2Epdf?="',
        b'filename=".."; name=y',
    ],
)
def test_a_name_is_read_however_it_is_written(inside: Inside, written: bytes) -> None:
    kind = f'application/pdf; name="{word("Công văn.pdf", "utf-8")}"'
    assert name_of(inside, b"Content-Disposition: attachment; " + written, kind=kind) == "Công văn.pdf"


def test_the_name_of_the_type_counts_where_there_is_no_file_name(inside: Inside) -> None:
    assert name_of(inside, kind=f"application/pdf; {continued('name', 'Công văn.pdf')}") == "Công văn.pdf"


@pytest.mark.parametrize("written", ["100%.pdf", "50%25 off.pdf", "%ZZ.pdf", "%C3%28.pdf"])
def test_a_percent_sign_that_encodes_nothing_stays(inside: Inside, written: str) -> None:
    assert name_of(inside, f'Content-Disposition: attachment; filename="{written}"'.encode()) == written


# Calendars


@pytest.mark.parametrize("kind", ["alternative", "mixed"])
def test_a_calendar_part_without_a_name_is_kept(inside: Inside, kind: str) -> None:
    invitation = leaf(b"BEGIN:VCALENDAR\r\nEND:VCALENDAR", "text/calendar; method=REQUEST")
    found = inside(mail(many(text("moi hop"), text("<p>moi hop", kind="html"), invitation, kind=kind)))
    assert names(found) == ["attachment-1.ics"]
    assert found["attachments"][0]["bytes"].startswith(b"BEGIN:VCALENDAR")


# winmail.dat


def tnef(*files: tuple[bytes, bytes], body: bytes = b"") -> bytes:
    """[MS-OXTNEF]: a signature, a key, then attributes of level, id, length, data and check sum."""
    parts = [
        attribute(1, 0x00089006, struct.pack("<I", 0x10000)),
        attribute(1, 0x00069007, struct.pack("<II", 1252, 0)),
    ]
    if body:
        parts.append(attribute(1, 0x0002800C, body))
    for name, data in files:
        parts.append(attribute(2, 0x00069002, bytes(14)))
        parts += [attribute(2, 0x00018010, name + b"\x00"), attribute(2, 0x0006800F, data)]
    return struct.pack("<IH", 0x223E9F78, 1) + b"".join(parts)


def attribute(level: int, identity: int, data: bytes) -> bytes:
    return struct.pack("<BII", level, identity, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)


def test_the_files_of_a_winmail_dat_are_listed_beside_it(inside: Inside) -> None:
    packed = tnef((b"Quyet dinh.pdf", PDF), ("Công văn.txt".encode(), b"abc"))
    found = inside(mail(many(text("x"), attachment(packed, "winmail.dat", "application/ms-tnef"))))
    assert names(found) == ["winmail.dat", "Quyet dinh.pdf", "Công văn.txt"]
    assert [one["bytes"] for one in found["attachments"]] == [packed, PDF, b"abc"]
    assert (found["text"], found["defects"]) == ("x", ["TNEF container"])


def test_a_winmail_dat_is_known_by_its_bytes_and_its_text_is_read(inside: Inside) -> None:
    packed = tnef((b"a\xf4.pdf", PDF), body=b"Kinh gui\x00")
    found = inside(mail(many(attachment(packed, "att.bin", "application/octet-stream"))))
    assert len(found["attachments"]) == 2
    assert found["text"] == "Kinh gui"


def test_the_text_of_a_winmail_dat_is_not_repeated(inside: Inside) -> None:
    packed = attachment(tnef((b"a.pdf", PDF), body=b"Kinh gui\x00"), "winmail.dat", "application/ms-tnef")
    spoken = many(text("Kinh gui"), text("<p>Kinh gui", kind="html"), kind="alternative", boundary="=_in")
    assert inside(mail(many(spoken, packed)))["text"] == "Kinh gui"


@pytest.mark.parametrize("cut", [4, 20, 60])
def test_a_broken_winmail_dat_is_kept_and_told(inside: Inside, cut: int) -> None:
    packed = tnef((b"a.pdf", PDF))[:cut] + b"\xff" * 7
    found = inside(mail(many(text("x"), attachment(packed, "winmail.dat", "application/ms-tnef"))))
    assert found["attachments"][0]["bytes"] == packed
    assert "TNEF container" in found["defects"]


def test_files_beyond_the_number_of_parts_are_refused_in_a_container_too(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "MAX_PARTS", 3)
    packed = tnef(*[(b"a", b"x")] * 3)
    with pytest.raises(Refused) as refused:
        inside(mail(many(text("x"), attachment(packed, "winmail.dat", "application/ms-tnef"))))
    assert refused.value.reason == "too_many_parts"


# S/MIME


def signed(content: bytes) -> bytes:
    data = {
        "version": "v1",
        "digest_algorithms": [],
        "encap_content_info": {"content_type": "data", "content": content},
        "signer_infos": [],
    }
    return bytes(cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData(data)}).dump())


@pytest.mark.parametrize("kind", ["application/pkcs7-mime; smime-type=signed-data", "application/octet-stream"])
def test_a_message_signed_in_one_piece_is_opened_and_kept_as_it_came(inside: Inside, kind: str) -> None:
    container = signed(many(text("Kính gửi"), attachment(), boundary="=_signed"))
    found = inside(mail(leaf(container, kind, 'Content-Disposition: attachment; filename="smime.p7m"')))
    assert names(found) == ["smime.p7m", "cong-van.pdf"]
    assert [one["bytes"] for one in found["attachments"]] == [container, PDF]
    assert (found["text"], found["hazard"]) == ("Kính gửi", None)


def test_a_signed_file_is_opened(inside: Inside) -> None:
    found = inside(mail(many(text("x"), attachment(signed(PDF), "cong-van.pdf.p7m", "application/pkcs7-mime"))))
    assert names(found) == ["cong-van.pdf.p7m", "cong-van.pdf"]
    assert found["attachments"][1]["bytes"] == PDF


def test_a_detached_signature_is_an_attachment_and_its_message_is_read(inside: Inside) -> None:
    signature = attachment(b"0\x03abc", "smime.p7s", "application/pkcs7-signature")
    found = inside(mail(many(many(text("x"), attachment(), boundary="=_in"), signature, kind="signed")))
    assert (names(found), found["text"]) == (["cong-van.pdf", "smime.p7s"], "x")


@pytest.mark.parametrize("content", [b"", b"0\x80", b"\x30\x82\xff\xff\x06", b"khong phai"])
def test_a_broken_signed_message_is_kept_and_told(inside: Inside, content: bytes) -> None:
    found = inside(mail(many(text("x"), attachment(content, "smime.p7m", "application/pkcs7-mime"))))
    assert found["attachments"][0]["bytes"] == content
    assert "unreadable S/MIME container" in found["defects"]


# The header


def test_who_answers_go_to_and_what_gateways_found_is_told(inside: Inside) -> None:
    results = [
        b"Authentication-Results: mx.sonla.example.vn;\r\n spf=pass",
        b"Authentication-Results: other; dkim=fail",
    ]
    found = inside(mail(raw=[b"Return-Path: <tra@b.vn>", *results], Reply_To="A <a@b.vn>, b@b.vn"))
    assert found["reply_to"] == ["a@b.vn", "b@b.vn"]
    assert found["return_path"] == "tra@b.vn"
    assert found["authentication"] == ["mx.sonla.example.vn; spf=pass", "other; dkim=fail"]


def test_an_empty_return_path_is_not_a_missing_one(inside: Inside) -> None:
    assert inside(mail(raw=[b"Return-Path: <>"]))["return_path"] == ""
    assert inside(mail())["return_path"] is None


def test_no_more_than_fifty_authentication_results_are_told(inside: Inside) -> None:
    found = inside(mail(raw=[f"Authentication-Results: mx{n}; none".encode() for n in range(60)]))
    assert (len(found["authentication"]), found["authentication"][0]) == (50, "mx0; none")
