"""Signatures of files, looked at one by one. Nothing here asks the network."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from pyhanko.pdf_utils.crypt import AuthStatus
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import enumerate_sig_fields
from pyhanko.sign.validation import EmbeddedPdfSignature

from docflow.adapters.signing import asic, cades
from docflow.adapters.signing.judging import Inquiry, PdfJudge
from docflow.adapters.signing.layout import doubled, loose_end, repaired, taken_out
from docflow.adapters.signing.pdf_library import ONE_AT_A_TIME, pdf_errors
from docflow.adapters.signing.trusting import Evidence, Question, believed
from docflow.adapters.signing.verdict import after_all, removed, unreadable
from docflow.domain.errors import SigningFailed
from docflow.services.signing_ports import SignatureReport, Trust

PDF = "application/pdf"
SIGN_ANEW = "Ask the sender to make the file anew and sign it again."
HYBRID = f"The file is a hybrid PDF, which programs may show differently. {SIGN_ANEW}"
NONSTANDARD = f"The file does not keep to the PDF standard, so that programs may show it differently. {SIGN_ANEW}"
DOUBLED = f"The file holds a signature that no signature field shows, or shows one of them twice. {SIGN_ANEW}"


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, and whom to ask to know more of revoked certificates."""

    reports: list[SignatureReport]
    questions: list[Question]


class PdfVerifier:
    """In this process: for bytes that were just made here. Call it from a thread that runs no event loop; calls from
    several threads take turns."""

    def verify(self, source: Path, media_type: str, trust: Trust) -> list[SignatureReport]:
        """Raises SigningFailed when the file is not readable or needs a password."""
        with ONE_AT_A_TIME:
            return look(source, media_type, trust).reports


def look(
    source: Path, media_type: str, trust: Trust, *, evidence: Evidence | None = None, now: datetime | None = None
) -> Found:
    """``now`` is when it is judged, the present moment unless told. ``evidence`` is what the authorities answered;
    without it nobody was asked yet, and then the missing answer is held against no certificate. Raises SigningFailed,
    ConfigInvalid."""
    hard = trust.revocation == "hard" and evidence is not None
    known = believed(trust, "hard-fail" if hard else "soft-fail", evidence or Evidence())
    inquiry = Inquiry(known, now or datetime.now(UTC), asks=trust.revocation != "off")
    reports = asyncio.run(_reports(source, media_type, inquiry))
    unasked = inquiry.asks and evidence is None
    return Found(reports, list(dict.fromkeys(inquiry.questions)) if unasked else [])


async def _reports(source: Path, media_type: str, inquiry: Inquiry) -> list[SignatureReport]:
    if media_type == asic.MEDIA_TYPE:
        return await asic.reports(source, inquiry)
    if media_type in cades.MEDIA_TYPES:
        return await cades.enveloped_reports(source, inquiry)
    with source.open("rb") as stream:
        return await _pdf_reports(stream, inquiry)


async def _pdf_reports(stream: BinaryIO, inquiry: Inquiry) -> list[SignatureReport]:
    reader, doubt = _open_for_verification(stream)
    signatures, damaged = _collect(reader)
    with pdf_errors():
        gone = [removed(one.field) for one in taken_out(reader)]
        hidden = doubled(reader, signatures)
        if not (signatures or damaged or gone):
            return [removed("")] if hidden else []
        doubt = doubt or (NONSTANDARD if repaired(reader) else DOUBLED if hidden else "")
        judge = PdfJudge(reader, inquiry, doubt, loose_end(reader))
    found = await judge.reports(signatures)
    return after_all([*found, *(unreadable(name) for name in damaged), *gone])


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
                damaged.append(str(name))
    return sorted(signatures, key=lambda signature: signature.signed_revision), damaged
