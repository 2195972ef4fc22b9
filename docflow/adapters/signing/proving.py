"""What proves a signature later: the certificates above it, and what their authorities say of revoked ones
(ETSI EN 319 142-1, B-LT).

B-LT and B-LTA are made of these answers, so the authorities are asked for them whatever ``revocation`` says of
checking; ``hard`` lets nothing pass of which nobody answers. A certificate that names nobody to ask needs no answer.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from asn1crypto import crl, ocsp, x509
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign.validation.dss import DocumentSecurityStore
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from pyhanko_certvalidator.errors import PathBuildingError, PathValidationError, RevokedError
from pyhanko_certvalidator.fetchers.requests_fetchers import RequestsFetcherBackend
from pyhanko_certvalidator.path import ValidationPath
from pyhanko_certvalidator.validate import async_validate_path

from docflow.adapters.signing.timestamps import TimeStamp
from docflow.adapters.signing.trusting import Anchor, Believed, Evidence, believed
from docflow.domain.errors import SigningFailed
from docflow.services.signing_ports import Trust

ASKING_SECONDS = 10  # of one question to an authority
REMEMBERED = 64  # authorities of time stamps that are remembered


@dataclass
class Proof:
    """``complete``: every certificate that names whom to ask was told of. ``certificates`` are those of signatures
    that an earlier time stamp proves, of which nothing more is to be asked."""

    paths: list[ValidationPath] = field(default_factory=list)
    ocsps: list[ocsp.OCSPResponse] = field(default_factory=list)
    crls: list[crl.CertificateList] = field(default_factory=list)
    certificates: list[x509.Certificate] = field(default_factory=list)
    complete: bool = True

    def add(self, path: ValidationPath, context: ValidationContext) -> None:
        self.paths.append(path)
        self.ocsps += context.ocsps
        self.crls += context.crls
        self.complete = self.complete and all(self._told(each) for each in _below_anchor(path))

    def _told(self, certificate: x509.Certificate) -> bool:
        if not (certificate.ocsp_urls or certificate.crl_distribution_points):
            return True
        if any(listed.issuer == certificate.issuer for listed in self.crls):
            return True
        return any(_answers(response, certificate) for response in self.ocsps)

    def put_into(self, writer: IncrementalPdfFileWriter) -> None:
        DocumentSecurityStore.supply_dss_in_writer(
            writer, None, paths=self.paths, certs=self.certificates, ocsps=self.ocsps, crls=self.crls
        )


class Prover:
    """``trust`` gives whom we believe now; without it nothing can be proven, and time stamps are taken as they come."""

    def __init__(self, trust: Callable[[], Trust] | None) -> None:
        self._trust = trust
        self._known: set[tuple[str, bytes]] = set()
        self._lock = Lock()

    async def require_known(self, stamp: TimeStamp) -> None:
        """Raises SigningFailed where nobody we believe stands above the time-stamp authority."""
        if self._trust is None:
            return
        trust = self._trust()
        known = (trust.key, stamp.certificate.sha256)
        if known in self._known:
            return
        await self._path(stamp.certificate, stamp.others, _believed(trust).timestamp, stamping=True)
        with self._lock:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known.add(known)

    async def prove(
        self, proof: Proof, certificate: x509.Certificate, others: Iterable[x509.Certificate], *, stamping: bool
    ) -> None:
        """Ask about a certificate and those above it. Raises SigningFailed where it leads to nobody we believe, was
        revoked, or, with ``hard``, where nobody answers."""
        if self._trust is None:
            raise SigningFailed("Signatures of this level need a trust list. Enter authorities into config/trust.yaml.")
        trust = self._trust()
        anchors = _believed(trust).timestamp if stamping else _believed(trust).signing
        path = await self._path(certificate, others, anchors, stamping=stamping)
        context = ValidationContext(
            trust_roots=_roots(anchors),
            allow_fetching=True,
            revocation_mode="hard-fail" if trust.revocation == "hard" else "soft-fail",
            fetcher_backend=RequestsFetcherBackend(per_request_timeout=ASKING_SECONDS),
        )
        try:
            await async_validate_path(context, path)
        except RevokedError as error:
            raise SigningFailed(f"{_name(certificate)}: {error}. Have a new certificate issued.") from error
        except PathValidationError as error:
            raise SigningFailed(
                f"Nobody answers whether the certificate of {_name(certificate)} was revoked ({error}). Try again "
                "later, or sign at level B-T."
            ) from error
        proof.add(path, context)

    async def _path(
        self,
        certificate: x509.Certificate,
        others: Iterable[x509.Certificate],
        anchors: tuple[Anchor, ...],
        *,
        stamping: bool,
    ) -> ValidationPath:
        """Found without the network: anybody can make a certificate that names a machine of ours."""
        context = ValidationContext(trust_roots=_roots(anchors), other_certs=list(others), allow_fetching=False)
        validator: Any = CertificateValidator(certificate, validation_context=context)
        try:
            path: ValidationPath = await validator.async_validate_usage(set(), {"time_stamping"} if stamping else None)
            return path
        except (PathBuildingError, PathValidationError) as error:
            whose = "The time-stamp authority" if stamping else "The signer's certificate"
            raise SigningFailed(
                f"{whose} ({_name(certificate)}) is not trusted here: {error}. Have the administrator enter its "
                "authority into config/trust.yaml."
            ) from error


def _believed(trust: Trust) -> Believed:
    return believed(trust, "soft-fail", Evidence())


def _roots(anchors: tuple[Anchor, ...]) -> list[x509.Certificate]:
    now = datetime.now(UTC)
    return [anchor.certificate for anchor in anchors if anchor.counts(now)]


def _below_anchor(path: ValidationPath) -> list[x509.Certificate]:
    return [each for each in list(path)[1:] if isinstance(each, x509.Certificate)]


def _answers(response: ocsp.OCSPResponse, certificate: x509.Certificate) -> bool:
    answers = response.basic_ocsp_response["tbs_response_data"]["responses"]
    return any(one["cert_id"]["serial_number"].native == certificate.serial_number for one in answers)


def _name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.human_friendly)
