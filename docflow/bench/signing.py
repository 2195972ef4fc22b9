"""Signatures a second on one core, beside pyHanko called plainly, and the memory that a large file takes.

Both make the same visible PAdES B-T signature with an RSA key of 2048 bits, and both are stamped by an authority in
this process, so that no network is measured. The plain way opens the PKCS#12 file for each signature, as its examples
do.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

from asn1crypto import cms, keys, tsp
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign.fields import SigFieldSpec, SigSeedSubFilter
from pyhanko.sign.general import as_signing_certificate
from pyhanko.sign.signers import PdfSignatureMetadata, PdfSigner, SimpleSigner
from pyhanko.sign.timestamps import DummyTimeStamper
from reportlab.pdfgen.canvas import Canvas
from rich.table import Table

from docflow.adapters.signing.authority import SIGNER_VALID, DemoAuthority
from docflow.adapters.signing.pades import PadesSigner
from docflow.adapters.signing.pdf_objects import array, name, stream
from docflow.adapters.signing.stamp_art import stamp_style
from docflow.domain.signing_settings import Level
from docflow.services.signing_ports import Box, Pkcs12Key, SignatureOrder, Stamp

MEGABYTE = 1024 * 1024
FIELD = "docflow_chutich_2"
STAMP = Stamp(
    Box(1, 330, 120, 170, 70),
    None,
    ("Ký bởi: Nguyễn Thị Phượng", "Cơ quan: UBND huyện Bình Minh", "Thời gian ký: 23/11/2026 15:04:05 +07:00"),
    (0.0, 0.0, 0.6),
)
GOAL = 2.5
MEMORY_GOAL = 200
LARGE = 20


class _Authority(DummyTimeStamper):
    """Opens its own key once, so that what it does counts little, for both alike."""

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        key = load_der_private_key(self.tsa_key.dump(), password=None)
        assert isinstance(key, rsa.RSAPrivateKey), "made below"
        return key

    def _sign_tst_info(self, tst_info_data: bytes, md_algorithm: str, dt: datetime) -> tuple[bytes, cms.CMSAttributes]:
        values = {
            "content_type": "tst_info",
            "signing_certificate": as_signing_certificate(self.tsa_cert),
            "message_digest": hashlib.new(md_algorithm, tst_info_data).digest(),
        }
        attributes = cms.CMSAttributes([{"type": kind, "values": [value]} for kind, value in values.items()])
        return self._key.sign(attributes.dump(), PKCS1v15(), hashes.SHA256()), attributes

    async def transport(self, query: bytes) -> bytes:
        reply: bytes = self.request_tsa_response(tsp.TimeStampReq.load(query)).dump()
        return reply


def measure(seconds: int, rounds: int) -> Table:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        key, stamper, letter = _key(home), _authority(), _letter(home / "letter.pdf", 0)
        ours, plain = _ours(home, key, stamper, letter), _plain(key, stamper, letter)
        sums = {"plain": 0.0, "ours": 0.0}
        for _ in range(rounds):
            sums["plain"] += _rate(plain, seconds)
            sums["ours"] += _rate(ours, seconds)
        memory = _memory(home)
    table = Table(
        title=f"Visible RSA-2048 B-T signatures, one core, {rounds} turns of {seconds} s", title_justify="left"
    )
    for column in ("what", "measured", "of the plain", "goal"):
        table.add_column(column)
    table.add_row("pyHanko's SimpleSigner called plainly", f"{sums['plain'] / rounds:.0f} /s", "1.00", "")
    ratio = sums["ours"] / sums["plain"]
    table.add_row("docflow", f"{sums['ours'] / rounds:.0f} /s", f"{ratio:.2f}", f"≥ {GOAL} × the plain")
    table.add_row(f"memory of signing {LARGE} MB", f"{memory:.0f} MB", "", f"≤ {MEMORY_GOAL} MB")
    return table


def _rate(sign: Callable[[], None], seconds: int) -> float:
    """By the time this process worked, so that others on the machine count less."""
    sign()
    done, since = 0, time.process_time()
    while time.process_time() - since < seconds:
        sign()
        done += 1
    return done / (time.process_time() - since)


def _ours(home: Path, key: Pkcs12Key, stamper: _Authority, letter: Path) -> Callable[[], None]:
    signer = PadesSigner(transport=stamper.transport)
    target = home / "signed.pdf"
    return lambda: _sign(signer, letter, target, key)


def _sign(signer: PadesSigner, source: Path, target: Path, key: Pkcs12Key, level: Level = Level.B_T) -> None:
    order = SignatureOrder(FIELD, level, "Phê duyệt", datetime.now(UTC), stamp=STAMP)
    signer.sign(source, target, key=key, order=order)


def _plain(key: Pkcs12Key, stamper: _Authority, letter: Path) -> Callable[[], None]:
    box: Any = (330.0, 120.0, 500.0, 190.0)
    metadata = PdfSignatureMetadata(
        field_name=FIELD, md_algorithm="sha256", reason="Phê duyệt", subfilter=SigSeedSubFilter.PADES
    )

    opened: Any = SimpleSigner.load_pkcs12  # pyHanko leaves it untyped

    def sign() -> None:
        signer = opened(key.path, passphrase=key.passphrase)
        spec = SigFieldSpec(FIELD, on_page=0, box=box)
        work: Any = PdfSigner(
            metadata, signer, timestamper=stamper, stamp_style=stamp_style(STAMP), new_field_spec=spec
        )
        with letter.open("rb") as source:
            work.sign_pdf(IncrementalPdfFileWriter(source), output=BytesIO())

    return sign


def _key(home: Path) -> Pkcs12Key:
    return DemoAuthority(home / "keys").issue("chutich", "Nguyễn Thị Phượng", "UBND huyện Bình Minh")


def _authority() -> _Authority:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    called = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench time stamps")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(called)
        .issuer_name(called)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + SIGNER_VALID)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return _Authority(asn1.Certificate.load(certificate.public_bytes(Encoding.DER)), keys.PrivateKeyInfo.load(secret))


def _letter(path: Path, megabytes: int) -> Path:
    """A page of an official letter; with ``megabytes`` it carries as much that does not compress, as scans do not."""
    canvas = Canvas(str(path), pageCompression=0)
    for line in range(40):
        canvas.drawString(72, 780 - 14 * line, "Official letter of the people's committee, with some lines of text.")
    canvas.save()
    if megabytes:
        with path.open("r+b") as file:
            writer: Any = IncrementalPdfFileWriter(file)
            scans = [writer.add_object(stream(os.urandom(MEGABYTE))) for _ in range(megabytes)]
            writer.root[name("/Scans")] = array(scans)
            writer.update_root()
            writer.write_in_place()
    return path


def _memory(home: Path) -> float:
    """The most that a process held that signed one large file, in megabytes."""
    _letter(home / "large.pdf", LARGE)
    done = subprocess.run(
        [sys.executable, "-m", "docflow.bench.signing", str(home)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def _sign_large(home: Path) -> None:
    _sign(PadesSigner(transport=_authority().transport), home / "large.pdf", home / "large-signed.pdf", _key(home))
    # not ru_maxrss: that one begins with what the process held that started this one
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None, "Linux tells it"
    sys.stdout.write(str(int(peak.group(1)) / 1024))


if __name__ == "__main__":
    _sign_large(Path(sys.argv[1]))
