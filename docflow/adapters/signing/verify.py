"""Signatures of PDFs, looked at one by one. Nothing here asks the network."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from pyhanko.keys import load_certs_from_pemder_data
from pyhanko.pdf_utils.crypt import AuthStatus
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import enumerate_sig_fields
from pyhanko.sign.validation import EmbeddedPdfSignature
from pyhanko_certvalidator import ValidationContext

from docflow.adapters.signing.pdf_library import CHUNK, ONE_AT_A_TIME, pdf_errors
from docflow.adapters.signing.verdict import FileFindings, judge, unreadable
from docflow.domain.errors import ConfigInvalid, SigningFailed
from docflow.services.ports import SignatureReport, Trust

PDF_WHITESPACE = b"\x00\t\n\x0c\r "  # mail gateways are known to append some
SIGN_ANEW = "Ask the sender to make the file anew and sign it again."
HYBRID = f"The file is a hybrid PDF, which programs may show differently. {SIGN_ANEW}"
NONSTANDARD = f"The file does not keep to the PDF standard, so that programs may show it differently. {SIGN_ANEW}"


class PdfVerifier:
    """Call it from a thread that runs no event loop; calls from several threads take turns."""

    def verify(self, source: Path, media_type: str, trust: Trust) -> list[SignatureReport]:
        """Raises SigningFailed when the file is no readable PDF or needs a password."""
        roots = _load_roots(trust.signing)
        with ONE_AT_A_TIME, source.open("rb") as stream:
            reader, doubt = _open_for_verification(stream)
            return asyncio.run(self._reports(reader, doubt, roots))

    async def _reports(self, reader: PdfFileReader, doubt: str, roots: list[object]) -> list[SignatureReport]:
        signatures, damaged = _collect(reader)
        with pdf_errors():
            findings = FileFindings(doubt, _has_loose_end(reader, signatures))
        reports = []
        for signature in signatures:
            context = ValidationContext(trust_roots=roots, allow_fetching=False)
            try:
                reports.append(await judge(signature, context, findings))
            except Exception:  # noqa: BLE001 hostile bytes fail in any way, and every one means the same
                reports.append(unreadable(signature.field_name))
        return reports + [unreadable(name) for name in damaged]


def _load_roots(texts: Sequence[str]) -> list[object]:
    try:
        return [certificate for text in texts for certificate in load_certs_from_pemder_data(text.encode())]
    except (OSError, ValueError) as error:
        raise ConfigInvalid(
            f"A trust root cannot be read: {error}. Put certificates in PEM into config/trust.",
            problems=[str(error)],
        ) from error


def _open_for_verification(stream: BinaryIO) -> tuple[PdfFileReader, str]:
    """The reader, and why no signature in this file can be trusted, if so.

    A file that only a lenient reading can open may show other contents in another program than the signed ones.
    """
    try:
        with pdf_errors():
            reader = PdfFileReader(stream)
            doubt = HYBRID if reader.xrefs.hybrid_xrefs_present else ""
    except SigningFailed:
        doubt = NONSTANDARD
    with pdf_errors():
        if doubt:
            reader = PdfFileReader(stream, strict=False)
        if reader.encrypted and reader.decrypt("").status == AuthStatus.FAILED:
            raise SigningFailed("The PDF needs a password to be read. Ask the sender for one without a password.")
    return reader, doubt


def _collect(reader: PdfFileReader) -> tuple[list[EmbeddedPdfSignature], list[str]]:
    """The signatures in the order they were made, and the names of fields whose signature cannot be read."""
    signatures: list[EmbeddedPdfSignature] = []
    damaged: list[str] = []
    with pdf_errors():
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
