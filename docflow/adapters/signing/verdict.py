"""What a signature in a PDF is worth, in words a clerk can act on.

pyHanko's ``intact`` and ``valid`` only say that the signed bytes are whole; bytes added later could still show other
contents. So a signature counts only if its chain is known *and* nothing but signatures was added after it.
"""

from dataclasses import dataclass
from datetime import datetime

from pyhanko.sign.ades.report import AdESIndeterminate, AdESSubIndic
from pyhanko.sign.diff_analysis import (
    DEFAULT_DIFF_POLICY,
    FormUpdatingRule,
    ModificationLevel,
    SigFieldCreationRule,
    SigFieldModificationRule,
    StandardDiffPolicy,
)
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko.sign.validation import (
    DocumentTimestampStatus,
    EmbeddedPdfSignature,
    PdfSignatureStatus,
    SignatureCoverageLevel,
    async_validate_pdf_signature,
    async_validate_pdf_timestamp,
)
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko_certvalidator import ValidationContext

from docflow.adapters.signing.pkcs12 import SIGNING_USAGES
from docflow.services.ports import SignatureReport

Status = PdfSignatureStatus | DocumentTimestampStatus

# pyHanko's own policy also lets text fields be filled in later, which would change what a signed letter says.
SIGNATURES_ONLY = StandardDiffPolicy(
    DEFAULT_DIFF_POLICY.global_rules,
    FormUpdatingRule(
        [
            SigFieldCreationRule(),  # type: ignore[no-untyped-call]  # pyHanko leaves its constructor untyped
            SigFieldModificationRule(),
        ]
    ),
)


@dataclass(frozen=True, slots=True)
class FileFindings:
    """What holds for all signatures of a file.

    ``doubt`` says why none can be trusted, or is empty. ``loose_end``: bytes that no revision accounts for follow the
    end; pyHanko skips them, while a program that repairs files could show them.
    """

    doubt: str
    loose_end: bool


_TRUST_PROBLEMS: dict[AdESSubIndic, str] = {
    AdESIndeterminate.NO_CERTIFICATE_CHAIN_FOUND: "The certificate comes from an authority that is not known here.",
    AdESIndeterminate.OUT_OF_BOUNDS_NO_POE: "The certificate has expired or is not valid yet.",
    AdESIndeterminate.OUT_OF_BOUNDS_NOT_REVOKED: "The certificate has expired or is not valid yet.",
    AdESIndeterminate.EXPIRED: "The certificate has expired.",
    AdESIndeterminate.NOT_YET_VALID: "The certificate is not valid yet.",
    AdESIndeterminate.REVOKED_NO_POE: "The certificate has been revoked.",
    AdESIndeterminate.REVOKED_CA_NO_POE: "The certificate of the issuing authority has been revoked.",
    AdESIndeterminate.CHAIN_CONSTRAINTS_FAILURE: "The certificate was not issued for signing documents.",
    AdESIndeterminate.CRYPTO_CONSTRAINTS_FAILURE: "The signature uses a method that is no longer safe.",
    AdESIndeterminate.CRYPTO_CONSTRAINTS_FAILURE_NO_POE: "The signature uses a method that is no longer safe.",
}
_ASK_SENDER = "Ask the sender to confirm it another way or to send it again."


async def judge(signature: EmbeddedPdfSignature, context: ValidationContext, file: FileFindings) -> SignatureReport:
    """The report on one signature; any failure of pyHanko on hostile bytes may come out."""
    status: Status
    if signature.sig_object_type == "/DocTimeStamp":
        status = await async_validate_pdf_timestamp(signature, context, diff_policy=SIGNATURES_ONLY)
    else:
        usages = KeyUsageConstraints(key_usage=SIGNING_USAGES)
        status = await async_validate_pdf_signature(
            signature, context, diff_policy=SIGNATURES_ONLY, key_usage_settings=usages
        )
    return _report(signature, status, *_verdict(status, file))


def unreadable(field: str) -> SignatureReport:
    """The report on a signature whose own data cannot be read."""
    reason = f"The signature's data is damaged or of a kind that cannot be read. {_ASK_SENDER}"
    return SignatureReport(field, "", None, "", False, False, False, "unknown", "broken", reason)


def _verdict(status: Status, file: FileFindings) -> tuple[str, str]:
    if not (status.intact and status.valid):
        return "broken", f"The signed contents or the signature were altered or damaged. {_ASK_SENDER}"
    if change := _disallowed_change(status, file):
        return "changed", f"{change} {_ASK_SENDER}"
    if file.doubt:
        return "untrusted", file.doubt
    if not status.trusted:
        return "untrusted", f"{_trust_problem(status)} The signed contents are unchanged. {_ASK_SENDER}"
    if isinstance(status, PdfSignatureStatus) and not status.bottom_line:
        return "untrusted", f"A time stamp or a condition set for the signature does not hold. {_ASK_SENDER}"
    return "trusted", (
        "The file is unchanged since it was signed, and the certificate comes from a known authority. "
        "Whether the certificate was revoked was not asked of the authority."
    )


def _disallowed_change(status: Status, file: FileFindings) -> str:
    if status.coverage is None or status.coverage < SignatureCoverageLevel.ENTIRE_REVISION:
        return "The signature leaves out parts of the file it stands in."
    if file.loose_end:
        return "Something was appended behind the end of the signed file."
    allowed_by_author = not isinstance(status, PdfSignatureStatus) or status.docmdp_ok
    if not allowed_by_author or status.modification_level in (None, ModificationLevel.OTHER):
        return "The file was changed after it was signed."
    return ""


def _trust_problem(status: Status) -> str:
    problem = status.trust_problem_indic
    if problem is None:
        return "The certificate comes from an authority that is not known here."
    return _TRUST_PROBLEMS.get(problem, "The certificate could not be checked.")


def _report(signature: EmbeddedPdfSignature, status: Status, verdict: str, reason: str) -> SignatureReport:
    signed_at = _signed_at(status)
    return SignatureReport(
        field=str(signature.field_name),
        signer=str(_signer_name(signature)),
        signed_at=signed_at.isoformat() if signed_at else None,
        level=_level(signature, status),
        intact=status.intact and status.valid,
        trusted=verdict == "trusted",
        covers_whole_file=status.coverage == SignatureCoverageLevel.ENTIRE_FILE,
        changes_after=_changes_after(status, verdict),
        verdict=verdict,
        reason=reason,
    )


def _signed_at(status: Status) -> datetime | None:
    if isinstance(status, DocumentTimestampStatus):
        return status.timestamp
    stamp = status.timestamp_validity
    return stamp.timestamp if stamp is not None and stamp.trusted else status.signer_reported_dt


def _signer_name(signature: EmbeddedPdfSignature) -> str:
    subject = signature.signer_cert.subject
    name = subject.native.get("common_name")
    return name if isinstance(name, str) else str(subject.human_friendly)


def _level(signature: EmbeddedPdfSignature, status: Status) -> str:
    if isinstance(status, DocumentTimestampStatus):
        return "document time stamp"
    if signature.sig_object.get("/SubFilter") != SigSeedSubFilter.PADES.value:
        return "PKCS#7"
    return "PAdES B-B" if status.timestamp_validity is None else "PAdES B-T"


def _changes_after(status: Status, verdict: str) -> str:
    """``none``, ``maintenance`` (validation data only), ``signatures``, or ``disallowed``."""
    if verdict == "changed":
        return "disallowed"
    if status.modification_level == ModificationLevel.NONE:
        return "none"
    return "maintenance" if status.modification_level == ModificationLevel.LTA_UPDATES else "signatures"
