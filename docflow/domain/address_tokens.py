"""Addresses under which answers and bounces find the delivery they are about: ``vanthu+d-TOKEN@house``.

The token is the delivery's id and a keyed hash of it in base32, so that letter case does not matter and nobody can
make one for a delivery whose mail they never got.
"""

import hmac
import re
from base64 import b32decode, b32encode
from collections.abc import Iterable
from hashlib import sha256
from uuid import UUID

_PURPOSE = b"docflow delivery address\0"
_ID_BYTES, _TAG_BYTES = 16, 8
_LENGTH = 39
"""Characters of base32 that 24 bytes take."""
_LONGEST_LOCAL_PART = 64  # RFC 5321, 4.5.3.1.1
_TAGGED = re.compile(rf"[^@\s]*\+d-([a-z2-7]{{{_LENGTH}}})@[^@\s]+", re.IGNORECASE)
_IN_TEXT = re.compile(rf"\[ref docflow ([a-z2-7]{{{_LENGTH}}})\]", re.IGNORECASE)


def token(delivery_id: UUID, key: bytes) -> str:
    raw = delivery_id.bytes + _tag(delivery_id.bytes, key)
    return b32encode(raw).decode("ascii").rstrip("=").lower()


def tagged(address: str, delivery_id: UUID, key: bytes) -> str | None:
    """``address`` (bare) with the token; None where its local part would grow too long, or has a tag already."""
    local, _, domain = address.rpartition("@")
    longer = f"{local}+d-{token(delivery_id, key)}"
    if not local or "+" in local or len(longer) > _LONGEST_LOCAL_PART:
        return None
    return f"{longer}@{domain}"


def reference(delivery_id: UUID, key: bytes) -> str:
    """The token for where there is no address to put it in: people may copy it into a subject."""
    return f"[ref docflow {token(delivery_id, key)}]"


def delivery_of(addresses: Iterable[str], key: bytes) -> UUID | None:
    """The delivery that the first of these addresses with a genuine token names."""
    tokens = (found[1] for address in addresses if (found := _TAGGED.fullmatch(address.strip(" <>"))))
    return _first_genuine(tokens, key)


def delivery_in(text: str, key: bytes) -> UUID | None:
    """The delivery that a reference in running text names."""
    return _first_genuine((found[1] for found in _IN_TEXT.finditer(text)), key)


def _first_genuine(tokens: Iterable[str], key: bytes) -> UUID | None:
    if not key:
        return None
    return next((found for one in tokens if (found := _genuine(one, key)) is not None), None)


def _genuine(one: str, key: bytes) -> UUID | None:
    raw = b32decode(one.upper() + "=")
    named, tag = raw[:_ID_BYTES], raw[_ID_BYTES:]
    return UUID(bytes=named) if hmac.compare_digest(_tag(named, key), tag) else None


def _tag(named: bytes, key: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + named, sha256)[:_TAG_BYTES]
