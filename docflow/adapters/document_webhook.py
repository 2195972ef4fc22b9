"""Documents over HTTP to partners: the beginning of the answer is read, which can say that they have it."""

import asyncio
from collections.abc import Mapping

import httpx

from docflow.adapters.webhook import HttpWebhookClient
from docflow.domain.errors import DeliveryFailed
from docflow.services.webhook_dispatch import Reply

_READ = 64 * 1024  # bytes of an answer


class HttpDocumentCaller(HttpWebhookClient):
    """Implements ``webhook_dispatch.DocumentCaller``, within the limits and checks of webhook calls."""

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
