"""PAdES baseline signatures (ETSI EN 319 142-1, level B-B) with pyHanko. Nothing here asks the network."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO, cast

from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import SigFieldSpec, SigSeedSubFilter, enumerate_sig_fields
from pyhanko.sign.general import SigningError
from pyhanko.sign.signers import PdfSignatureMetadata, PdfSigner, SimpleSigner

from docflow.adapters.signing.pdf_library import CHUNK, MAKE_ANEW, ONE_AT_A_TIME, pdf_errors
from docflow.adapters.signing.pkcs12 import KeyCache
from docflow.domain.errors import SigningFailed
from docflow.services.ports import Pkcs12Key, SignatureOrder


class PadesSigner:
    """Call it from a thread that runs no event loop; calls from several threads take turns. ``location`` is written
    into each signature."""

    def __init__(self, *, location: str = "") -> None:
        self._location = location
        self._keys = KeyCache()

    def sign(self, source: Path, target: Path, *, key: Pkcs12Key, order: SignatureOrder) -> None:
        with ONE_AT_A_TIME:
            self._sign(source, target, key, order.reason, order.field)

    def _sign(self, source: Path, target: Path, key: Pkcs12Key, reason: str, field: str) -> None:
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
    with pdf_errors():
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
