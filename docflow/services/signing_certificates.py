"""Certificates of keys that lie elsewhere: read as they are sent, and matched with whoever signs."""

import binascii
from base64 import b64decode

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from docflow.domain.errors import SigningFailed
from docflow.domain.searching import folded
from docflow.domain.signing_settings import AGENCY

NAMES = (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME)


def read_certificates(text: str) -> tuple[bytes, ...]:
    """DER of each in a PEM text, or of the one in base64 DER. Raises ValueError."""
    if "-----BEGIN" in text:
        return tuple(_der(each) for each in x509.load_pem_x509_certificates(text.encode()))
    try:
        der = b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise ValueError("is neither PEM nor base64") from error
    return (_der(x509.load_der_x509_certificate(der)),)


def _der(certificate: x509.Certificate) -> bytes:
    """Raises ValueError where the subject, which is read late, cannot be."""
    assert certificate.subject is not None
    return certificate.public_bytes(Encoding.DER)


def require_own(certificate: bytes, username: str, name: str) -> None:
    """Whoever signs does so in their own name: the certificate's user id is their username, or its name holds theirs
    (accents aside; of the agency, also as an organisation).

    Raises SigningFailed (``details['code']`` certificate_of_another) where it names somebody else.
    """
    subject = x509.load_der_x509_certificate(certificate).subject
    if username in (_text(a) for a in subject.get_attributes_for_oid(NameOID.USER_ID)):
        return
    kinds = NAMES if username == AGENCY else NAMES[:1]
    named = [_text(attribute) for kind in kinds for attribute in subject.get_attributes_for_oid(kind)]
    if any(_words(name) in _words(each) for each in named):
        return
    told = f"The certificate is of '{', '.join(named) or 'nobody'}', and {name} signs here."
    remedy = "Have your name mended under /users, if it is not as your certificate has it, or sign with your own key."
    if username == AGENCY:
        remedy = "Seal with the agency's key."
    raise SigningFailed(f"{told} {remedy}", code="certificate_of_another")


def _text(attribute: x509.NameAttribute[str | bytes]) -> str:
    value = attribute.value
    return value if isinstance(value, str) else value.decode(errors="replace")


def _words(text: str) -> str:
    return f" {' '.join(folded(text).split())} "
