"""Links, one-time codes and passes of the portal: made with the house's key, so that nothing secret is stored.

Each has a purpose of its own, so that none can stand in for another.
"""

import hmac
import re
from base64 import b32decode, b32encode
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

_LINK, _CODE, _PASS = b"docflow portal link\0", b"docflow portal code\0", b"docflow portal pass\0"
_ID_BYTES, _TAG_BYTES = 16, 16
_TOKEN = re.compile(r"[a-z2-7]{52}")
DIGITS = 8
"""Of a one-time code."""
_GIVEN = re.compile(r"[0-9]{8}")
_PASSED = re.compile(r"([0-9]{1,12})\.([0-9a-f]{64})")


def token(delivery_id: UUID, key: bytes) -> str:
    raw = delivery_id.bytes + _tag(key, _LINK, delivery_id.bytes)[:_TAG_BYTES]
    return b32encode(raw).decode("ascii").rstrip("=").lower()


def delivery_of(given: str, key: bytes) -> UUID | None:
    """The delivery that a genuine link names."""
    if not key or not _TOKEN.fullmatch(given.lower()):
        return None
    raw = b32decode(given.upper() + "====")
    named, tag = raw[:_ID_BYTES], raw[_ID_BYTES:]
    genuine = hmac.compare_digest(_tag(key, _LINK, named)[:_TAG_BYTES], tag)
    return UUID(bytes=named) if genuine else None


def code(delivery_id: UUID, nonce: str, key: bytes) -> str:
    """The code that was sent under ``nonce``."""
    number = int.from_bytes(_tag(key, _CODE, delivery_id.bytes + nonce.encode())[:8], "big")
    return f"{number % 10**DIGITS:0{DIGITS}d}"


def is_code(given: str, delivery_id: UUID, nonce: str, key: bytes) -> bool:
    """Blanks that people type between the digits do not count. It takes as long whatever is given."""
    typed = re.sub(r"[\s-]", "", given)
    right = hmac.compare_digest(typed.encode(), code(delivery_id, nonce, key).encode())
    return right and bool(nonce) and _GIVEN.fullmatch(typed) is not None


def pass_until(delivery_id: UUID, until: datetime, key: bytes) -> str:
    """What a browser shows for whoever gave the right code."""
    ends = str(int(until.timestamp()))
    return f"{ends}.{_tag(key, _PASS, delivery_id.bytes + ends.encode()).hex()}"


def is_pass(given: str, delivery_id: UUID, now: datetime, key: bytes) -> bool:
    found = _PASSED.fullmatch(given)
    if found is None or not key:
        return False
    made = _tag(key, _PASS, delivery_id.bytes + found[1].encode()).hex()
    return hmac.compare_digest(made, found[2]) and now < datetime.fromtimestamp(int(found[1]), UTC)


def _tag(key: bytes, purpose: bytes, of: bytes) -> bytes:
    return hmac.digest(key, purpose + of, sha256)
