"""What a signature in a PDF is worth, in words a clerk can act on.

pyHanko's ``intact`` and ``valid`` only say that the signed bytes are whole; bytes added later could still show other
contents. So a signature counts only if its chain is known *and* nothing but what ``tampering`` allows came after it.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from asn1crypto import x509
from pyhanko.sign.ades.report import AdESIndeterminate, AdESSubIndic
from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko.sign.validation import (
    DocumentTimestampStatus,
    EmbeddedPdfSignature,
    PdfSignatureStatus,
    SignatureCoverageLevel,
)
from pyhanko.sign.validation.status import SignatureStatus, StandardCMSSignatureStatus

from docflow.adapters.signing.changes import described
from docflow.adapters.signing.layout import LEAVES_OUT
from docflow.adapters.signing.tampering import BLANK
from docflow.services.signing_ports import SignatureReport

Status = PdfSignatureStatus | DocumentTimestampStatus

ASK_SENDER = "Ask the sender to confirm it another way or to send it again."
UNKNOWN_AUTHORITY = "The certificate comes from an authority that is not known here."
UNCHANGED = "The signed contents are unchanged."
BROKEN = f"The signed contents or the signature were altered or damaged. {ASK_SENDER}"

_EXPIRED = "The certificate has expired or is not valid yet, and no trusted time stamp proves an earlier signature."
_NOT_SAFE = "The signature uses a method that is no longer safe."
_TRUST_PROBLEMS: dict[AdESSubIndic, str] = {
    AdESIndeterminate.NO_CERTIFICATE_CHAIN_FOUND: UNKNOWN_AUTHORITY,
    AdESIndeterminate.OUT_OF_BOUNDS_NO_POE: _EXPIRED,
    AdESIndeterminate.OUT_OF_BOUNDS_NOT_REVOKED: _EXPIRED,
    AdESIndeterminate.EXPIRED: "The certificate has expired.",
    AdESIndeterminate.NOT_YET_VALID: "The certificate is not valid yet.",
    AdESIndeterminate.REVOKED_NO_POE: "The certificate has been revoked.",
    AdESIndeterminate.REVOKED_CA_NO_POE: "The certificate of the issuing authority has been revoked.",
    AdESIndeterminate.CHAIN_CONSTRAINTS_FAILURE: "The certificate was not issued for signing documents.",
    AdESIndeterminate.CRYPTO_CONSTRAINTS_FAILURE: _NOT_SAFE,
    AdESIndeterminate.CRYPTO_CONSTRAINTS_FAILURE_NO_POE: _NOT_SAFE,
    AdESIndeterminate.REVOCATION_OUT_OF_BOUNDS_NO_POE: "What is known of its revocation is too old to count.",
    AdESIndeterminate.TRY_LATER: "Its authority does not say whether it was revoked. Try again later.",
    AdESIndeterminate.CERTIFICATE_CHAIN_GENERAL_FAILURE: "Nobody says whether the certificate was revoked.",
}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What was found out around a signature. ``doubt`` says why none of the file can be trusted, ``misplaced`` what is
    wrong with its own bytes, ``loose_end`` that the file does not end where it says. ``moment`` is what its certificate
    was judged at, ``proven`` where a time stamp proves it; ``revocation`` says what is known of that; ``distrust``
    replaces the words for an authority that is not believed."""

    moment: datetime
    proven: bool
    level: str
    doubt: str = ""
    misplaced: str = ""
    loose_end: bool = False
    revocation: str = ""
    distrust: str = ""


def unreadable(field: str) -> SignatureReport:
    """The report on a signature whose own data cannot be read."""
    reason = f"The signature's data is damaged or of a kind that cannot be read. {ASK_SENDER}"
    return SignatureReport(field, "", None, "", False, False, False, "unknown", "broken", reason)


def removed(field: str) -> SignatureReport:
    reason = f"A signature that the file bore here was taken out or replaced later. {ASK_SENDER}"
    return SignatureReport(field, "", None, "", False, False, False, "disallowed", "changed", reason)


def report(signature: EmbeddedPdfSignature, status: Status, found: Circumstances) -> SignatureReport:
    verdict, reason = _verdict(signature, status, found)
    certificate = signature.signer_cert
    claimed = status.timestamp if isinstance(status, DocumentTimestampStatus) else status.signer_reported_dt
    return SignatureReport(
        field=str(signature.field_name),
        signer=name_of(certificate.subject),
        signed_at=claimed.isoformat() if claimed else None,
        level=found.level,
        intact=status.intact and status.valid,
        trusted=verdict == "trusted",
        covers_whole_file=status.coverage == SignatureCoverageLevel.ENTIRE_FILE,
        changes_after=_changes_after(status, verdict),
        verdict=verdict,
        reason=reason,
        organisation=organisation_of(certificate.subject),
        issuer=name_of(certificate.issuer),
        certificate_sha256=sha256(certificate.dump()).hexdigest(),
        timestamped_at=found.moment.isoformat() if found.proven else None,
    )


def _verdict(signature: EmbeddedPdfSignature, status: Status, found: Circumstances) -> tuple[str, str]:
    if not (status.intact and status.valid):
        return "broken", BROKEN
    if change := _disallowed_change(signature, status, found):
        return "changed", f"{change} {ASK_SENDER}"
    if found.doubt:
        return "untrusted", found.doubt
    if not status.trusted:
        return "untrusted", f"{found.distrust or trust_problem(status)} {UNCHANGED} {ASK_SENDER}"
    if isinstance(status, PdfSignatureStatus) and not status.bottom_line:
        return "untrusted", f"{_other_problem(status)} {UNCHANGED} {ASK_SENDER}"
    whose = "authority for time stamps" if isinstance(status, DocumentTimestampStatus) else "authority"
    return "trusted", _joined(_kept(status), f"The certificate comes from a known {whose}.", found.revocation)


def _kept(status: Status) -> str:
    added = _changes_after(status, "trusted")
    if added == "blanks":
        return "The file is unchanged since it was signed, but for number and date, which were left open for it."
    if added == "signatures":
        return "The file is unchanged since it was signed, but for signatures added later."
    return "The file is unchanged since it was signed."


def _disallowed_change(signature: EmbeddedPdfSignature, status: Status, found: Circumstances) -> str:
    if status.coverage is None or status.coverage < SignatureCoverageLevel.ENTIRE_REVISION:
        return LEAVES_OUT
    if found.misplaced:
        return found.misplaced
    if found.loose_end:
        return "Something was appended behind the end of the signed file."
    allowed_by_author = not isinstance(status, PdfSignatureStatus) or status.docmdp_ok
    if not allowed_by_author or status.modification_level in (None, ModificationLevel.OTHER):
        what = described(signature.reader, signature.signed_revision)
        return f"The file was changed after it was signed{f': {what}' if what else ''}."
    return ""


def after_all(reports: list[SignatureReport]) -> list[SignatureReport]:
    """What spoils a later signature came after the earlier ones too; the reports stand in the order of signing."""
    spoilt = ""
    told: list[SignatureReport] = []
    for one in reversed(reports):
        if spoilt and one.verdict in ("trusted", "untrusted"):
            reason = f"The file was changed after it was signed: '{spoilt}' does not hold. {ASK_SENDER}"
            one = replace(one, verdict="changed", trusted=False, changes_after="disallowed", reason=reason)
        if one.verdict in ("changed", "broken"):
            spoilt = one.field
        told.append(one)
    return told[::-1]


def trust_problem(status: SignatureStatus) -> str:
    problem = status.trust_problem_indic
    details = status.revocation_details
    if details is not None:
        whose = "The certificate of the issuing authority" if details.ca_revoked else "The certificate"
        return f"{whose} was revoked on {details.revocation_date:%Y-%m-%d}, and nothing proves an earlier signature."
    if problem is None:
        return UNKNOWN_AUTHORITY
    return _TRUST_PROBLEMS.get(problem, "The certificate could not be checked.")


def _other_problem(status: StandardCMSSignatureStatus) -> str:
    stamp = status.timestamp_validity
    if stamp is not None and not (stamp.intact and stamp.valid):
        return "The time stamp was made for another signature, or is damaged."
    if stamp is not None and not stamp.trusted:
        return "The time stamp comes from an authority that is not known here."
    return "A condition set for the signature does not hold."


def cms_verdict(status: StandardCMSSignatureStatus, found: Circumstances) -> tuple[str, str]:
    """Of a signature over a whole file that stands beside or around it (CAdES)."""
    if not (status.intact and status.valid):
        return "broken", BROKEN
    if found.doubt:
        return "changed", f"{found.doubt} {ASK_SENDER}"
    if not status.trusted:
        return "untrusted", f"{found.distrust or trust_problem(status)} {UNCHANGED} {ASK_SENDER}"
    if not status.bottom_line:
        return "untrusted", f"{_other_problem(status)} {UNCHANGED} {ASK_SENDER}"
    known = "The certificate comes from a known authority."
    return "trusted", _joined("What was signed is unchanged.", known, found.revocation)


def _joined(*sentences: str) -> str:
    return " ".join(one for one in sentences if one)


def name_of(name: x509.Name) -> str:
    common = name.native.get("common_name") or name.native.get("organization_name")
    if isinstance(common, list):
        common = common[0]
    return str(common) if common else str(name.human_friendly)


def organisation_of(name: x509.Name) -> str:
    """Plain text: names read from a file hold on to its parser."""
    found = name.native.get("organization_name") or ""
    return ", ".join(str(one) for one in found) if isinstance(found, list) else str(found)


def pdf_level(signature: EmbeddedPdfSignature, *, stamped: bool, proven_by_file: bool, archived: bool) -> str:
    """As the file bears it out: ``stamped`` by a time stamp of its own or over the file, ``proven_by_file`` where the
    file holds its certificates and what was said of their revocation, ``archived`` by a time stamp over those."""
    if signature.sig_object_type == "/DocTimeStamp":
        return "document time stamp"
    if signature.sig_object.get("/SubFilter") != SigSeedSubFilter.PADES.value:
        return "PKCS#7"
    if not stamped:
        return "PAdES B-B"
    if not proven_by_file:
        return "PAdES B-T"
    return "PAdES B-LTA" if archived else "PAdES B-LT"


def _changes_after(status: Status, verdict: str) -> str:
    """``none``, ``maintenance`` (validation data only), ``signatures``, ``blanks``, or ``disallowed``."""
    if verdict == "changed":
        return "disallowed"
    if status.modification_level == ModificationLevel.NONE:
        return "none"
    if status.modification_level == ModificationLevel.LTA_UPDATES:
        return "maintenance"
    fields: frozenset[str] = getattr(status.diff_result, "changed_form_fields", frozenset())
    return "blanks" if any(str(name).startswith(BLANK) for name in fields) else "signatures"
