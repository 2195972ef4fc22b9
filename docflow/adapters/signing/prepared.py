"""A PDF with an empty place for a signature, and what is signed for it: the attributes of a CMS signature
(RFC 5652, 5.4) that name the file's SHA-256 and the signer's certificate (PAdES, ETSI EN 319 142-1, 6.3)."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Literal

from asn1crypto import cms, parser, x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import SigFieldSpec, SigSeedSubFilter, enumerate_sig_fields
from pyhanko.sign.general import SigningError
from pyhanko.sign.signers import ExternalSigner, PdfSignatureMetadata, PdfSigner
from pyhanko.sign.signers.pdf_byterange import PreparedByteRangeDigest
from pyhanko.sign.timestamps import TimeStamper
from pyhanko_certvalidator.registry import SimpleCertificateStore

from docflow.adapters.signing.blanks import add_blanks, draw, fill_blanks, lock_for, page_of
from docflow.adapters.signing.pdf_library import CHUNK, MAKE_ANEW, pdf_errors
from docflow.adapters.signing.pdf_objects import name
from docflow.adapters.signing.stamp_art import spot_of, stamp_style
from docflow.domain.errors import SigningFailed
from docflow.domain.signing_settings import Level
from docflow.services.signing_ports import SignatureOrder

DIGEST = "sha256"
TOKEN_ROOM = 12 * 1024  # bytes kept free for a time stamp with its certificates
CMS_ROOM = 3 * 1024  # and for what a signature holds beside certificates


REMEMBERED = 256
_SAME: dict[bytes, tuple[bytes, ...]] = {}
"""What the signed attributes of a certificate's signatures have in common, by the certificate's SHA-256."""


@dataclass(frozen=True, slots=True, repr=False)  # asyncio shows results of tasks to itself, and these are long
class Certificates:
    """The signer's own, and those above it that are sent along."""

    own: x509.Certificate
    above: tuple[x509.Certificate, ...] = ()

    @classmethod
    def of(cls, own: bytes, *above: bytes) -> "Certificates":
        """From DER. Raises ValueError where one is no certificate."""
        first, *others = (x509.Certificate.load(each, strict=True) for each in (own, *above))
        first.native  # noqa: B018 - parses it to its depths, which is where it fails
        return cls(first, tuple(others))

    @property
    def algorithm(self) -> Literal["rsa", "ecdsa"]:
        """Raises SigningFailed where its key is of neither kind."""
        found = self.own.public_key.algorithm
        if found == "rsa":
            return "rsa"
        if found == "ec":
            return "ecdsa"
        raise SigningFailed(f"Keys of the kind '{found}' cannot sign here. Use an RSA key or one on an elliptic curve.")

    def signer(self, signature: bytes | None = None) -> ExternalSigner:
        store = SimpleCertificateStore()  # type: ignore[no-untyped-call]  # pyHanko leaves its constructor untyped
        store.register_multiple(self.above)
        return ExternalSigner(self.own, store, signature_value=signature)

    async def attributes(self, digest: bytes) -> bytes:
        """What is signed for a file of this SHA-256: attributes of a CMS signature, in DER.

        All but the digest are the same for each signature of a certificate, and slow to make.
        """
        same = _SAME.get(self.own.sha256)
        if same is None:
            made = await self.signer().signed_attrs(bytes(32), DIGEST, use_pades=True)
            same = tuple(each.dump() for each in made if each["type"].native != "message_digest")
            if len(_SAME) >= REMEMBERED:
                _SAME.clear()
            _SAME[self.own.sha256] = same
        own = cms.CMSAttribute({"type": "message_digest", "values": [digest]}).dump()
        set_of = b"".join(sorted((own, *same)))  # in DER, a set's members stand in order
        emitted: bytes = parser.emit(0, 1, 17, set_of)
        return emitted

    def room(self, level: Level) -> int:
        """Hexadecimal digits that a signature takes at the most."""
        size = sum(len(each.dump()) for each in (self.own, *self.above)) + CMS_ROOM
        return 2 * (size + (TOKEN_ROOM if level.stamped else 0))


@dataclass(frozen=True, slots=True, repr=False)
class Place:
    """Where in a file its signature goes, and what it signs: the ``attributes`` of the CMS signature, in DER."""

    at: PreparedByteRangeDigest
    attributes: bytes
    certificates: Certificates
    level: Level
    signed_at: datetime

    def facts(self) -> Mapping[str, Any]:
        held = self.certificates
        return {
            "document_digest": _text(self.at.document_digest),
            "start": self.at.reserved_region_start,
            "end": self.at.reserved_region_end,
            "attributes": _text(self.attributes),
            "certificates": [_text(each.dump()) for each in (held.own, *held.above)],
            "level": self.level.value,
            "signed_at": self.signed_at.isoformat(),
        }

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Place":
        """Raises SigningFailed where these are no facts of a prepared signature."""
        try:
            return cls(
                PreparedByteRangeDigest(b64decode(facts["document_digest"]), facts["start"], facts["end"]),
                b64decode(facts["attributes"]),
                Certificates.of(*map(b64decode, facts["certificates"])),
                Level(facts["level"]),
                datetime.fromisoformat(facts["signed_at"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SigningFailed("What is known of the prepared signature is incomplete. Prepare it anew.") from error

    async def fill(self, output: BinaryIO, signature: bytes, stamper: TimeStamper | None) -> None:
        """Write the signature into its place. Raises SigningFailed where it is none by this certificate's key."""
        require_fitting(self.certificates, self.attributes, signature)
        signer = self.certificates.signer(signature)
        attributes = cms.CMSAttributes.load(self.attributes)
        made = await signer.async_sign_prescribed_attributes(DIGEST, attributes, timestamper=stamper)
        try:
            self.at.fill_with_cms(output, made)
        except SigningError as error:
            raise SigningFailed(
                "The time stamp is larger than the room kept for it. Have the administrator choose another authority "
                "(DOCFLOW_TSA_URL)."
            ) from error


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")


async def prepare(
    original: BinaryIO, output: BinaryIO, certificates: Certificates, order: SignatureOrder, location: str
) -> Place:
    """Write the file with everything the order asks for, but for the signature itself."""
    signer = certificates.signer()
    with pdf_errors():
        try:
            writer = _updated(original, order)
            at = _written(writer, output, certificates, signer, order, location)
        except SigningError as error:
            raise SigningFailed(
                f"The file does not accept this signature: {error}. Sign a version that allows further signatures."
            ) from error
    attributes = await certificates.attributes(at.document_digest)
    return Place(at, attributes, certificates, _level(order), order.signed_at)


def _level(order: SignatureOrder) -> Level:
    """An archival time stamp knows of no blanks, so none is made while some are open: the seal's comes over them."""
    return Level.B_LT if order.blanks and order.level is Level.B_LTA else order.level


def _updated(original: BinaryIO, order: SignatureOrder) -> Any:
    writer = open_update(original)
    _require_free(writer.prev, order.field)
    draw(writer, order.drawn)
    fill_blanks(writer, order.filled)
    add_blanks(writer, order.blanks)
    return writer


def open_update(original: BinaryIO) -> Any:
    """pyHanko's writer of an update, whose methods carry no types. Raises SigningFailed where the file cannot be
    written to."""
    writer = IncrementalPdfFileWriter(original)
    writer.IO_CHUNK_SIZE = CHUNK
    if writer.prev.encrypted:
        raise SigningFailed("The PDF is encrypted and cannot be signed. Upload it again without a password.")
    if writer.prev.xrefs.hybrid_xrefs_present:
        raise SigningFailed(
            "The PDF carries two tables of contents (a hybrid file), so that programs could show different contents "
            f"under one signature. {MAKE_ANEW}"
        )
    return writer


def _require_free(reader: PdfFileReader, field: str) -> None:
    if any(True for _ in enumerate_sig_fields(reader, filled_status=True, with_name=field)):
        raise SigningFailed(f"The signature field '{field}' is signed already. Sign under another field name.")


def _written(
    writer: Any,
    output: BinaryIO,
    certificates: Certificates,
    signer: ExternalSigner,
    order: SignatureOrder,
    location: str,
) -> PreparedByteRangeDigest:
    metadata = PdfSignatureMetadata(
        field_name=order.field,
        md_algorithm=DIGEST,
        location=location or None,
        reason=order.reason or None,
        name=signer_name(certificates.own),
        subfilter=SigSeedSubFilter.PADES,
    )
    turn, field = _field(writer, order)
    style = stamp_style(order.stamp, turn) if order.stamp else None
    session = PdfSigner(metadata, signer, stamp_style=style, new_field_spec=field).init_signing_session(writer)
    session.system_time = order.signed_at
    _lock(session.sig_field, field)
    document = session.prepare_tbs_document(None, certificates.room(order.level))
    at, _ = document.digest_tbs_document(output=output, chunk_size=CHUNK)
    return at


def _field(writer: Any, order: SignatureOrder) -> tuple[int, SigFieldSpec]:
    """The page's turn and the field to be made, if there is none of this name."""
    lock = lock_for(order)
    if order.stamp is None:
        return 0, SigFieldSpec(order.field, field_mdp_spec=lock)
    box = order.stamp.box
    spot = spot_of(page_of(writer, box).get_object(), box)
    rect: Any = spot.rect  # pyHanko takes fractions of points, its types do not
    return spot.turn, SigFieldSpec(order.field, on_page=box.page - 1, box=rect, field_mdp_spec=lock)


def _lock(field: Any, wanted: SigFieldSpec) -> None:
    """A field that the drafter prepared takes the lock of the order, unless it brings its own."""
    lock = wanted.format_lock_dictionary()
    if lock is not None and "/Lock" not in field:
        field[name("/Lock")] = lock


def signer_name(certificate: x509.Certificate) -> str:
    common = certificate.subject.native.get("common_name") or certificate.subject.native.get("organization_name")
    return str(common[0] if isinstance(common, list) else common or certificate.subject.human_friendly)


def require_fitting(certificates: Certificates, signed: bytes, signature: bytes) -> None:
    """Raises SigningFailed where the signature was not made over these bytes by the certificate's key."""
    public = load_der_public_key(certificates.own.public_key.dump())
    try:
        if isinstance(public, RSAPublicKey):
            public.verify(signature, signed, PKCS1v15(), SHA256())
        elif isinstance(public, EllipticCurvePublicKey):
            public.verify(signature, signed, ECDSA(SHA256()))
    except InvalidSignature as error:
        raise SigningFailed(
            "The signature does not fit: it was made with another key than the certificate's, or over something else. "
            "Sign the digest that was given, with the key of the certificate (RSA: PKCS#1 v1.5 with SHA-256; EC: ECDSA "
            "in DER).",
            code="signature_unfit",
        ) from error
