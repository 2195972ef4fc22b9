"""Keys that a remote signing service keeps: the API of the Cloud Signature Consortium, version 1.0.4.

A signature is three calls: the credential is looked up, a signature is authorised (PIN, one-time code), the digest is
signed. No call is made a second time by itself.
"""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import httpx
from asn1crypto.algos import DigestAlgorithmId, SignedDigestAlgorithmId
from asn1crypto.x509 import Certificate
from pyhanko.sign.signers import Signer

from docflow.adapters.signing.pdf_library import ONE_AT_A_TIME
from docflow.adapters.signing.pins import RefusedPins, pin_locked, pin_missing, pin_wrong
from docflow.adapters.signing.pkcs12 import require_fit
from docflow.domain.errors import SigningFailed
from docflow.services.signing_ports import CscKey

SECONDS = 30.0
DIGEST = "sha256"
PLAIN = {"rsa": "rsassa_pkcs1v15", "ec": "ecdsa"}
"""What a service may call an algorithm whose digest is named beside it."""
REFUSED = RefusedPins()


@dataclass(frozen=True, slots=True)
class Credential:
    certificates: tuple[bytes, ...]
    algorithms: frozenset[str]
    mode: str
    pin: bool
    otp: str
    """``offline``: made by the signer's device; ``online``: sent by the service when asked; empty: none."""


class Service:
    """One credential of one service. Raises SigningFailed in words."""

    def __init__(self, key: CscKey, seconds: float) -> None:
        self._key = key
        self._seconds = seconds
        self.whose = f"The remote key '{key.credential}'"

    async def credential(self) -> Credential:
        told = await self._ask("credentials/info", {"certificates": "chain", "certInfo": False, "authInfo": True})
        try:
            return _credential(told)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._nonsense(error) from error

    async def sign(self, digest: bytes, algorithm: str, credential: Credential) -> bytes:
        hashed = b64encode(digest).decode()
        sad = await self._authorise(hashed, credential)
        wanted = {"SAD": sad, "hash": [hashed], "hashAlgo": DigestAlgorithmId(DIGEST).dotted, "signAlgo": algorithm}
        told = await self._ask("signatures/signHash", wanted)
        try:
            (signature,) = told["signatures"]
            return b64decode(signature, validate=True)
        except (KeyError, TypeError, ValueError) as error:
            raise self._nonsense(error) from error

    async def _authorise(self, hashed: str, credential: Credential) -> str:
        typed = self._key.pin or ""
        wanted = {"numSignatures": 1, "hash": [hashed]} | await self._secrets(typed, credential)
        if typed:
            REFUSED.check(self._where, self.whose, typed)
        told = await self._ask("credentials/authorize", wanted, spends=typed)
        if "SAD" not in told:
            raise self._nonsense(KeyError("SAD"))
        REFUSED.opened(self._where)
        return str(told["SAD"])

    async def _secrets(self, typed: str, credential: Credential) -> dict[str, str]:
        """What authorises: the typed text is the PIN, the one-time code, or both with a space between."""
        if credential.mode == "oauth2code":
            raise SigningFailed(
                f"{self.whose} is opened on the service's own page, which docflow cannot do for you. Choose a "
                "credential that opens with a PIN, or sign from your own machine."
            )
        pin, _, code = typed.rpartition(" ") if credential.pin else ("", "", typed)
        if credential.pin and not credential.otp:
            pin, code = typed, ""
        if (credential.pin and not pin) or (credential.otp and not code):
            raise await self._wanting(credential)
        return ({"PIN": pin} if credential.pin else {}) | ({"OTP": code} if credential.otp else {})

    async def _wanting(self, credential: Credential) -> SigningFailed:
        if not credential.otp:
            return pin_missing(self.whose)
        form = "PIN, a space and the one-time code" if credential.pin else "one-time code"
        sent = ""
        if credential.otp == "online":
            await self._ask("credentials/sendOTP", {})
            sent = " A code was sent to you just now."
        return SigningFailed(f"{self.whose} wants the {form} as 'pin'.{sent} Sign again with it.", code="pin_missing")

    @property
    def _where(self) -> str:
        return f"{self._key.url} {self._key.credential}"

    async def _ask(self, endpoint: str, wanted: Mapping[str, Any], spends: str = "") -> dict[str, Any]:
        """``spends`` is the PIN that goes along: refused, it is not sent again."""
        status, told = await self._post(endpoint, {"credentialID": self._key.credential, **wanted})
        if status == 200:
            return told
        if spends and 400 <= status < 500 and status not in (401, 408, 429):
            REFUSED.note(self._where, spends)
        raise self._refusal(status, told)

    async def _post(self, endpoint: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        url = f"{self._key.url.rstrip('/').removesuffix('/csc/v1')}/csc/v1/{endpoint}"
        token = self._key.access_token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with asyncio.timeout(self._seconds):
                client = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=self._seconds)
                async with client:
                    answer = await client.post(url, json=body, headers=headers)
        except TimeoutError as error:
            raise SigningFailed(
                f"The signing service did not answer within {self._seconds:g} seconds. Nothing was signed here; look "
                "at the service before you try again."
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise SigningFailed(f"The signing service cannot be reached ({error}). Try again later.") from error
        return answer.status_code, _object(answer)

    def _refusal(self, status: int, told: Mapping[str, Any]) -> SigningFailed:
        code = str(told.get("error", ""))
        said = str(told.get("error_description", "") or code or f"status {status}")[:300]
        if code in ("pin_locked", "otp_locked"):
            return pin_locked(self.whose, "Have it unlocked by the signing service. Nothing more is tried.")
        if code in ("invalid_pin", "invalid_otp"):
            what = "PIN" if code == "invalid_pin" else "one-time code"
            return pin_wrong(f"{self.whose}: the service refused the {what} ({said}). It is not tried again.")
        if status == 401:
            return SigningFailed("The signing service refused its access token. Have the administrator renew it.")
        return SigningFailed(f"{self.whose}: the service refused to sign ({said}). Look at the credential there.")

    def _nonsense(self, error: Exception) -> SigningFailed:
        return SigningFailed(
            f"The signing service answered something else than CSC API v1 ({type(error).__name__}: {error}). "
            "Check its address."
        )


class CscSigner(Signer):
    """Signs digests with a credential of a service."""

    def __init__(self, service: Service, credential: Credential) -> None:
        loaded = [Certificate.load(der) for der in credential.certificates]
        super().__init__(signing_cert=loaded[0])
        self._cert_registry.register_multiple(loaded)
        self._service = service
        self._credential = credential

    async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:
        if dry_run:
            return bytes(512)
        return await self._service.sign(sha256(data).digest(), self._algorithm(digest_algorithm), self._credential)

    def _algorithm(self, digest_algorithm: str) -> str:
        if digest_algorithm.lower() != DIGEST:
            raise SigningFailed(f"Remote keys sign {DIGEST} here, not {digest_algorithm}.")
        offered = self._credential.algorithms
        assert self.signing_cert is not None
        wanted = str(self.get_signature_mechanism_for_digest(DIGEST)["algorithm"].native)
        for name in (wanted, PLAIN.get(self.signing_cert.public_key.algorithm, "")):
            if name in offered:
                return str(SignedDigestAlgorithmId(name).dotted)
        raise SigningFailed(f"The remote key signs no {wanted}, only: {', '.join(sorted(offered)) or 'nothing'}.")


def open_csc(key: CscKey) -> CscSigner:
    """Needs a thread without a running loop. Raises SigningFailed."""
    service = Service(key, SECONDS)
    credential = asyncio.run(service.credential())
    with ONE_AT_A_TIME:
        try:
            signer = CscSigner(service, credential)
            require_fit(signer.signing_cert, datetime.now(UTC))
        except ValueError as error:
            raise SigningFailed(f"The signing service sent a certificate that cannot be read ({error}).") from error
    return signer


def _credential(told: Mapping[str, Any]) -> Credential:
    if told["key"].get("status", "enabled") != "enabled":
        raise SigningFailed("The remote key is disabled at the signing service. Have it enabled there.")
    certificates = tuple(b64decode(text) for text in told["cert"]["certificates"])
    if not certificates:
        raise SigningFailed("The signing service keeps no certificate with this key. Have one issued.")
    otp = told.get("OTP") or {}
    wants_otp = str(otp.get("presence", "")).lower() == "true"
    return Credential(
        certificates,
        frozenset(str(SignedDigestAlgorithmId(oid).native) for oid in told["key"]["algo"]),
        str(told.get("authMode", "implicit")),
        str((told.get("PIN") or {}).get("presence", "")).lower() == "true",
        str(otp.get("type", "offline")) if wants_otp else "",
    )


def _object(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; an empty one where it is none."""
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
