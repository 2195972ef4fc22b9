"""The signatures of one PDF, from the newest to the oldest: each trusted time stamp over the file sets the moment at
which what lies below it is judged, so that a certificate may have expired since (ETSI EN 319 102-1 §5.6)."""

from dataclasses import dataclass, field
from datetime import datetime

from asn1crypto import x509
from pyhanko.pdf_utils.generic import ArrayObject, PdfObject, StreamObject
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import (
    EmbeddedPdfSignature,
    async_validate_pdf_signature,
    async_validate_pdf_timestamp,
)
from pyhanko.sign.validation.generic_cms import collect_timing_info
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko.sign.validation.status import SignatureStatus, StandardCMSSignatureStatus, TimestampSignatureStatus
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.authority import CertTrustAnchor
from pyhanko_certvalidator.errors import PathBuildingError, PathValidationError
from pyhanko_certvalidator.path import ValidationPath
from pyhanko_certvalidator.validate import async_validate_path

from docflow.adapters.signing.layout import misplaced
from docflow.adapters.signing.pkcs12 import SIGNING_USAGES
from docflow.adapters.signing.tampering import entry, policy_for
from docflow.adapters.signing.trusting import Believed, Evidence, Purpose, Question, questions
from docflow.adapters.signing.verdict import Circumstances, pdf_level, report, unreadable
from docflow.services.signing_ports import SignatureReport

USAGES = KeyUsageConstraints(key_usage=SIGNING_USAGES)


@dataclass(slots=True)
class Inquiry:
    """What is believed, and what the authorities still have to be asked. ``asks``: somebody will."""

    believed: Believed
    now: datetime
    asks: bool
    questions: list[Question] = field(default_factory=list)

    async def revocation(self, status: SignatureStatus, purpose: Purpose, moment: datetime) -> str:
        """In words; who could say more is noted down. Nothing of a certificate that is not trusted anyway."""
        path = status.validation_path
        if not status.trusted or path is None:
            return ""
        who = questions(path)
        if not who:
            return "The certificate names nobody who tells of revoked ones."
        if await self._known(path, purpose, moment):
            return "It was not revoked."
        self.questions += who
        if self.asks:
            return "Its authority did not say whether it was revoked."
        return "Whether it was revoked was not asked of the authority."

    async def _known(self, path: ValidationPath, purpose: Purpose, moment: datetime) -> bool:
        try:
            await async_validate_path(self.believed.context(purpose, moment, mode="hard-fail"), path)
        except PathValidationError:
            return False
        return True

    async def distrust(
        self, status: SignatureStatus, others: list[x509.Certificate], purpose: Purpose, moment: datetime
    ) -> str:
        """Words for an authority whose time in the trust list is over; empty where that is not the trouble."""
        if status.trusted:
            return ""
        context = self.believed.context(purpose, moment, mode="soft-fail", ended=True)
        context.certificate_registry.register_multiple(others)
        for anchor in await _anchors_of(context, status.signing_cert):
            for known in (*self.believed.signing, *self.believed.timestamp):
                if known.certificate.sha256 == anchor.sha256 and known.until is not None and not known.counts(moment):
                    return f"Its authority is trusted only for what is proven to be signed until {known.until}."
        return ""


async def _anchors_of(context: ValidationContext, certificate: x509.Certificate) -> list[x509.Certificate]:
    try:
        paths = await context.path_builder.async_build_paths(certificate)
    except PathBuildingError:
        return []
    found = []
    for path in paths:
        try:
            await async_validate_path(context, path)
        except PathValidationError:
            continue
        if isinstance(path.trust_anchor, CertTrustAnchor):
            found.append(path.trust_anchor.certificate)
    return found


def trusted_stamp(stamp: TimestampSignatureStatus | None, control: datetime) -> datetime | None:
    """When a signature is proven to have been there, where its own time stamp says so."""
    if stamp is None or not (stamp.intact and stamp.valid and stamp.trusted) or stamp.timestamp > control:
        return None
    return stamp.timestamp


class PdfJudge:
    """``doubt`` and ``loose_end`` hold for the whole file."""

    def __init__(self, reader: PdfFileReader, inquiry: Inquiry, doubt: str, loose_end: bool) -> None:
        self._store = _store_of(reader)
        inquiry.believed = inquiry.believed.with_evidence(self._store)
        self._reader = reader
        self._inquiry = inquiry
        self._doubt = doubt
        self._loose_end = loose_end
        self._control = inquiry.now
        self._proven = False
        self._archived = False

    async def reports(self, signatures: list[EmbeddedPdfSignature]) -> list[SignatureReport]:
        """``signatures`` in the order they were made."""
        told = []
        for signature in reversed(signatures):
            try:
                told.append(await self._report(signature))
            except Exception:  # noqa: BLE001 - hostile bytes fail in any way, and every one means the same
                told.append(unreadable(str(signature.field_name)))
        return told[::-1]

    async def _report(self, signature: EmbeddedPdfSignature) -> SignatureReport:
        if signature.sig_object_type == "/DocTimeStamp":
            return await self._time_stamp(signature)
        return await self._signature(signature)

    async def _time_stamp(self, signature: EmbeddedPdfSignature) -> SignatureReport:
        context = self._inquiry.believed.context("timestamp", self._control)
        policy = policy_for(signature.fieldmdp)
        status = await async_validate_pdf_timestamp(signature, context, diff_policy=policy)
        told = report(
            signature,
            status,
            Circumstances(
                moment=status.timestamp,
                proven=status.trusted,
                level=self._level(signature, None),
                doubt=self._doubt,
                misplaced=misplaced(signature),
                loose_end=self._loose_end,
                revocation=await self._inquiry.revocation(status, "timestamp", self._control),
                distrust=await self._distrust(signature, status, "timestamp", self._control),
            ),
        )
        if told.trusted and status.timestamp <= self._control:
            self._control, self._proven = status.timestamp, True
            revision = self._reader.get_historical_resolver(signature.signed_revision)
            self._archived = self._archived or "/DSS" in revision.root
        return told

    async def _signature(self, signature: EmbeddedPdfSignature) -> SignatureReport:
        believed, control = self._inquiry.believed, self._control
        stamp = await self._stamp(signature)
        stamped_at = trusted_stamp(stamp, control)
        moment = stamped_at or control
        status = await async_validate_pdf_signature(
            signature,
            believed.context("signing", moment),
            believed.context("timestamp", control),
            diff_policy=policy_for(signature.fieldmdp),
            key_usage_settings=USAGES,
        )
        if stamp is not None and stamped_at is not None:
            await self._inquiry.revocation(stamp, "timestamp", control)
        return report(
            signature,
            status,
            Circumstances(
                moment=moment,
                proven=self._proven or stamped_at is not None,
                level=self._level(signature, status),
                doubt=self._doubt,
                misplaced=misplaced(signature),
                loose_end=self._loose_end,
                revocation=await self._inquiry.revocation(status, "signing", moment),
                distrust=await self._distrust(signature, status, "signing", moment),
            ),
        )

    async def _stamp(self, signature: EmbeddedPdfSignature) -> TimestampSignatureStatus | None:
        context = self._inquiry.believed.context("timestamp", self._control)
        timing = await collect_timing_info(signature.signer_info, context, signature.compute_digest)
        found: TimestampSignatureStatus | None = timing.get("timestamp_validity")
        return found

    async def _distrust(
        self, signature: EmbeddedPdfSignature, status: SignatureStatus, purpose: Purpose, moment: datetime
    ) -> str:
        return await self._inquiry.distrust(status, signature.other_embedded_certs, purpose, moment)

    def _level(self, signature: EmbeddedPdfSignature, status: StandardCMSSignatureStatus | None) -> str:
        stamp = status.timestamp_validity if status is not None else None
        store = self._store
        stamped = self._proven or (stamp is not None and stamp.intact and stamp.valid)
        kept = bool(store.crls or store.ocsps) or signature.signer_cert.sha256 in {c.sha256 for c in store.certificates}
        return pdf_level(signature, stamped=stamped, proven_by_file=kept, archived=self._archived)


def _store_of(reader: PdfFileReader) -> Evidence:
    """What the file itself keeps to prove its signatures (the document security store)."""
    try:
        store = entry(reader.root, "/DSS")
        kept = {key: [_data(one) for one in _listed(store, key)] for key in ("/Certs", "/CRLs", "/OCSPs")}
    except (PdfError, LookupError, TypeError, AttributeError, ValueError):
        return Evidence()
    return Evidence.read(certificates=kept["/Certs"], crls=kept["/CRLs"], ocsps=kept["/OCSPs"])


def _listed(store: PdfObject | None, key: str) -> ArrayObject | tuple[()]:
    found = entry(store, key)
    return found if isinstance(found, ArrayObject) else ()


def _data(one: object) -> bytes:
    stream = one.get_object() if hasattr(one, "get_object") else one
    return stream.data if isinstance(stream, StreamObject) else b""
