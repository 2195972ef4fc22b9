"""Viruses looked for by a clamd: the bytes are streamed to it, so it needs no access to our files (clamd(8))."""

import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from docflow.domain.errors import ConfigInvalid, Unavailable
from docflow.services.ports import Scan

_FORM = "Write DOCFLOW_CLAMD_URL as tcp://host:port or unix:/path/to/clamd.ctl."
_DEFAULT_PORT = 3310
_PIECE = 64 << 10
_LONGEST_ANSWER = 4096
_OK = "stream: OK"
_FOUND = " FOUND"
_TOO_LARGE = "INSTREAM size limit exceeded"
# What clamd calls "found" where it only says that it could not look inside (AlertExceedsMax, AlertEncrypted).
_UNSEEN = ("Heuristics.Limits.Exceeded", "Heuristics.Encrypted")


class _BrokenOff(Exception):
    """The conversation did not come to its end; the message says how."""


@dataclass(frozen=True, slots=True)
class ClamdAddress:
    """Either ``path`` of a local socket or ``host`` and ``port``."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, url: str) -> "ClamdAddress":
        """Raises ConfigInvalid."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigInvalid(f"The address of the virus scanner cannot be read. {_FORM}") from error
        if parts.scheme == "unix" and not parts.netloc and parts.path.startswith("/"):
            return cls(path=unquote(parts.path))
        if parts.scheme == "tcp" and parts.hostname and parts.path in ("", "/"):
            return cls(host=parts.hostname, port=port or _DEFAULT_PORT)
        raise ConfigInvalid(f"The address of the virus scanner, '{url}', is not understood. {_FORM}")

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"

    def connect(self, timeout: float) -> socket.socket:
        if not self.path:
            return socket.create_connection((self.host, self.port), timeout)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout)
            connection.connect(self.path)
        except OSError:
            connection.close()
            raise
        return connection


class ClamdScanner:
    """``ports.VirusScanner``. ``timeout`` is in seconds for each step, ``patience`` for the verdict: a large archive
    takes clamd its time."""

    def __init__(self, url: str, *, timeout: float = 15.0, patience: float = 150.0) -> None:
        self._address = ClamdAddress.parse(url)
        self._timeout = timeout
        self._patience = patience

    def scan(self, path: Path) -> Scan:
        """Raises Unavailable where nobody can be reached; what breaks off twice is ``failed``, never clean.

        A stream too long for clamd is not sent again: it would be too long again.
        """
        try:
            return self._once(path, self._connected())
        except _BrokenOff:
            pass
        try:
            return self._once(path, self._connected())
        except (_BrokenOff, Unavailable) as error:
            return Scan("failed", str(error))

    def version(self) -> str:
        """Of the engine and its signatures. Raises Unavailable."""
        with self._connected() as connection:
            try:
                connection.sendall(b"zVERSION\0")
                return _answer(connection)
            except (OSError, _BrokenOff) as error:
                raise self._away(error) from error

    def _connected(self) -> socket.socket:
        try:
            return self._address.connect(self._timeout)
        except OSError as error:
            raise self._away(error) from error

    def _away(self, error: Exception) -> Unavailable:
        return Unavailable(f"The virus scanner at {self._address} does not answer ({error}). Start clamd, try again.")

    def _once(self, path: Path, connection: socket.socket) -> Scan:
        with connection:
            broken = _sent(path, connection)
            connection.settimeout(self._patience if broken is None else self._timeout)
            try:
                said = _answer(connection)
            except (OSError, _BrokenOff) as error:
                raise _BrokenOff(f"clamd broke off ({broken or error})") from error
        return _verdict(said, whole=broken is None)


def _sent(path: Path, connection: socket.socket) -> OSError | None:
    """What broke the stream, if anything did: clamd may have said why before it hung up."""
    with path.open("rb") as source:
        try:
            connection.sendall(b"zINSTREAM\0")
            while piece := source.read(_PIECE):
                connection.sendall(struct.pack("!L", len(piece)) + piece)
            connection.sendall(struct.pack("!L", 0))
        except OSError as error:
            return error
    return None


def _answer(connection: socket.socket) -> str:
    """All of it up to the NUL that ends it."""
    said = b""
    while not said.endswith(b"\0"):
        more = connection.recv(_LONGEST_ANSWER)
        if not more:
            raise _BrokenOff("it hung up before it had answered")
        said += more
        if len(said) > _LONGEST_ANSWER:
            raise _BrokenOff("it answered what no clamd answers")
    return said[:-1].decode("utf-8", "replace")


def _verdict(said: str, *, whole: bool) -> Scan:
    """``whole``: it was sent all the bytes, without which nothing is clean."""
    if said == _OK and whole:
        return Scan("clean")
    if said.startswith("stream: ") and said.endswith(_FOUND):
        name = said.removeprefix("stream: ").removesuffix(_FOUND)
        if name.startswith(_UNSEEN):
            return Scan("failed", f"clamd could not look into all of it ({name})")
        return Scan("infected", name)
    if said.startswith(_TOO_LARGE):
        return Scan("failed", "it is longer than clamd takes; raise its StreamMaxLength")
    raise _BrokenOff(f"clamd answered '{said[:200]}'")
