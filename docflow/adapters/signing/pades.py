"""PAdES baseline signatures (ETSI EN 319 142-1), B-B to B-LTA, with pyHanko.

The key is held only while the signed attributes are signed: time stamps and answers about revocation are waited for
after that, and with no lock.
"""

import asyncio
import hashlib
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from asn1crypto import x509
from pyhanko.sign.signers import Signer

from docflow.adapters.signing import prepared as preparing
from docflow.adapters.signing import renewing
from docflow.adapters.signing.asic import AsicMaker
from docflow.adapters.signing.blanks import fill_blanks
from docflow.adapters.signing.keys import open_key
from docflow.adapters.signing.opened_keys import OpenedKeys
from docflow.adapters.signing.pdf_library import CHUNK, ONE_AT_A_TIME, pdf_errors, settle_classes, whole_or_nothing
from docflow.adapters.signing.pkcs12 import KeyCache, require_fit
from docflow.adapters.signing.prepared import Certificates, Place, open_update, signer_name
from docflow.adapters.signing.proving import Prover
from docflow.adapters.signing.timestamps import HttpTransport, Stamper, Transport
from docflow.domain.errors import SigningFailed
from docflow.domain.signing_settings import Level
from docflow.services.signing_ports import Prepared, SignatureOrder, Signed, SignerKey, Trust


class PadesSigner:
    """Implements ``ports.Signer``. Call it from threads that run no event loop, as many as there are.

    ``tsa_url`` is the time-stamp authority's, or ``transport`` how it is asked; without either there are no stamps.
    ``trust`` gives whom we believe now; ``location`` is written into each signature.
    """

    def __init__(
        self,
        *,
        tsa_url: str = "",
        trust: Callable[[], Trust] | None = None,
        location: str = "",
        transport: Transport | None = None,
    ) -> None:
        self._transport = transport or (HttpTransport(tsa_url) if tsa_url else None)
        self._prover = Prover(trust)
        self._location = location
        self._keys = KeyCache()
        self._opened = OpenedKeys()
        settle_classes()

    def sign(self, source: Path, target: Path, *, key: SignerKey, order: SignatureOrder) -> Signed:
        stamper = self._stamper(order.level)
        with source.open("rb") as original, whole_or_nothing(target) as output:
            with open_key(key, self._keys) as signer:
                place, signature = asyncio.run(self._by_key(original, output, signer, order))
            return asyncio.run(self._conclude(output, place, signature, stamper))

    async def _by_key(
        self, original: BinaryIO, output: BinaryIO, signer: Signer, order: SignatureOrder
    ) -> tuple[Place, bytes]:
        place = await preparing.prepare(original, output, _certificates(signer), order, self._location)
        return place, await self._opened.sign(signer, place.attributes)

    async def _conclude(self, output: BinaryIO, place: Place, signature: bytes, stamper: Stamper | None) -> Signed:
        await place.fill(output, signature, stamper)
        level = place.level
        if stamper is not None:
            await self._prover.require_known(stamper.stamps[0])
            if level in (Level.B_LT, Level.B_LTA):
                level = await renewing.keep(output, place.certificates, level, stamper, self._prover)
        return _signed(place.certificates.own, level, place.signed_at, stamper)

    def enclose(self, source: Path, target: Path, *, name: str, key: SignerKey, order: SignatureOrder) -> Signed:
        """At B-T where the order wants more: containers hold no proof of revocation."""
        stamper = self._stamper(order.level)
        with whole_or_nothing(target) as output:
            with open_key(key, self._keys) as signer:
                own = _certificates(signer).own
                made = Path(output.name)
                AsicMaker().enclose(
                    source, made, name=name, signer=signer, signed_at=order.signed_at, timestamper=stamper
                )
            if stamper is not None:
                asyncio.run(self._prover.require_known(stamper.stamps[0]))
        return _signed(own, Level.B_T if stamper else Level.B_B, order.signed_at, stamper)

    def prepare(
        self, source: Path, target: Path, *, certificates: tuple[bytes, ...], order: SignatureOrder
    ) -> Prepared:
        self._stamper(order.level)  # what is missing is told before somebody signs
        held = _read(certificates)
        with source.open("rb") as original, whole_or_nothing(target) as output:
            place = asyncio.run(preparing.prepare(original, output, held, order, self._location))
        digest = hashlib.sha256(place.attributes).digest()
        return Prepared(place.attributes, digest, held.algorithm, place.facts())

    def finish(self, prepared: Path, target: Path, *, facts: Mapping[str, Any], signature: bytes) -> Signed:
        place = Place.of(facts)
        stamper = self._stamper(place.level)
        with prepared.open("rb") as original, whole_or_nothing(target) as output:
            shutil.copyfileobj(original, output, CHUNK)
            return asyncio.run(self._conclude(output, place, signature, stamper))

    def fill(self, source: Path, target: Path, filled: tuple[tuple[str, str], ...]) -> None:
        with source.open("rb") as original, whole_or_nothing(target) as output, pdf_errors():
            writer = open_update(original)
            fill_blanks(writer, filled)
            writer.write(output)

    def renew(self, source: Path, target: Path) -> Signed:
        stamper = self._stamper(Level.B_LTA)
        assert stamper is not None, "the level has one"
        with source.open("rb") as original, whole_or_nothing(target) as output:
            return asyncio.run(renewing.renew(original, output, stamper, self._prover))

    def _stamper(self, level: Level) -> Stamper | None:
        if not level.stamped:
            return None
        if self._transport is None:
            raise SigningFailed(
                f"Signatures of level {level} need a time-stamp authority, and none is set. Have the administrator set "
                "DOCFLOW_TSA_URL, or the level in config/signing.yaml to B-B.",
                code="tsa_missing",
            )
        return Stamper(self._transport)


def _certificates(signer: Signer) -> Certificates:
    """Read anew from their bytes: pyHanko builds parts of certificates into what it signs, and changes them there."""
    with ONE_AT_A_TIME:
        own = signer.signing_cert
        if own is None:
            raise SigningFailed("There is no certificate with the signing key. Have a complete key issued.")
        first = own.dump()
        others = [each for each in (one.dump() for one in signer.cert_registry) if each != first]
    return Certificates.of(first, *others)


def _read(certificates: tuple[bytes, ...]) -> Certificates:
    """Raises SigningFailed where they cannot be read, or the first of them is not fit for signing now."""
    try:
        held = Certificates.of(*certificates)
    except (ValueError, TypeError, LookupError) as error:
        raise SigningFailed(f"The certificate cannot be read ({error}). Send it in DER or PEM.") from error
    require_fit(held.own, datetime.now(UTC))
    return held


def _signed(certificate: x509.Certificate, level: Level, signed_at: datetime, stamper: Stamper | None) -> Signed:
    protecting = stamper.stamps[-1].certificate if stamper else certificate
    return Signed(
        signer=signer_name(certificate),
        level=level,
        certificate_sha256=certificate.sha256.hex(),
        signed_at=signed_at,
        protected_until=protecting.not_valid_after,
    )
