"""Levels that last: what proves the signatures is put into the file, and a time stamp over all of it
(ETSI EN 319 142-1, B-LT and B-LTA)."""

from collections.abc import Iterable
from typing import Any, BinaryIO

from asn1crypto import x509
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign.fields import enumerate_sig_fields
from pyhanko.sign.general import extract_certificate_info
from pyhanko.sign.signers.pdf_signer import PdfTimeStamper
from pyhanko.sign.validation import EmbeddedPdfSignature
from pyhanko.sign.validation.generic_cms import extract_tst_data_iter

from docflow.adapters.signing.pdf_library import CHUNK, pdf_errors
from docflow.adapters.signing.prepared import DIGEST, TOKEN_ROOM, Certificates, open_update, signer_name
from docflow.adapters.signing.proving import Proof, Prover
from docflow.adapters.signing.timestamps import Stamper, TimeStamp
from docflow.domain.errors import SigningFailed
from docflow.domain.signing_settings import Level
from docflow.services.signing_ports import Signed

ARCHIVE = "docflow_archive_"
"""How the names of archival time stamps begin."""


async def keep(output: BinaryIO, certificates: Certificates, level: Level, stamper: Stamper, prover: Prover) -> Level:
    """Raise a file that was just signed at B-T to ``level``; returns the level reached.

    A signature of which an authority did not say whether it was revoked stays at B-T, whatever else is in the file.
    """
    proof = Proof()
    await prover.prove(proof, certificates.own, certificates.above, stamping=False)
    for stamp in stamper.stamps:
        await prover.prove(proof, stamp.certificate, stamp.others, stamping=True)
    with pdf_errors():
        writer: Any = IncrementalPdfFileWriter(output)
        proof.put_into(writer)
        if level is Level.B_LTA:
            await archive(writer, output, stamper, in_place=True)
        else:
            writer.write_in_place()
    return level if proof.complete else Level.B_T


async def archive(writer: Any, output: BinaryIO, stamper: Stamper, *, in_place: bool = False) -> None:
    """Write the file with a time stamp over all of it."""
    taken = sum(name.startswith(ARCHIVE) for name, _, _ in enumerate_sig_fields(writer.prev))
    await PdfTimeStamper(stamper, field_name=f"{ARCHIVE}{taken + 1}").async_timestamp_pdf(
        writer,
        DIGEST,
        bytes_reserved=2 * TOKEN_ROOM,
        output=None if in_place else output,
        in_place=in_place,
        chunk_size=CHUNK,
    )


async def renew(original: BinaryIO, output: BinaryIO, stamper: Stamper, prover: Prover) -> Signed:
    """Write the file with the proof of all its signatures as it stands now, and an archival time stamp over it.

    Raises SigningFailed where a certificate that is needed for that has run out or was revoked: then it is too late.
    """
    with pdf_errors():
        writer = open_update(original)
        signatures = list(writer.prev.embedded_signatures)
        people = [each for each in signatures if each.sig_object_type != "/DocTimeStamp"]
        if not people:
            raise SigningFailed("The file bears no signature that could be renewed. Sign it first.")
        proof = await _proof(signatures, prover)
        proof.put_into(writer)
        await archive(writer, output, stamper)
    stamp = stamper.stamps[-1]
    await prover.require_known(stamp)
    return _signed(people[-1], stamp, Level.B_LTA if proof.complete else Level.B_T)


async def _proof(signatures: list[EmbeddedPdfSignature], prover: Prover) -> Proof:
    """What stands under a time stamp that is good today was made in time; all else has to be good today itself."""
    proof = Proof()
    covered = False
    for signature in reversed(signatures):
        archived = signature.sig_object_type == "/DocTimeStamp"
        stamped = False
        for token in [] if archived else extract_tst_data_iter(signature.signer_info, signed=False):
            held = extract_certificate_info(token)
            await _prove(proof, prover, held.signer_cert, held.other_certs, stamping=True, must=not covered)
            stamped = True
        must = not (covered or stamped)
        others = signature.other_embedded_certs
        await _prove(proof, prover, signature.signer_cert, others, stamping=archived, must=must)
        covered = covered or archived
    return proof


async def _prove(
    proof: Proof,
    prover: Prover,
    certificate: x509.Certificate,
    others: Iterable[x509.Certificate],
    *,
    stamping: bool,
    must: bool,
) -> None:
    kept = list(others)
    try:
        await prover.prove(proof, certificate, kept, stamping=stamping)
    except SigningFailed as error:
        if must:
            raise SigningFailed(f"The file cannot be renewed any more. {error.message}") from error
        proof.certificates += [certificate, *kept]


def _signed(signature: EmbeddedPdfSignature, stamp: TimeStamp, level: Level) -> Signed:
    certificate = signature.signer_cert
    return Signed(
        signer=signer_name(certificate),
        level=level,
        certificate_sha256=certificate.sha256.hex(),
        signed_at=stamp.at,
        protected_until=stamp.certificate.not_valid_after,
    )
