"""Programs that sign what they send instead of carrying a token, as our own webhooks do.

``X-Docflow-Signature`` is ``sha256=`` and the HMAC-SHA256 of ``timestamp.body``, in hex, with the secret shared under
the name in ``X-Docflow-Source``; ``X-Docflow-Timestamp`` is in seconds since 1970. It is checked before anything is
stored. What is sent again within the five minutes is the same letter again.
"""

import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from tempfile import SpooledTemporaryFile
from typing import IO

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from docflow.api.asking import Call
from docflow.api.bodies import SPOOL, check_length, limited
from docflow.bootstrap import Container
from docflow.domain.configuration import Configuration
from docflow.domain.errors import Unauthenticated

MOST_SKEW = timedelta(minutes=5)
SOURCE, TIMESTAMP, SIGNATURE = "x-docflow-source", "x-docflow-timestamp", "x-docflow-signature"


@dataclass(frozen=True, slots=True)
class Signed:
    """A body whose signature was right; ``signature`` is the same only where the same was sent again."""

    source: str
    signature: str
    file: IO[bytes]


def is_signed(request: Request) -> bool:
    return SIGNATURE in request.headers


async def signed_body(request: Request, limit: int) -> AsyncIterator[Signed]:
    """The body in a temporary file. Raises Unauthenticated, TooLarge; an unknown source is refused unread."""
    check_length(request, limit)
    call = Call(request)
    source, timestamp = request.headers.get(SOURCE, ""), request.headers.get(TIMESTAMP, "")
    secret = await run_in_threadpool(_secret, call.container, source)
    if secret is None or not _fresh(timestamp, call.now.timestamp()):
        raise _refused()
    digest = hmac.new(secret, timestamp.encode() + b".", sha256)
    with SpooledTemporaryFile(max_size=SPOOL, prefix="docflow-") as file:
        async for piece in limited(request, limit):
            digest.update(piece)
            file.write(piece)
        given = request.headers[SIGNATURE]
        if not hmac.compare_digest(f"sha256={digest.hexdigest()}".encode(), given.encode()):
            raise _refused()
        file.seek(0)
        yield Signed(source, given, file)


def _secret(container: Container, source: str) -> bytes | None:
    """Both are needed: the name in the configuration and the secret in the environment."""
    with container.sessions.begin() as session:
        _, configuration = container.pictures.newest(session)
    found = container.settings.secrets.get(source)
    if source not in _names(configuration) or found is None:
        return None
    return found.get_secret_value().encode() or None


def _names(configuration: Configuration) -> set[str]:
    partners = {p.edxml.secret for p in configuration.partners if p.edxml is not None and p.edxml.secret is not None}
    return partners | {source.name for source in configuration.intake.signed_sources}


def _fresh(timestamp: str, now: float) -> bool:
    known = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12
    return known and abs(int(timestamp) - now) <= MOST_SKEW.total_seconds()


def _refused() -> Unauthenticated:
    """The same words for all: a guess learns nothing."""
    return Unauthenticated(
        "The signature is not right, or older than five minutes. Check the source's name, its secret and the clock; "
        "sign 'timestamp.body' with HMAC-SHA256 anew for each try."
    )
