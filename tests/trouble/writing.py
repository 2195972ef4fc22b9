"""What kinds of trouble share: an author with a random generator of its own, and the register of kinds."""

import random
from base64 import encodebytes
from collections.abc import Callable
from dataclasses import dataclass, field
from email.header import Header

SUBJECTS = (
    "Báo cáo tình hình kinh tế - xã hội",
    "Giấy mời họp giao ban",
    "V/v quyết toán ngân sách năm trước",
    "Hồ sơ đề nghị cấp giấy chứng nhận quyền sử dụng đất",
    "Thông báo nghỉ lễ",
    "Đề nghị phối hợp",
)
SENDERS = ("vanthu@snv.tinh.example", "vt@anphu.binhminh.example", "lienhe@songxanh.example", "dan@nguoidan.example")
TO = "vanthu@binhminh.example"
CRLF = "\r\n"


@dataclass
class Author:
    """Writes mails that differ from all others by ``key``; the same seed writes the same ones."""

    chance: random.Random
    key: str
    sender: str = field(init=False)
    subject: str = field(init=False)

    def __post_init__(self) -> None:
        self.sender = self.chance.choice(SENDERS)
        self.subject = self.chance.choice(SUBJECTS)

    def head(self, **changed: str | None) -> str:
        """The usual fields; ``_`` stands for ``-``, None leaves a field out, others are added."""
        usual: dict[str, str | None] = {
            "From": f"{encoded('Văn thư')} <{self.sender}>",
            "To": TO,
            "Subject": encoded(self.subject),
            "Date": f"Mon, 02 Mar 2026 {self.chance.randrange(24):02}:{self.chance.randrange(60):02}:00 +0700",
            "Message-ID": f"<{self.key}@{self.sender.partition('@')[2]}>",
            "MIME-Version": "1.0",
        }
        usual |= {name.replace("_", "-"): value for name, value in changed.items()}
        return "".join(f"{name}: {value}{CRLF}" for name, value in usual.items() if value is not None)

    def body(self) -> str:
        lines = self.chance.randrange(1, 9)
        words = ("Kính gửi", "Ủy ban nhân dân", "huyện", "đề nghị", "xem xét", "theo quy định", self.key)
        return CRLF.join(" ".join(self.chance.choices(words, k=9)) for _ in range(lines)) + f"{CRLF}{self.key}{CRLF}"

    def plain(self, **changed: str | None) -> bytes:
        """A mail of text alone."""
        named = {"Content_Type": "text/plain; charset=utf-8", "Content_Transfer_Encoding": "8bit"} | changed
        return f"{self.head(**named)}{CRLF}{self.body()}".encode()

    def boundary(self) -> str:
        return f"=_{self.chance.getrandbits(64):016x}"

    def mixed(self, *parts: bytes, kind: str = "multipart/mixed", boundary: str = "", **changed: str | None) -> bytes:
        """The parts, each with its header, one after the other."""
        edge = boundary or self.boundary()
        head = self.head(Content_Type=f'{kind}; boundary="{edge}"', **changed)
        inside = b"".join(f"--{edge}{CRLF}".encode() + part + CRLF.encode() for part in parts)
        return f"{head}{CRLF}".encode() + inside + f"--{edge}--{CRLF}".encode()

    def text_part(self) -> bytes:
        return f"Content-Type: text/plain; charset=utf-8{CRLF}{CRLF}{self.body()}".encode()

    def with_file(self, content: bytes, kind: str = "application/octet-stream", disposition: str = "") -> bytes:
        """A mail with one file, in base64; ``disposition`` is the field's value."""
        return self.mixed(
            self.text_part(), file_part(content, kind, disposition or f'attachment; filename="{self.key}"')
        )

    def pdf(self) -> bytes:
        return f"%PDF-1.4\n% {self.key}\n1 0 obj<<>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n".encode()

    def noise(self, size: int) -> bytes:
        return self.chance.randbytes(size)


def encoded(text: str) -> str:
    return Header(text, "utf-8").encode(linesep=CRLF)


def file_part(content: bytes, kind: str, disposition: str = "attachment", encoding: str = "base64") -> bytes:
    head = f"Content-Type: {kind}{CRLF}Content-Disposition: {disposition}{CRLF}"
    written = encodebytes(content).replace(b"\n", b"\r\n") if encoding == "base64" else content
    return f"{head}Content-Transfer-Encoding: {encoding}{CRLF}{CRLF}".encode("utf-8", "surrogateescape") + written


Writer = Callable[[Author], list[bytes]]


@dataclass(frozen=True)
class Kind:
    """``ends`` is ``document``, or ``quarantine:`` and its reason. ``same`` says that what it writes is one letter
    that comes several times; else each is a letter of its own. ``always_same`` letters are one however often written;
    ``heavy`` ones are written seldom."""

    name: str
    ends: str
    write: Writer
    same: bool = False
    always_same: bool = False
    heavy: bool = False


KINDS: list[Kind] = []


def kind(ends: str, *, heavy: bool = False, always_same: bool = False) -> Callable[[Callable[[Author], bytes]], None]:
    """Registers a function that writes one mail."""

    def register(write: Callable[[Author], bytes]) -> None:
        KINDS.append(Kind(write.__name__, ends, lambda author: [write(author)], heavy=heavy, always_same=always_same))

    return register


def kinds(ends: str, *, same: bool) -> Callable[[Writer], None]:
    """Registers a function that writes several mails: one letter several times, or several letters."""

    def register(write: Writer) -> None:
        KINDS.append(Kind(write.__name__, ends, write, same=same))

    return register
