"""Cursors: where a list goes on. Signed, and bound to the list and filters they came from."""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Annotated, Any

from fastapi import Query

from docflow.domain.errors import Invalid
from docflow.settings import Settings

MOST = 200
SIGNATURE = 16

Limit = Annotated[int, Query(ge=1, le=MOST, description="Items of one page")]
Cursor = Annotated[str | None, Query(max_length=1000, description="`next` of the page before")]


class Pages:
    """Makes and reads the cursors of one list with one set of filters."""

    def __init__(self, settings: Settings, name: str, filters: Any = None) -> None:
        secret = settings.secret_key.get_secret_value() or settings.database_url
        self._key = sha256(f"docflow cursor:{secret}".encode()).digest()
        self._scope = json.dumps([name, filters], sort_keys=True, default=str).encode()

    def write(self, position: list[Any]) -> str:
        body = json.dumps(position, default=str).encode()
        return urlsafe_b64encode(self._sign(body) + body).decode().rstrip("=")

    def read(self, cursor: str | None) -> list[Any] | None:
        """Raises Invalid for a cursor that was not made here, or with other filters."""
        if cursor is None:
            return None
        try:
            raw = urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        except ValueError:
            raw = b""
        if not hmac.compare_digest(self._sign(raw[SIGNATURE:]), raw[:SIGNATURE]):
            raise Invalid(
                "The cursor does not belong to this list with these filters. Begin without one.", field="cursor"
            )
        position: list[Any] = json.loads(raw[SIGNATURE:])
        return position

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self._key, self._scope + b"\0" + body, sha256)[:SIGNATURE]


def page(items: list[Any], following: str | None) -> dict[str, Any]:
    return {"items": items, "next": following}
