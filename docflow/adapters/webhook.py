"""Webhook calls over HTTP: one connection a call, one limit of time for all of it."""

import asyncio
import ssl
from collections.abc import Mapping

import httpx

from docflow.domain.errors import DeliveryFailed
from docflow.services.webhook_dispatch import Reply

_READ = 64 * 1024  # bytes of an answer; nobody looks at more


class HttpWebhookClient:
    """Implements ``ports.WebhookClient`` and ``webhook_dispatch.DocumentCaller``. ``seconds`` limits the whole call,
    however slowly the other side drips.

    Certificates are checked; the environment's proxies are not used. Needs a thread without a running loop.
    """

    def __init__(self, *, seconds: float = 10.0, tls: ssl.SSLContext | None = None) -> None:
        self._seconds = seconds
        self._tls = tls or ssl.create_default_context()

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        return self.call(url, body, headers).status

    def call(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        try:
            return asyncio.run(self._call(url, body, headers))
        except TimeoutError as error:
            raise DeliveryFailed(f"No answer within {self._seconds:g} seconds.", permanent=False) from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            said = str(error) or type(error).__name__
            raise DeliveryFailed(f"The other side could not be reached: {said}.", permanent=False) from error

    async def _call(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        async with asyncio.timeout(self._seconds):
            client = httpx.AsyncClient(verify=self._tls, trust_env=False, follow_redirects=False, timeout=self._seconds)
            async with client, client.stream("POST", url, content=body, headers=dict(headers)) as answer:
                seen = b""
                async for piece in answer.aiter_raw():
                    seen += piece
                    if len(seen) >= _READ:
                        break
                return Reply(answer.status_code, seen[:_READ])
