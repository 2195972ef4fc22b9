"""Where the listener listens, and the certificate that it shows there."""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from docflow.domain.errors import ConfigInvalid

_log = logging.getLogger(__name__)
FORM = "write host:port, smtp://host:port, lmtp://host:port or lmtp:/path/to/socket, several with commas"


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port, or the path of a socket."""

    protocol: Literal["smtp", "lmtp"]
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.protocol}:{self.path}" if self.path else f"{self.protocol}://{host}:{self.port}"


def addresses(text: str) -> tuple[Address, ...]:
    """Those of ``DOCFLOW_SMTP_LISTEN``; port 0 is any free one. Raises ConfigInvalid naming all that are none."""
    written = [part.strip() for part in text.split(",") if part.strip()]
    found = [(part, _address(part)) for part in written]
    problems = [f"DOCFLOW_SMTP_LISTEN: '{part}' is no address -> {FORM}" for part, one in found if one is None]
    if problems:
        raise ConfigInvalid("; ".join(problems), problems=problems)
    return tuple(one for _, one in found if one is not None)


def _address(text: str) -> Address | None:
    try:
        parts = urlsplit(text if "://" in text or text.startswith("lmtp:/") else f"smtp://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.username is not None or parts.query or parts.fragment:
        return None
    if not parts.netloc:
        return Address("lmtp", path=parts.path) if parts.scheme == "lmtp" and parts.path != "/" else None
    if parts.scheme not in ("smtp", "lmtp") or not host or port is None or parts.path:
        return None
    return Address("smtp" if parts.scheme == "smtp" else "lmtp", host, port)


class Certificate:
    """For STARTTLS; read again when its files change, as programs that renew certificates do."""

    def __init__(self, certificate: Path, key: Path | None) -> None:
        """Raises ConfigInvalid where they cannot be used."""
        self._files = (certificate, key or certificate)
        self._seen = self._stamps()
        self._context = self._loaded()

    def context(self) -> ssl.SSLContext:
        stamps = self._stamps()
        if stamps != self._seen:
            self._seen = stamps
            try:
                self._context = self._loaded()
            except ConfigInvalid as error:  # a renewal may write one file before the other
                _log.warning("the earlier certificate is kept: %s", error)
        return self._context

    def _stamps(self) -> list[tuple[int, int] | None]:
        return [_stamp(file) for file in self._files]

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(*self._files, password="")  # else OpenSSL would ask at the terminal for one
        except (OSError, ValueError) as error:
            names = " and ".join(map(str, dict.fromkeys(self._files)))
            problem = f"{names} cannot be used ({error}). Set DOCFLOW_SMTP_TLS_CERTIFICATE and _KEY to PEM files."
            raise ConfigInvalid(problem, problems=[problem]) from error
        return context


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_ino
