"""Whom the checking of signatures believes at a moment, and what is known of revoked certificates."""

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal

from asn1crypto import x509
from asn1crypto.crl import CertificateList
from asn1crypto.ocsp import OCSPResponse
from pyhanko.keys import load_certs_from_pemder_data
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.authority import CertTrustAnchor
from pyhanko_certvalidator.fetchers.common_utils import enumerate_delivery_point_urls, format_ocsp_request
from pyhanko_certvalidator.path import ValidationPath

from docflow.domain.errors import ConfigInvalid
from docflow.services.signing_ports import Trust
from docflow.services.trust import until_of

Purpose = Literal["signing", "timestamp"]
Mode = Literal["soft-fail", "hard-fail"]


@dataclass(frozen=True, slots=True)
class Anchor:
    """An authority we believe, for what was signed ``until`` the end of that day (UTC)."""

    certificate: x509.Certificate
    until: date | None

    def counts(self, moment: datetime) -> bool:
        return self.until is None or moment.astimezone(UTC).date() <= self.until


@dataclass(frozen=True, slots=True)
class Question:
    """What an authority is to be asked: a CRL is fetched, an OCSP ``request`` posted."""

    url: str
    request: bytes = b""

    def plain(self) -> dict[str, str]:
        return {"url": self.url, "request": base64.b64encode(self.request).decode()}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Certificates, and what authorities said of revoked ones; what cannot be read counts as not said."""

    certificates: tuple[x509.Certificate, ...] = ()
    crls: tuple[CertificateList, ...] = ()
    ocsps: tuple[OCSPResponse, ...] = ()

    @classmethod
    def read(
        cls, *, certificates: Iterable[bytes] = (), crls: Iterable[bytes] = (), ocsps: Iterable[bytes] = ()
    ) -> "Evidence":
        return cls(
            tuple(_readable(x509.Certificate.load, certificates)),
            tuple(_readable(CertificateList.load, crls)),
            tuple(_readable(OCSPResponse.load, ocsps)),
        )

    def __or__(self, other: "Evidence") -> "Evidence":
        return Evidence(self.certificates + other.certificates, self.crls + other.crls, self.ocsps + other.ocsps)


def _readable(load: Callable[[bytes], Any], many: Iterable[bytes]) -> Iterator[Any]:
    for one in many:
        try:
            read = load(one)
            read.native  # noqa: B018 - parses it to its depths, which is where it fails
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            continue
        yield read


@dataclass(frozen=True, slots=True)
class Believed:
    """The trust list as the PDF library takes it. ``mode`` ``hard-fail`` believes no certificate that names who tells
    of its revocation while nothing is known from there."""

    signing: tuple[Anchor, ...]
    timestamp: tuple[Anchor, ...]
    mode: Mode = "soft-fail"
    evidence: Evidence = field(default=Evidence())

    def with_evidence(self, more: Evidence) -> "Believed":
        return Believed(self.signing, self.timestamp, self.mode, self.evidence | more)

    def context(
        self, purpose: Purpose, moment: datetime, *, mode: Mode | None = None, ended: bool = False
    ) -> ValidationContext:
        """``ended`` believes also those whose time in the trust list was over: to tell why one is not trusted."""
        anchors = self.signing if purpose == "signing" else self.timestamp
        return ValidationContext(
            trust_roots=[a.certificate for a in anchors if ended or a.counts(moment)],
            other_certs=list(self.evidence.certificates),
            moment=moment,
            allow_fetching=False,
            crls=list(self.evidence.crls),
            ocsps=list(self.evidence.ocsps),
            revocation_mode=mode or self.mode,
            retroactive_revinfo=True,  # what is said later of a certificate names the day it was revoked
        )


def believed(trust: Trust, mode: Mode, evidence: Evidence) -> Believed:
    """Raises ConfigInvalid where a certificate of the trust list cannot be read."""
    return Believed(_anchors(trust.signing), _anchors(trust.timestamp), mode, evidence)


def _anchors(texts: Iterable[str]) -> tuple[Anchor, ...]:
    try:
        return tuple(
            Anchor(certificate, until_of(text))
            for text in texts
            for certificate in load_certs_from_pemder_data(text[max(text.find("-----BEGIN"), 0) :].encode())
        )
    except (OSError, ValueError, TypeError, binascii.Error) as error:
        raise ConfigInvalid(
            f"A trust root cannot be read: {error}. Put certificates in PEM into config/trust.",
            problems=[str(error)],
        ) from error


def questions(path: ValidationPath | None) -> list[Question]:
    """Whom to ask about the certificates below the anchor. Only of a path that leads to an anchor: anybody can make a
    certificate that names a machine of ours."""
    if path is None or not isinstance(path.trust_anchor, CertTrustAnchor):
        return []
    anchor = path.trust_anchor.certificate
    asked: list[Question] = []
    for certificate in path:
        if not isinstance(certificate, x509.Certificate) or certificate.sha256 == anchor.sha256:
            continue
        issuer = path.find_issuing_authority(certificate)
        for url in certificate.ocsp_urls:
            request = format_ocsp_request(certificate, issuer, certid_hash_algo="sha1", request_nonces=False)
            asked.append(Question(url, request.dump()))
        for point in certificate.crl_distribution_points:
            asked += [Question(url) for url in enumerate_delivery_point_urls(point)]
    return list(dict.fromkeys(asked))
