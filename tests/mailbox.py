"""Builds mail as it really comes: broken, hostile, Vietnamese. Everything is made here, nothing is copied."""

import base64
from collections.abc import Iterable
from urllib.parse import quote

CRLF = b"\r\n"
HEADERS = {
    "From": "Văn thư <vanthu@bavi.example.vn>",
    "To": "vanthu@sonla.example.vn",
    "Subject": "Cong van so 15",
    "Date": "Mon, 05 Jan 2026 08:30:00 +0700",
    "Message-ID": "<15.2026@bavi.example.vn>",
}
PDF = b"%PDF-1.4\n% not a whole one, but bytes \x00\xff all the same\n%%EOF\n"


def mail(
    body: bytes = b"Kinh gui\r\n", *, without: Iterable[str] = (), raw: Iterable[bytes] = (), **headers: str
) -> bytes:
    """A message: ``HEADERS``, changed by ``headers`` (``_`` for ``-``), less ``without``, plus ``raw`` header lines.

    ``body`` begins with the headers of the body part or, for plain text, with its first line after a blank one.
    """
    fields = {**HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"{name}: {value}".encode() for name, value in fields.items() if name not in without]
    content = body if body.startswith((b"Content-", b"\r\n", b"MIME-")) else CRLF + body
    return CRLF.join([*lines, *raw]) + CRLF + content


def text(content: str = "Kính gửi Ủy ban", charset: str = "utf-8", kind: str = "plain") -> bytes:
    return leaf(content.encode(charset), f'text/{kind}; charset="{charset}"')


def leaf(content: bytes, kind: str, *headers: str) -> bytes:
    """One base64 part with its headers."""
    lines = [f"Content-Type: {kind}", "Content-Transfer-Encoding: base64", *headers, ""]
    return CRLF.join(line.encode() for line in lines) + CRLF + base64.encodebytes(content).replace(b"\n", CRLF)


def attachment(content: bytes = PDF, name: str = "cong-van.pdf", kind: str = "application/pdf") -> bytes:
    return leaf(content, kind, f'Content-Disposition: attachment; filename="{name}"')


def many(*parts: bytes, kind: str = "mixed", boundary: str = "=_one", closed: bool = True) -> bytes:
    """A multipart body with its header."""
    mark = f"--{boundary}".encode()
    pieces = [f'Content-Type: multipart/{kind}; boundary="{boundary}"'.encode(), b""]
    for part in parts:
        pieces += [mark, part.removesuffix(CRLF)]
    return CRLF.join([*pieces, mark + b"--" if closed else b"", b""])


def nested(levels: int) -> bytes:
    """A multipart in a multipart, and so on; one plain text at the bottom."""
    inside = text("bottom")
    for level in range(levels):
        inside = many(inside, boundary=f"=_level{level}")
    return inside


def word(content: str, charset: str, encoding: str = "B") -> str:
    """An RFC 2047 encoded word."""
    raw = content.encode(charset)
    if encoding == "B":
        return f"=?{charset}?B?{base64.b64encode(raw).decode()}?="
    return f"=?{charset}?Q?{''.join(f'={byte:02X}' for byte in raw)}?="


def continued(parameter: str, value: str, charset: str = "utf-8", width: int = 20) -> str:
    """An RFC 2231 parameter over several lines, percent-encoded."""
    escaped = quote(value.encode(charset), safe="")
    pieces: list[str] = []
    while escaped:
        cut = next(at for at in (width, width + 1, width + 2) if "%" not in escaped[at - 2 : at])
        pieces.append(escaped[:cut])
        escaped = escaped[cut:]
    first, *rest = pieces
    lines = [f"{parameter}*0*={charset}''{first}", *(f"{parameter}*{at}*={piece}" for at, piece in enumerate(rest, 1))]
    return ";\r\n ".join(lines)
