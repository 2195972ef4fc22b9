"""Trouble in bodies: parts, boundaries, charsets, encodings, depth."""

from tests.trouble.writing import CRLF, Author, file_part, kind, kinds

TCVN = b"B\xb8o c\xb8o t\xd7nh h\xd7nh"
VISCII = b"B\xe1o c\xe1o t\xecnh h\xecnh"


@kinds("document", same=True)
def other_boundaries(author: Author) -> list[bytes]:
    """A mailer writes new ones each time it sends."""
    parts, when = (author.text_part(), file_part(author.pdf(), "application/pdf")), "Mon, 02 Mar 2026 08:00:00 +0700"
    return [author.mixed(*parts, Date=when) for _ in range(2)]


@kind("document")
def no_boundary(author: Author) -> bytes:
    """Multipart that does not say where its parts end."""
    return author.plain(Content_Type=author.chance.choice(["multipart/mixed", 'multipart/mixed; boundary=""']))


@kind("document")
def unterminated(author: Author) -> bytes:
    """Cut off on the way."""
    raw = author.mixed(author.text_part(), file_part(author.noise(3000), "application/pdf"))
    return raw[: author.chance.randrange(len(raw) // 2, len(raw) - 60)]


@kind("document")
def boundary_within_text(author: Author) -> bytes:
    """Lines that begin as the boundary does."""
    text = f"Content-Type: text/plain{CRLF}{CRLF}--edge-{CRLF}--edgeX{CRLF} --edge{CRLF}{author.key}{CRLF}".encode()
    return author.mixed(text, file_part(author.pdf(), "application/pdf"), boundary="edge")


@kind("document")
def nested_same_boundary(author: Author) -> bytes:
    """Inner and outer parts end at the same line."""
    inner = f'Content-Type: multipart/mixed; boundary="edge"{CRLF}{CRLF}--edge{CRLF}{CRLF}{author.key}{CRLF}--edge--'
    return author.mixed(inner.encode(), author.text_part(), boundary="edge")


@kind("document")
def strange_boundary(author: Author) -> bytes:
    """Longer than RFC 2046 allows, or of characters that it forbids."""
    return author.mixed(
        author.text_part(), boundary=author.chance.choice(["x" * 900, "a b'()+_,-./:=?", "đường biên", "."])
    )


@kind("document")
def wrong_content_type(author: Author) -> bytes:
    """What is declared is not what is there."""
    kinds_ = (
        "pdf",
        "text",
        "/",
        "text/",
        ";",
        "multipart/mixed/extra; boundary=x",
        "a" * 500,
        "text/plain;;;=;charset",
    )
    return author.plain(Content_Type=author.chance.choice(kinds_))


@kind("document")
def doubled_content_type(author: Author) -> bytes:
    """Two that contradict each other."""
    return b'Content-Type: multipart/mixed; boundary="nix"\r\n' + author.plain()


@kind("quarantine:not_a_mail")
def binary_rubbish(author: Author) -> bytes:
    """No mail at all."""
    return author.noise(author.chance.randrange(1, 50_000)).replace(b":", b";") + author.key.encode()


@kind("quarantine:empty", always_same=True)
def nothing(author: Author) -> bytes:
    """Not a byte."""
    return b""


@kind("document")
def nul_in_body(author: Author) -> bytes:
    """Some, or many."""
    return author.plain() + b"a\x00b" * author.chance.randrange(1, 5000)


@kind("document")
def very_long_lines(author: Author) -> bytes:
    """One line of a megabyte, or many beyond 998."""
    return author.plain() + (b"x" * author.chance.choice([1000, 5000, 1_000_000]) + b"\r\n") * author.chance.randrange(
        1, 3
    )


@kind("document")
def unknown_charset(author: Author) -> bytes:
    """Nobody has it, or it is no charset of mail."""
    name = author.chance.choice(
        ["x-vni-win", "khong-co", "utf-99", "idna", "unicode_escape", "rot13", "", '"', "a" * 300]
    )
    return author.plain(Content_Type=f"text/plain; charset={name}")


@kind("document")
def windows_1258(author: Author) -> bytes:
    """Combining marks."""
    return author.plain(Content_Type="text/plain; charset=windows-1258") + "Trươ\u0300ng ho\u0323c".encode("cp1258")


@kind("document")
def tcvn_5712(author: Author) -> bytes:
    """The old standard of the north."""
    return author.plain(Content_Type="text/plain; charset=TCVN-5712", Subject="@@").replace(b"@@", TCVN) + TCVN


@kind("document")
def viscii(author: Author) -> bytes:
    """The old standard of those abroad."""
    return author.plain(Content_Type="text/plain; charset=VISCII") + VISCII


@kind("document")
def mislabelled_utf_8(author: Author) -> bytes:
    """Said to be something else."""
    name = author.chance.choice(["us-ascii", "iso-8859-1", "utf-7", "utf-16", "big5", "shift_jis", "euc-kr"])
    return author.plain(Content_Type=f"text/plain; charset={name}")


@kind("document")
def broken_utf_8(author: Author) -> bytes:
    """Cut, overlong, surrogates."""
    return (
        author.plain()
        + author.chance.choice([b"\xe1\xba", b"\xc0\xaf", b"\xed\xa0\x80", b"\xff\xfe", b"\xf4\x90\x80\x80"]) * 9
    )


@kind("document")
def broken_base64(author: Author) -> bytes:
    """Cut, with strange characters, with text behind it."""
    bad = author.chance.choice([b"QUJD=", b"Q", b"@@@@", b"QUJD\r\n====\r\nQUJD", b"QUJDRA==\r\n-- \r\nquang cao"])
    part = b"Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + bad
    return author.mixed(author.text_part(), part)


@kind("document")
def broken_quoted_printable(author: Author) -> bytes:
    """Half escapes and 8-bit text."""
    return author.plain(Content_Transfer_Encoding="quoted-printable") + "=C3=\r\n=Z1 = =E1=BA báo=".encode()


@kind("document")
def unknown_transfer_encoding(author: Author) -> bytes:
    """Of no standard."""
    return author.plain(
        Content_Transfer_Encoding=author.chance.choice(["8-bit", "gzip", "x-khong", "base-64", ";", ""])
    )


@kind("document")
def uuencoded(author: Author) -> bytes:
    """As a transfer encoding, or within the text; whole or broken."""
    lines = author.chance.choice(["#0V%T\r\n`\r\nend", "#0V%T", "M" + "!" * 60 + "\r\nend", "\x7f\x7f\r\nend"])
    named = {"Content_Transfer_Encoding": author.chance.choice(["x-uuencode", "7bit"])}
    return author.plain(**named) + f"begin 644 ../../etc/passwd\r\n{lines}\r\n".encode()


@kind("document")
def yenc(author: Author) -> bytes:
    """Binary with lines of its own."""
    return author.plain() + b"=ybegin line=128 size=3 name=a.bin\r\n" + author.noise(300) + b"\r\n=yend size=3\r\n"


@kind("document")
def empty_body(author: Author) -> bytes:
    """Nothing but the subject."""
    return author.head(Content_Type="text/plain").encode() + b"\r\n"


@kind("document")
def page_with_script(author: Author) -> bytes:
    """HTML alone; what runs is not text."""
    hidden = f"<script>alert('{author.key}')</script><style>p{{}}</style>"
    page = f"<html>{hidden}<p>Kính gửi<br>{author.key}</p><img src=cid:x>"
    return f"{author.head(Content_Type='text/html; charset=utf-8')}{CRLF}{page}".encode()


@kind("document")
def page_of_open_tags(author: Author) -> bytes:
    """Markup that takes stupid readers quadratic time."""
    page = author.chance.choice(["<b>", "<", "<!--", "<![CDATA[", "&#", "<a href='"]) * author.chance.choice(
        [100, 20_000]
    )
    return f"{author.head(Content_Type='text/html')}{CRLF}{author.key}{page}".encode()


@kind("document")
def parts_without_content(author: Author) -> bytes:
    """Alternatives of nothing."""
    return author.mixed(b"", b"Content-Type: text/html\r\n\r\n", kind="multipart/alternative")


@kind("document")
def multipart_without_parts(author: Author) -> bytes:
    """Only its last boundary."""
    return author.mixed()


@kind("quarantine:too_many_parts", heavy=True)
def two_thousand_and_one_parts(author: Author) -> bytes:
    """One more than is read."""
    return author.mixed(*[b"\r\nx"] * 2001)


@kind("document", heavy=True)
def many_parts(author: Author) -> bytes:
    """Many, within the limit; empty ones are no files."""
    return author.mixed(author.text_part(), *[b"\r\nx"] * 900)


def deep(author: Author, levels: int) -> bytes:
    """Multiparts within multiparts."""
    edges = [f"e{level}" for level in range(levels)]
    opened = "".join(f'Content-Type: multipart/mixed; boundary="{edge}"{CRLF}{CRLF}--{edge}{CRLF}' for edge in edges)
    return f"{author.head()}{opened}{CRLF}{author.key}{CRLF}".encode()


@kind("document")
def ten_levels(author: Author) -> bytes:
    """Deeper than mailers go, within what is read."""
    return deep(author, 10)


@kind("quarantine:nested_too_deep")
def thirty_levels(author: Author) -> bytes:
    """Deeper than is read."""
    return deep(author, author.chance.randrange(30, 60))
