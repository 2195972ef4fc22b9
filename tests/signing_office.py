"""A desk to sign at, at every level: keys of its own authority, time stamps of ``openssl ts``, and who is believed."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyhanko.pdf_utils.reader import PdfFileReader
from reportlab.pdfgen.canvas import Canvas

from docflow.adapters.signing.authority import DemoAuthority
from docflow.adapters.signing.pades import PadesSigner
from docflow.adapters.signing.verify import PdfVerifier
from docflow.domain.signing_settings import Level
from docflow.services.signing_ports import Blank, Box, Pkcs12Key, SignatureOrder, SignatureReport, Signed, Stamp, Trust
from tests.tsa import Tsa, require_tool, running

PERSON, SEAL = "docflow_phuong.nt_2", "docflow_agency_3"
STAMP = Stamp(Box(1, 330, 120, 170, 70), None, ("Ký bởi: Nguyễn Thị Phượng", "Cơ quan: UBND huyện Bình Minh"))
NUMBER = Blank("docflow_blank_number", "number", Box(1, 100, 700, 60, 18))
DATE = Blank("docflow_blank_date", "date", Box(1, 300, 700, 200, 18), align="centre")
FILLED = ((NUMBER.name, "15"), (DATE.name, "ngày 05 tháng 3 năm 2026"))


@dataclass
class Office:
    folder: Path
    tsa: Tsa
    key: Pkcs12Key
    seal_key: Pkcs12Key
    trust: Trust

    @property
    def signer(self) -> PadesSigner:
        return PadesSigner(tsa_url=self.tsa.url, trust=lambda: self.trust)

    def letter(self, name: str = "letter.pdf") -> Path:
        canvas = Canvas(str(self.folder / name), pageCompression=0)
        canvas.drawString(72, 720, "Pay 100 to the school.")
        canvas.save()
        return self.folder / name

    def sign(self, source: Path, *, key: Pkcs12Key | None = None, **order: Any) -> tuple[Path, Signed]:
        entries: dict[str, Any] = {"field": PERSON, "level": Level.B_B, "reason": "Phê duyệt", "stamp": STAMP}
        wanted = SignatureOrder(**(entries | {"signed_at": datetime.now(UTC)} | order))
        target = source.with_name(f"{source.stem}-{wanted.field}.pdf")
        return target, self.signer.sign(source, target, key=key or self.key, order=wanted)

    def seal(self, source: Path, level: Level = Level.B_B, **order: Any) -> tuple[Path, Signed]:
        stamp = replace(STAMP, box=Box(1, 290, 110, 100, 100), lines=("DẤU",), colour=(1.0, 0.0, 0.0))
        return self.sign(source, key=self.seal_key, field=SEAL, level=level, stamp=stamp, **order)

    def verify(self, file: Path) -> list[SignatureReport]:
        return PdfVerifier().verify(file, "application/pdf", self.trust)

    def verdicts(self, file: Path) -> list[tuple[str, str, str]]:
        return [(report.field, report.level, report.verdict) for report in self.verify(file)]


@contextmanager
def open_office(folder: Path) -> Iterator[Office]:
    require_tool("openssl", "openssl")
    (folder / "tsa").mkdir()
    authority = DemoAuthority(folder / "keys")
    key = authority.issue("phuong.nt", "Nguyễn Thị Phượng", "UBND huyện Bình Minh")
    seal = authority.issue("agency", "Ủy ban nhân dân huyện Bình Minh", "UBND huyện Bình Minh")
    own = authority.root_certificate.read_text("ascii")
    with running(Tsa(folder / "tsa")) as tsa:
        yield Office(folder, tsa, key, seal, Trust("test", (own,), (own, tsa.root)))


def pdfsig(file: Path) -> list[str]:
    """What poppler says of each signature that it knows how to check; archival time stamps are none of these."""
    require_tool("pdfsig", "poppler-utils")
    said = subprocess.run(["pdfsig", "-nocert", str(file)], capture_output=True, text=True, check=False).stdout
    signatures = said.split("Signature #")[1:]
    assert signatures, said
    return [_validation(one) for one in signatures if "ETSI.CAdES.detached" in one]


def _validation(said: str) -> str:
    return next(line.partition(":")[2].strip() for line in said.splitlines() if "Signature Validation" in line)


def signature_parts(file: Path, name: str) -> tuple[bytes, bytes]:
    """The CMS of a signature and the bytes of the file that it covers."""
    with file.open("rb") as stream:
        signature = next(one for one in PdfFileReader(stream).embedded_signatures if one.field_name == name)
        contents, ranges = bytes(signature.pkcs7_content), [int(number) for number in signature.byte_range]
    data = file.read_bytes()
    return contents, data[: ranges[1]] + data[ranges[2] : ranges[2] + ranges[3]]


def openssl(*arguments: str) -> str:
    assert shutil.which("openssl")
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr
