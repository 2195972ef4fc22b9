"""What gets forged: a letter of two pages with a picture, a link and a form field, signed by a person, then sealed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from io import BytesIO
from pathlib import Path

from PIL import Image
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import SigFieldSpec
from pyhanko.sign.signers import PdfSignatureMetadata, PdfSigner, SimpleSigner
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from docflow.adapters.signing.authority import DemoAuthority
from docflow.adapters.signing.pades import PadesSigner
from docflow.domain.signing_settings import Level
from docflow.services.signing_ports import Pkcs12Key, SignatureOrder, Trust

BASES = ("signed", "sealed")


@dataclass(frozen=True)
class Office:
    """Two authorities below ``folder``: ours, which is believed, and the forger's."""

    folder: Path

    @cached_property
    def ours(self) -> DemoAuthority:
        return DemoAuthority(self.folder / "ours")

    @cached_property
    def forgers(self) -> DemoAuthority:
        return DemoAuthority(self.folder / "forgers")

    @cached_property
    def person(self) -> Pkcs12Key:
        return self.ours.issue("hung.nv", "Nguyễn Văn Hùng", "UBND huyện Bình Minh")

    @cached_property
    def agency(self) -> Pkcs12Key:
        return self.ours.issue("agency", "UBND huyện Bình Minh", "UBND huyện Bình Minh")

    @cached_property
    def forger(self) -> SimpleSigner:
        """Somebody who calls himself as the person does."""
        key = self.forgers.issue("hung.nv", "Nguyễn Văn Hùng", "UBND huyện Bình Minh")
        return SimpleSigner.load_pkcs12(key.path, passphrase=key.passphrase)

    @property
    def trust(self) -> Trust:
        root = self.ours.root_certificate.read_text("ascii")
        return Trust("ours", (root,), (root,))

    def signed(self, data: bytes, key: Pkcs12Key, field: str, level: Level = Level.B_B) -> bytes:
        source = self.folder / f"{field}.source.pdf"
        target = self.folder / f"{field}.pdf"
        source.write_bytes(data)
        order = SignatureOrder(field, level, "Ban hành", datetime.now(UTC))
        PadesSigner().sign(source, target, key=key, order=order)
        return target.read_bytes()

    @cached_property
    def bases(self) -> dict[str, "Base"]:
        person = self.signed(letter(), self.person, "person")
        return {
            "signed": Base(letter(), person, "person"),
            "sealed": Base(letter(), self.signed(person, self.agency, "seal"), "seal"),
        }


@dataclass(frozen=True)
class Base:
    """``data`` is signed; ``field`` names its last signature."""

    unsigned: bytes
    data: bytes
    field: str

    @property
    def hole(self) -> tuple[int, int]:
        """Where the last signature's value stands, with its angle brackets."""
        begin = self.data.rindex(b"/Contents <") + len(b"/Contents ")
        return begin, self.data.index(b">", begin) + 1


Forgery = Callable[[Base, Office], bytes]


def letter() -> bytes:
    out = BytesIO()
    canvas = Canvas(out, pageCompression=0, invariant=True)
    canvas.drawString(72, 720, "Pay 100 to the school.")
    canvas.drawImage(ImageReader(_picture()), 72, 640, 40, 40)
    canvas.linkURL("https://binhminh.example/", (72, 600, 200, 620))
    canvas.acroForm.textfield(name="amount", x=72, y=500, value="100")
    canvas.showPage()
    canvas.drawString(72, 720, "Second page.")
    canvas.save()
    # What is shown of fields is then what was signed, and not what each program makes of it.
    return out.getvalue().replace(b"/NeedAppearances true", b"/NeedAppearances null")


def _picture() -> BytesIO:
    out = BytesIO()
    Image.new("RGB", (8, 8), "red").save(out, "PNG")
    out.seek(0)
    return out


def updated(data: bytes, change: Callable[[IncrementalPdfFileWriter], object]) -> bytes:
    """With an incremental update, as any PDF tool makes it."""
    writer = IncrementalPdfFileWriter(BytesIO(data))
    change(writer)
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


def signed_by(signer: SimpleSigner, data: bytes, field: str, *, box: tuple[int, int, int, int] | None = None) -> bytes:
    writer = IncrementalPdfFileWriter(BytesIO(data))
    spec = SigFieldSpec(field, on_page=0, box=box)
    out = PdfSigner(PdfSignatureMetadata(field_name=field), signer, new_field_spec=spec).sign_pdf(writer)
    return bytes(out.getvalue())


def reader(data: bytes) -> PdfFileReader:
    return PdfFileReader(BytesIO(data))
