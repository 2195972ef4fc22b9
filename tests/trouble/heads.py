"""Trouble in header fields: missing, doubled, impossible, huge, in strange characters."""

from tests.trouble.writing import CRLF, TO, Author, encoded, kind, kinds


@kind("document")
def no_message_id(author: Author) -> bytes:
    """Some programs leave it out."""
    return author.plain(Message_ID=None)


@kind("document")
def empty_message_id(author: Author) -> bytes:
    """There, and of no use."""
    return author.plain(Message_ID=author.chance.choice(["", " ", "<>", "< >"]))


@kinds("document", same=False)
def shared_message_id(author: Author) -> list[bytes]:
    """Two letters under one Message-ID: neither may swallow the other."""
    return [author.plain(Message_ID=f"<{author.key}@may.example>", Subject=f"{author.key} {n}") for n in range(2)]


@kinds("document", same=True)
def other_received_lines(author: Author) -> list[bytes]:
    """The same mail by two ways."""
    raw = author.plain()
    ways = [f"Received: from {host} by mx; Mon, 2 Mar 2026 09:00:00 +0700{CRLF}".encode() for host in ("a", "b")]
    return [ways[0] + raw, ways[1] + ways[0] + raw, b"Return-Path: <x@y.example>\r\nDelivered-To: me\r\n" + raw]


@kinds("document", same=True)
def twice_the_same(author: Author) -> list[bytes]:
    """The very same bytes again."""
    return [author.plain()] * 2


@kind("quarantine:not_a_mail")
def no_headers(author: Author) -> bytes:
    """Text that somebody sent as if it were a mail."""
    return f"{CRLF}{CRLF}{author.key}{CRLF}{author.body()}".encode()


@kind("document")
def nul_in_header(author: Author) -> bytes:
    """PostgreSQL holds no NUL."""
    return author.plain(Subject=f"Bao cao \x00 {author.key}")


@kind("document")
def only_bare_cr(author: Author) -> bytes:
    """Line ends of old Macs."""
    return author.plain().replace(b"\r\n", b"\r")


@kind("document")
def mixed_line_ends(author: Author) -> bytes:
    """CRLF, LF and CR as they come."""
    lines = author.plain().split(b"\r\n")
    ends = (b"\r\n", b"\n", b"\r")
    return b"".join(line + author.chance.choice(ends) for line in lines)


@kind("quarantine:header_too_large")
def header_of_300_kib(author: Author) -> bytes:
    """One field, folded or not."""
    fold = author.chance.choice(["", f"{CRLF} "])
    return author.plain(X_Long=fold.join(["a" * 1000] * 300))


@kind("quarantine:header_too_large")
def header_too_large_by_number(author: Author) -> bytes:
    """Many fields that are small each."""
    return "".join(f"X-{n}: {'a' * 30}{CRLF}" for n in range(10_000)).encode() + author.plain()


@kind("document")
def ten_thousand_headers(author: Author) -> bytes:
    """Many fields, within the limit of bytes."""
    return "".join(f"X-{n}: a{CRLF}" for n in range(10_000)).encode() + author.plain()


@kind("document")
def header_line_too_long(author: Author) -> bytes:
    """RFC 5322 allows 998 characters; people send more."""
    return author.plain(References=" ".join(f"<{n}.{author.key}@a.example>" for n in range(200)), Comments="x" * 5000)


@kind("document")
def line_without_colon(author: Author) -> bytes:
    """What a broken gateway leaves among the fields."""
    head, _, body = author.plain().partition(b"\r\n\r\n")
    return head + b"\r\nX-Ok: 1\r\n" + author.chance.choice([b"garbage here", b"From nowhere"]) + b"\r\n\r\n" + body


@kind("document")
def mbox_line_first(author: Author) -> bytes:
    """The line with which mbox files part their mails."""
    return f"From {author.sender} Mon Mar  2 09:00:00 2026{CRLF}".encode() + author.plain()


@kind("document")
def byte_order_mark_first(author: Author) -> bytes:
    """An editor on Windows saved it."""
    return b"\xef\xbb\xbf" + author.plain()


@kind("document")
def empty_lines_first(author: Author) -> bytes:
    """A gateway put them there."""
    return b"\r\n" * author.chance.randrange(1, 4) + author.plain()


@kind("document")
def sender_without_address(author: Author) -> bytes:
    """A name alone."""
    return author.plain(From=author.chance.choice(["Phong Noi vu", encoded("Phòng Nội vụ"), "<>", '"" <>', "@", ""]))


@kind("document")
def no_sender(author: Author) -> bytes:
    """Nobody signs."""
    return author.plain(From=None)


@kind("document")
def two_senders(author: Author) -> bytes:
    """Two From fields, or one with two addresses."""
    if author.chance.random() < 0.5:
        return b"From: gia@tinh.example\r\n" + author.plain()
    return author.plain(From=f"that@tinh.example, {author.sender}")


@kind("document")
def groups(author: Author) -> bytes:
    """RFC 5322 groups, empty and full."""
    to = author.chance.choice(["undisclosed-recipients:;", f"Cac phong: {TO}, b@b.example;", "a:b:c:;;;"])
    return author.plain(To=to, From=f"Nhom: {author.sender};")


@kind("document")
def international_addresses(author: Author) -> bytes:
    """SMTPUTF8 (RFC 6532) and A-labels."""
    return author.plain(
        From=author.chance.choice(["văn.thư@tỉnh.example", "a@xn--tnh-rma.example"]), To="huyện@bình-minh.example"
    )


@kind("document")
def strange_addresses(author: Author) -> bytes:
    """Quoted, commented, routed, unclosed."""
    ways = (
        '"a b"@c.example',
        "(chú thích) a@b.example (x",
        "<@a,@b:c@d.example>",
        "a@b@c.example",
        '"a@b.example',
        "a@[1.2.3.4]",
    )
    return author.plain(From=author.chance.choice(ways), To=", ".join(ways), Cc="(" * 200)


@kind("document")
def impossible_date(author: Author) -> bytes:
    """No calendar has it."""
    days = (
        "Mon, 31 Feb 2026 25:61:00 +9999",
        "hôm qua",
        "",
        "Thu, 1 Jan 0000 00:00:00 +0000",
        "9" * 400,
        "Mon, 2 Mar 99999 1:1:1",
    )
    return author.plain(Date=author.chance.choice(days))


@kind("document")
def huge_subject(author: Author) -> bytes:
    """100 KB of it."""
    return author.plain(Subject=f"{CRLF} ".join([author.key, *["du an dau tu cong"] * 6000]))


@kind("document")
def raw_subject(author: Author) -> bytes:
    """Vietnamese as it is, without RFC 2047."""
    charset = author.chance.choice(["utf-8", "cp1258"])
    return author.plain(Subject="@@").replace(
        b"@@", b"B\xe1o c\xe1o" if charset == "cp1258" else author.subject.encode()
    )


@kind("document")
def subject_cut_within_a_character(author: Author) -> bytes:
    """RFC 2047 forbids it, mailers do it."""
    raw = f"{author.subject} {author.key}".encode()
    cut = next(n for n in range(1, len(raw)) if raw[n] & 0xC0 == 0x80)
    pieces = ("".join(f"={byte:02X}" for byte in piece) for piece in (raw[:cut], raw[cut:]))
    return author.plain(Subject=f"{CRLF} ".join(f"=?utf-8?Q?{piece}?=" for piece in pieces))


@kind("document")
def broken_encoded_words(author: Author) -> bytes:
    """Unclosed, of unknown charset, with bad base64."""
    ways = (
        "=?utf-8?Q?B=C3",
        "=?khong-co?B?QUJD?=",
        "=?utf-8?B?####?=",
        "=?utf-8?X?abc?=",
        "=?" * 3000,
        "=?utf-8?Q?=ZZ=?=",
    )
    return author.plain(Subject=f"{author.chance.choice(ways)} {author.key}")


@kind("document")
def only_two_fields(author: Author) -> bytes:
    """The least that is a mail."""
    return f"From: {author.sender}{CRLF}Subject: {author.key}{CRLF}{CRLF}".encode()


@kind("document")
def no_body(author: Author) -> bytes:
    """The header ends and nothing follows, not even the empty line."""
    return author.head().encode().rstrip()
