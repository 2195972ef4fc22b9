"""What authorities say of revoked certificates: lists (RFC 5280) and answers (RFC 6960), over HTTP, with limits.

Their bytes are handed on unread: they are read in the limited process.
"""

import asyncio
import base64
import time
from collections.abc import Iterable, Sequence
from threading import Lock

import httpx
import structlog

from docflow.adapters.signing.trusting import Question

_MOST_QUESTIONS = 24
_REQUEST = {"Content-Type": "application/ocsp-request", "Accept": "application/ocsp-response"}

log = structlog.get_logger(__name__)


class Authorities:
    """``seconds`` for all the answers that one file needs, together; ``largest`` bytes of one; an answer counts for
    ``fresh`` seconds before it is asked for again. Redirects are not followed, the environment's proxies not used."""

    def __init__(self, *, seconds: float = 15.0, largest: int = 32 << 20, fresh: float = 3600.0) -> None:
        self._seconds = seconds
        self._largest = largest
        self._fresh = fresh
        self._known: dict[Question, tuple[float, bytes]] = {}
        self._lock = Lock()

    def answers(self, questions: Sequence[Question]) -> list[dict[str, str]]:
        """Each as ``{"kind": "crl" or "ocsp", "answer": base64}``; who does not answer in time is left out. Needs a
        thread without a running loop."""
        wanted = list(dict.fromkeys(questions))[:_MOST_QUESTIONS]
        missing = [one for one in wanted if self._kept(one) is None]
        if missing:
            asyncio.run(self._ask(missing))
        said = ((one, self._kept(one)) for one in wanted)
        return [
            {"kind": "ocsp" if one.request else "crl", "answer": base64.b64encode(answer).decode("ascii")}
            for one, answer in said
            if answer is not None
        ]

    def _kept(self, question: Question) -> bytes | None:
        with self._lock:
            at, answer = self._known.get(question, (0.0, None))
        return answer if answer is not None and time.monotonic() - at < self._fresh else None

    async def _ask(self, questions: Iterable[Question]) -> None:
        async with httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=self._seconds) as client:
            await asyncio.gather(*(self._ask_one(client, one) for one in questions))

    async def _ask_one(self, client: httpx.AsyncClient, question: Question) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._fetched(client, question)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            log.warning("authority_silent", url=question.url, error=str(error) or type(error).__name__)
            return
        with self._lock:
            self._known[question] = (time.monotonic(), answer)

    async def _fetched(self, client: httpx.AsyncClient, question: Question) -> bytes:
        """Raises ValueError for an answer that is none."""
        method, headers = ("POST", _REQUEST) if question.request else ("GET", {})
        async with client.stream(method, question.url, content=question.request or None, headers=headers) as answer:
            if answer.status_code != httpx.codes.OK:
                raise ValueError(f"it answered {answer.status_code}")
            said = bytearray()
            async for piece in answer.aiter_bytes():
                said += piece
                if len(said) > self._largest:
                    raise ValueError("it says more than anybody can hold")
            return bytes(said)
