"""PINs that were refused. A wrong one spends a try of the few a key allows, so it is never sent a second time."""

import hashlib
import hmac
import secrets
from threading import Lock
from typing import Any

from docflow.domain.errors import SigningFailed

_SALT = secrets.token_bytes(32)


def digest_of(pin: str) -> bytes:
    """Tells PINs apart while this process runs, and cannot be carried elsewhere."""
    return hmac.digest(_SALT, pin.encode(), hashlib.sha256)


def pin_missing(whose: str, **details: Any) -> SigningFailed:
    return SigningFailed(f"{whose} opens with a PIN. Send it as 'pin' with the request.", code="pin_missing", **details)


def pin_wrong(said: str, **details: Any) -> SigningFailed:
    return SigningFailed(said, code="pin_wrong", **details)


def pin_locked(whose: str, remedy: str) -> SigningFailed:
    return SigningFailed(f"{whose} is locked: its PIN was wrong too often. {remedy}", code="pin_locked")


class RefusedPins:
    """By the key they were tried on, until another PIN opens it or the process ends."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._refused: dict[str, set[bytes]] = {}

    def check(self, key: str, whose: str, pin: str) -> None:
        """Raises SigningFailed where ``key`` refused this PIN before."""
        with self._lock:
            if digest_of(pin) in self._refused.get(key, ()):
                raise pin_wrong(
                    f"{whose} refused this PIN before, so it was not sent again. Sign with the right one, before the "
                    "key locks itself; where the PIN was changed to this one, restart docflow."
                )

    def note(self, key: str, pin: str) -> None:
        with self._lock:
            self._refused.setdefault(key, set()).add(digest_of(pin))

    def opened(self, key: str) -> None:
        with self._lock:
            self._refused.pop(key, None)
