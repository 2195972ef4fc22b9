"""Time stamps of an authority over HTTP (RFC 3161): asked for with patience, and looked at before they are believed."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import new as hashed
from typing import Any
from urllib.parse import urlsplit

import httpx
from asn1crypto import cms, core, tsp, x509
from pyhanko.sign.general import extract_certificate_info, extract_signer_info
from pyhanko.sign.timestamps import TimeStamper
from pyhanko.sign.validation.errors import SignatureValidationError
from pyhanko.sign.validation.generic_cms import validate_sig_integrity

from docflow.domain.errors import SigningFailed

QUERY, REPLY = "application/timestamp-query", "application/timestamp-reply"
LARGEST = 256 * 1024  # bytes of an answer
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
UNAVAILABLE, REFUSED, BAD = "tsa_unavailable", "tsa_refused", "tsa_bad_reply"
_TRY_LATER = "Nothing was signed. Try again later, or have the administrator look at DOCFLOW_TSA_URL."

Transport = Callable[[bytes], Awaitable[bytes]]
"""Takes a query in DER and gives the reply in DER."""


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """What an authority said: when, and who it is; ``others`` are the certificates that came with it."""

    at: datetime
    certificate: x509.Certificate
    others: tuple[x509.Certificate, ...]


class HttpTransport:
    """``seconds`` limits each try, however slowly the other side drips; ``pause`` is what the first wait lasts, and
    each one after it is twice as long. Only what may pass is tried again. The environment's proxies are not used."""

    def __init__(
        self, url: str, *, seconds: float = 10.0, tries: int = 3, pause: float = 0.5, tls: ssl.SSLContext | None = None
    ) -> None:
        self._url = url
        self._host = urlsplit(url).hostname or "?"
        self._seconds, self._tries, self._pause = seconds, tries, pause
        self._tls = tls or ssl.create_default_context()

    async def __call__(self, query: bytes) -> bytes:
        for number in range(1, self._tries + 1):
            try:
                return await self._ask(query)
            except _MayPass as trouble:
                if number == self._tries:
                    raise SigningFailed(
                        f"The time-stamp authority {self._host} does not answer ({trouble}); {number} tries were made. "
                        f"{_TRY_LATER}",
                        code=UNAVAILABLE,
                    ) from trouble
            await asyncio.sleep(self._pause * 2 ** (number - 1))
        raise AssertionError("a transport makes one try at least")

    async def _ask(self, query: bytes) -> bytes:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._post(query)
        except TimeoutError as error:
            raise _MayPass(f"no answer within {self._seconds:g} seconds") from error
        except (httpx.TransportError, OSError) as error:
            raise _MayPass(str(error) or type(error).__name__) from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise SigningFailed(
                f"The time-stamp authority cannot be asked: {type(error).__name__}. Check DOCFLOW_TSA_URL.",
                code=UNAVAILABLE,
            ) from error

    async def _post(self, query: bytes) -> bytes:
        headers = {"Content-Type": QUERY, "Accept": REPLY}
        client = httpx.AsyncClient(verify=self._tls, trust_env=False, follow_redirects=False, timeout=self._seconds)
        async with client, client.stream("POST", self._url, content=query, headers=headers) as answer:
            self._require_reply(answer)
            body = b""
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > LARGEST:
                    raise _bad(f"{self._host} sent more than {LARGEST} bytes")
            return body

    def _require_reply(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if status in PASSING:
            raise _MayPass(f"HTTP {status}")
        if status in (401, 403, 407):
            raise SigningFailed(
                f"The time-stamp authority {self._host} does not let us in (HTTP {status}). Have the administrator put "
                "user and password into DOCFLOW_TSA_URL (https://user:password@host/...).",
                code=REFUSED,
            )
        if status != 200:
            raise _bad(f"{self._host} answered HTTP {status}")
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != REPLY:
            raise _bad(f"{self._host} answered with '{kind}' instead of {REPLY}")


class _MayPass(Exception):
    """Trouble that another try may not meet."""


class Stamper(TimeStamper):
    """Asks for the time stamps of one signature and keeps what was said; not to be shared by threads."""

    def __init__(self, transport: Transport) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # pyHanko leaves its constructor untyped
        self._transport = transport
        self.stamps: list[TimeStamp] = []

    async def async_timestamp(self, message_digest: bytes, md_algorithm: str) -> cms.ContentInfo:
        """Raises SigningFailed where no time stamp came, or none for this digest."""
        nonce, query = self.request_cms(message_digest, md_algorithm)
        reply = await self._transport(query.dump())
        try:
            token, stamp = _read(reply, message_digest, md_algorithm, nonce)
        except (SignatureValidationError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise _bad("its reply cannot be read") from error
        self.stamps.append(stamp)
        return token

    def request_cms(self, message_digest: bytes, md_algorithm: str) -> tuple[int, tsp.TimeStampReq]:
        asked: Callable[..., Any] = super().request_cms
        nonce, query = asked(message_digest, md_algorithm)
        return nonce, query


def _read(reply: bytes, digest: bytes, algorithm: str, nonce: int) -> tuple[cms.ContentInfo, TimeStamp]:
    # in two steps, as a refusal holds no token and the library has none without
    _require_granted(tsp.PKIStatusInfo.load(core.Sequence.load(reply, strict=True)[0].dump()))
    token = tsp.TimeStampResp.load(reply)["time_stamp_token"]
    signed = token["content"]
    enclosed = signed["encap_content_info"]["content"]
    info = enclosed.parsed
    imprint = info["message_imprint"]
    if imprint["hashed_message"].native != digest or imprint["hash_algorithm"]["algorithm"].native != algorithm:
        raise _bad("it stamped something else")
    if info["nonce"].native != nonce:
        raise _bad("its reply belongs to another question")
    certificates = extract_certificate_info(signed)
    _require_for_time_stamps(certificates.signer_cert)
    _require_intact(signed, bytes(enclosed), certificates.signer_cert)
    return token, TimeStamp(info["gen_time"].native, certificates.signer_cert, tuple(certificates.other_certs))


def _require_granted(status: tsp.PKIStatusInfo) -> None:
    if status["status"].native in ("granted", "granted_with_mods"):
        return
    said = [*(status["status_string"].native or ()), *sorted(status["fail_info"].native or ())]
    raise SigningFailed(
        f"The time-stamp authority refused: {'; '.join(said) or status['status'].native}. Nothing was signed. Have the "
        "administrator look at DOCFLOW_TSA_URL.",
        code=REFUSED,
    )


def _require_for_time_stamps(certificate: x509.Certificate) -> None:
    """RFC 3161, 2.3: made for time stamps and for nothing else."""
    use = certificate.extended_key_usage_value
    if use is None or use.native != ["time_stamping"]:
        raise _bad("its certificate was not issued for time stamps")
    if not certificate.not_valid_before <= datetime.now(UTC) <= certificate.not_valid_after:
        raise _bad(f"its certificate is valid from {certificate.not_valid_before} to {certificate.not_valid_after}")


def _require_intact(signed: cms.SignedData, enclosed: bytes, certificate: x509.Certificate) -> None:
    signer = extract_signer_info(signed)
    digest = hashed(signer["digest_algorithm"]["algorithm"].native, enclosed).digest()
    intact, valid = validate_sig_integrity(signer, certificate, "tst_info", digest)
    if not (intact and valid):
        raise _bad("the signature on it does not hold")


def _bad(what: str) -> SigningFailed:
    return SigningFailed(f"The time stamp cannot be used: {what}. {_TRY_LATER}", code=BAD)
