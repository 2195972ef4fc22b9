"""PAdES baseline signatures (ETSI EN 319 142-1, level B-B) with pyHanko. Nothing here asks the network."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Lock
from typing import BinaryIO, cast

from pyhanko.keys import load_certs_from_pemder_data
from pyhanko.pdf_utils.crypt import AuthStatus
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import SigFieldSpec, SigSeedSubFilter, enumerate_sig_fields
from pyhanko.sign.general import SigningError
from pyhanko.sign.signers import PdfSignatureMetadata, PdfSigner, SimpleSigner
from pyhanko.sign.validation import EmbeddedPdfSignature
from pyhanko_certvalidator import ValidationContext

from docflow.adapters.signing.pkcs12 import KeyCache
from docflow.adapters.signing.verdict import FileFindings, judge, unreadable
from docflow.domain.errors import ConfigInvalid, DocflowError, SigningFailed
from docflow.services.ports import SignatureReport, SignerKey

PDF_WHITESPACE = b"\x00\t\n\x0c\r "  # mail gateways are known to append some
CHUNK = 1 << 20  # bytes read at a time
MAKE_ANEW = "Make the PDF anew (for instance with 'Print to PDF') and upload it as a new version."
SIGN_ANEW = "Ask the sender to make the file anew and sign it again."
HYBRID = f"The file is a hybrid PDF, which programs may show differently. {SIGN_ANEW}"
NONSTANDARD = f"The file does not keep to the PDF standard, so that programs may show it differently. {SIGN_ANEW}"


_ONE_AT_A_TIME = Lock()
"""asn1crypto, below pyHanko, fills in classes and parsed certificates at their first use, and two threads that do so
at once leave a field out. Signing and verifying keep the interpreter busy anyway, so taking turns costs little."""


class PadesSigner:
    """Signs with PKCS#12 keys and verifies against ``trust_roots``, PEM or DER files of authorities.

    Call it from a thread that runs no event loop; calls from several threads take turns. ``location`` is written
    into each signature. Raises ConfigInvalid when a trust root cannot be read.
    """

    def __init__(self, trust_roots: Sequence[Path], *, location: str = "") -> None:
        self._trust_roots = _load_roots(trust_roots)
        self._location = location
        self._keys = KeyCache()

    def sign(self, source: Path, target: Path, *, key: SignerKey, reason: str, field: str) -> None:
        with _ONE_AT_A_TIME:
            self._sign(source, target, key, reason, field)

    def _sign(self, source: Path, target: Path, key: SignerKey, reason: str, field: str) -> None:
        signer = self._keys.get(key)
        metadata = PdfSignatureMetadata(
            field_name=field,
            md_algorithm="sha256",
            location=self._location or None,
            reason=reason or None,
            name=signer.subject_name,
            subfilter=SigSeedSubFilter.PADES,
        )
        with source.open("rb") as original, _whole_or_nothing(target) as output:
            _sign(original, output, metadata, signer)

    def verify(self, source: Path) -> list[SignatureReport]:
        """Raises SigningFailed when the file is no readable PDF or needs a password."""
        with _ONE_AT_A_TIME, source.open("rb") as stream:
            reader, doubt = _open_for_verification(stream)
            return asyncio.run(self._reports(reader, doubt))

    async def _reports(self, reader: PdfFileReader, doubt: str) -> list[SignatureReport]:
        signatures, damaged = _collect(reader)
        with _pdf_errors():
            findings = FileFindings(doubt, _has_loose_end(reader, signatures))
        reports = []
        for signature in signatures:
            context = ValidationContext(trust_roots=self._trust_roots, allow_fetching=False)
            try:
                reports.append(await judge(signature, context, findings))
            except Exception:  # noqa: BLE001 hostile bytes fail in any way, and every one means the same
                reports.append(unreadable(signature.field_name))
        return reports + [unreadable(name) for name in damaged]


def _load_roots(files: Sequence[Path]) -> list[object]:
    try:
        return [certificate for file in files for certificate in load_certs_from_pemder_data(file.read_bytes())]
    except (OSError, ValueError) as error:
        raise ConfigInvalid(
            f"A trust root cannot be read: {error}. Name PEM or DER files that hold certificates.",
            problems=[str(error)],
        ) from error


@contextmanager
def _whole_or_nothing(target: Path) -> Iterator[BinaryIO]:
    """A file beside ``target`` that takes its place only when the block ends well; ``target`` may be the source."""
    with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as draft:
        try:
            yield cast(BinaryIO, draft)
            draft.flush()
            os.replace(draft.name, target)
        except BaseException:
            os.unlink(draft.name)
            raise


def _sign(original: BinaryIO, output: BinaryIO, metadata: PdfSignatureMetadata, signer: SimpleSigner) -> None:
    field = metadata.field_name or ""
    with _pdf_errors():
        writer = IncrementalPdfFileWriter(original)
        _require_signable(writer.prev, field)
        pdf_signer = PdfSigner(metadata, signer, new_field_spec=SigFieldSpec(field))
        try:
            pdf_signer.sign_pdf(writer, output=output, chunk_size=CHUNK)
        except SigningError as error:
            raise SigningFailed(
                f"The file does not accept this signature: {error}. Sign a version that allows further signatures."
            ) from error


def _require_signable(reader: PdfFileReader, field: str) -> None:
    if reader.encrypted:
        raise SigningFailed("The PDF is encrypted and cannot be signed. Upload it again without a password.")
    if reader.xrefs.hybrid_xrefs_present:
        raise SigningFailed(
            "The PDF carries two tables of contents (a hybrid file), so that programs could show different contents "
            f"under one signature. {MAKE_ANEW}"
        )
    if any(True for _ in enumerate_sig_fields(reader, filled_status=True, with_name=field)):
        raise SigningFailed(f"The signature field '{field}' is signed already. Sign under another field name.")


def _open_for_verification(stream: BinaryIO) -> tuple[PdfFileReader, str]:
    """The reader, and why no signature in this file can be trusted, if so.

    A file that only a lenient reading can open may show other contents in another program than the signed ones.
    """
    try:
        with _pdf_errors():
            reader = PdfFileReader(stream)
            doubt = HYBRID if reader.xrefs.hybrid_xrefs_present else ""
    except SigningFailed:
        doubt = NONSTANDARD
    with _pdf_errors():
        if doubt:
            reader = PdfFileReader(stream, strict=False)
        if reader.encrypted and reader.decrypt("").status == AuthStatus.FAILED:
            raise SigningFailed("The PDF needs a password to be read. Ask the sender for one without a password.")
    return reader, doubt


def _collect(reader: PdfFileReader) -> tuple[list[EmbeddedPdfSignature], list[str]]:
    """The signatures in the order they were made, and the names of fields whose signature cannot be read."""
    signatures: list[EmbeddedPdfSignature] = []
    damaged: list[str] = []
    with _pdf_errors():
        for name, _, field in enumerate_sig_fields(reader, filled_status=True):
            try:
                signatures.append(EmbeddedPdfSignature(reader, field, name))
            except Exception:  # noqa: BLE001 hostile bytes fail in any way, and every one means the same
                damaged.append(name)
    return sorted(signatures, key=lambda signature: signature.signed_revision), damaged


def _has_loose_end(reader: PdfFileReader, signatures: list[EmbeddedPdfSignature]) -> bool:
    last_revision = reader.xrefs.total_revisions - 1
    ends = [
        sum(list(signature.byte_range)[-2:]) for signature in signatures if signature.signed_revision == last_revision
    ]
    if not ends:
        return False
    reader.stream.seek(min(ends))
    return any(piece.strip(PDF_WHITESPACE) for piece in iter(lambda: reader.stream.read(CHUNK), b""))


@contextmanager
def _pdf_errors() -> Iterator[None]:
    """What the PDF library fails with on broken bytes becomes SigningFailed; a failing disk stays what it is."""
    try:
        yield
    except (DocflowError, OSError):
        raise
    except (PdfError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise SigningFailed(f"The PDF is damaged and cannot be read ({error}). {MAKE_ANEW}") from error
