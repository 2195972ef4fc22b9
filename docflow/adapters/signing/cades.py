"""Signatures over whole files, beside or around them (CMS, CAdES: ETSI EN 319 122-1)."""

from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from asn1crypto import cms, parser
from pyhanko.sign.general import NonexistentAttributeError, extract_signer_info, find_unique_cms_attribute
from pyhanko.sign.validation.generic_cms import (
    async_validate_cms_signature,
    async_validate_detached_cms,
    collect_timing_info,
    extract_certs_for_validation,
    extract_self_reported_ts,
)
from pyhanko.sign.validation.status import StandardCMSSignatureStatus, TimestampSignatureStatus

from docflow.adapters.signing.judging import USAGES, Inquiry, trusted_stamp
from docflow.adapters.signing.verdict import Circumstances, cms_verdict, name_of, organisation_of, unreadable
from docflow.domain.errors import SigningFailed
from docflow.services.signing_ports import SignatureReport

MEDIA_TYPES = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
BESIDE = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature"})
_LARGEST = 64 << 20


async def detached_report(
    name: str, signature: bytes, content: BinaryIO, inquiry: Inquiry, *, doubt: str = ""
) -> SignatureReport:
    """The one signature in ``signature`` (CMS, DER), over the bytes of ``content``. ``doubt`` says what spoils it."""
    try:
        signed = _signed_data(signature)
        return await _report(name, signed, content, inquiry, doubt)
    except Exception:  # noqa: BLE001 - hostile bytes fail in any way, and every one means the same
        return unreadable(name)


async def enveloped_reports(source: Path, inquiry: Inquiry) -> list[SignatureReport]:
    """Of a CMS that holds what it signs (.p7m). Raises SigningFailed where it holds nothing or is none."""
    if source.stat().st_size > _LARGEST:
        raise SigningFailed(f"The signed message has more than {_LARGEST >> 20} MB. Ask the sender for a PDF.")
    try:
        signed = _signed_data(source.read_bytes())
    except (ValueError, TypeError, LookupError) as error:
        raise SigningFailed(f"This is no signed message ({error}). Ask the sender to send it again.") from error
    if signed["encap_content_info"]["content"].native is None:
        raise SigningFailed("The signature comes without what was signed. Ask the sender for both in one file.")
    try:
        return [await _report(source.name, signed, None, inquiry, "")]
    except Exception:  # noqa: BLE001 - as above
        return [unreadable(source.name)]


def _signed_data(data: bytes) -> cms.SignedData:
    """Raises ValueError where it is none, or bytes follow it that nobody signed."""
    if parser.peek(data) != len(data):
        raise ValueError("bytes follow the signature")
    info = cms.ContentInfo.load(data)
    if info["content_type"].native != "signed_data":
        raise ValueError("it holds no signature")
    return info["content"]


async def _report(
    name: str, signed: cms.SignedData, content: BinaryIO | None, inquiry: Inquiry, doubt: str
) -> SignatureReport:
    info, known = extract_signer_info(signed), extract_certs_for_validation(signed)
    stamps = inquiry.believed.context("timestamp", inquiry.now)
    timing = await collect_timing_info(info, stamps, lambda _: b"")
    stamp = timing.get("timestamp_validity")
    stamped_at = trusted_stamp(stamp, inquiry.now)
    moment = stamped_at or inquiry.now
    status = await _status(signed, content, inquiry, moment, stamp)
    if stamp is not None and stamped_at is not None:
        await inquiry.revocation(stamp, "timestamp", inquiry.now)
    found = Circumstances(
        moment=moment,
        proven=stamped_at is not None,
        level=_level(info, status),
        doubt=doubt,
        revocation=await inquiry.revocation(status, "signing", moment),
        distrust=await inquiry.distrust(status, list(known.other_certs), "signing", moment),
    )
    verdict, reason = cms_verdict(status, found)
    certificate, claimed = known.signer_cert, status.signer_reported_dt
    return SignatureReport(
        field=name,
        signer=name_of(certificate.subject),
        signed_at=claimed.isoformat() if claimed else None,
        level=found.level,
        intact=status.intact and status.valid,
        trusted=verdict == "trusted",
        covers_whole_file=not doubt,
        changes_after="disallowed" if doubt else "none",
        verdict=verdict,
        reason=reason,
        organisation=organisation_of(certificate.subject),
        issuer=name_of(certificate.issuer),
        certificate_sha256=sha256(certificate.dump()).hexdigest(),
        timestamped_at=moment.isoformat() if found.proven else None,
    )


async def _status(
    signed: cms.SignedData,
    content: BinaryIO | None,
    inquiry: Inquiry,
    moment: datetime,
    stamp: TimestampSignatureStatus | None,
) -> StandardCMSSignatureStatus:
    signing = inquiry.believed.context("signing", moment)
    if content is not None:
        stamps = inquiry.believed.context("timestamp", inquiry.now)
        return await async_validate_detached_cms(content, signed, signing, stamps, key_usage_settings=USAGES)
    claimed = extract_self_reported_ts(extract_signer_info(signed))
    return await async_validate_cms_signature(
        signed,
        status_cls=StandardCMSSignatureStatus,
        validation_context=signing,
        status_kwargs={"timestamp_validity": stamp, "signer_reported_dt": claimed},
        key_usage_settings=USAGES,
    )


def _level(info: cms.SignerInfo, status: StandardCMSSignatureStatus) -> str:
    stamp = status.timestamp_validity
    if not _names_certificate(info):
        return "CMS"
    if stamp is None or not (stamp.intact and stamp.valid):
        return "CAdES B-B"
    return "CAdES B-T"


def _names_certificate(info: cms.SignerInfo) -> bool:
    """Without it, another certificate of the same key could be put in (RFC 5035)."""
    try:
        find_unique_cms_attribute(info["signed_attrs"], "signing_certificate_v2")
    except NonexistentAttributeError:
        return False
    return True
