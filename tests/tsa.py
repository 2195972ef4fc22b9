"""A time-stamp authority over HTTP on 127.0.0.1: ``openssl ts`` behind a server that can be told to misbehave."""

import base64
import os
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

REPLY = "application/timestamp-reply"
SETTINGS = """
[tsa]
default_tsa = own
[own]
serial = {folder}/serial
signer_cert = {folder}/tsa.crt
certs = {folder}/root.crt
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
"""

Behaviour = Callable[["Tsa", bytes], tuple[int, str, bytes]]
"""What to answer to a query: status, media type and body."""


class Tsa:
    """``behaviours`` are used up one by one; after them it answers as it should. ``queries`` are what came in."""

    def __init__(self, folder: Path, *, valid: timedelta = timedelta(days=365), purpose: bool = True) -> None:
        self.folder = folder
        self.behaviours: deque[Behaviour] = deque()
        self.queries: list[bytes] = []
        self.authorizations: list[str] = []
        self.closing = Event()
        self.port = 0
        self._serial = Lock()
        _make_certificates(folder, valid, purpose)
        (folder / "serial").write_text("01\n")
        (folder / "openssl.cnf").write_text(SETTINGS.format(folder=folder))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/tsa"

    @property
    def root(self) -> str:
        return (self.folder / "root.crt").read_text("ascii")

    def honest(self, query: bytes) -> bytes:
        with self._serial, tempfile.TemporaryDirectory() as scratch:
            question, answer = Path(scratch) / "q", Path(scratch) / "a"
            question.write_bytes(query)
            command = ["openssl", "ts", "-reply", "-config", str(self.folder / "openssl.cnf")]
            subprocess.run(
                [*command, "-queryfile", str(question), "-out", str(answer)],
                check=True,
                capture_output=True,
                timeout=30,
            )
            return answer.read_bytes()


def _make_certificates(folder: Path, valid: timedelta, purpose: bool) -> None:
    now = datetime.now(UTC) - timedelta(minutes=5)
    root_key, key = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    root_name, name = _name("TSA thử nghiệm, gốc"), _name("Dịch vụ dấu thời gian thử nghiệm")
    usage = x509.KeyUsage(True, True, False, False, False, False, False, False, False)
    signing = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    ca = x509.BasicConstraints(ca=True, path_length=0)
    root = _certificate(
        root_name, root_name, root_key, root_key, now, timedelta(days=3650), [(ca, True), (signing, True)]
    )
    extensions: list[tuple[x509.ExtensionType, bool]] = [(usage, True)]
    if purpose:
        extensions.append((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True))
    own = _certificate(name, root_name, key, root_key, now, valid + timedelta(minutes=5), extensions)
    (folder / "root.crt").write_bytes(root.public_bytes(Encoding.PEM))
    (folder / "tsa.crt").write_bytes(own.public_bytes(Encoding.PEM))
    (folder / "tsa.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "VN"), x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: rsa.RSAPrivateKey,
    issuer_key: rsa.RSAPrivateKey,
    since: datetime,
    valid: timedelta,
    extensions: list[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(since).not_valid_after(since + valid)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return builder.add_extension(above, critical=False).sign(issuer_key, hashes.SHA256())


class _Handler(BaseHTTPRequestHandler):
    tsa: Tsa

    def do_POST(self) -> None:
        query = self.rfile.read(int(self.headers["Content-Length"]))
        self.tsa.queries.append(query)
        self.tsa.authorizations.append(self.headers.get("Authorization", ""))
        behave = self.tsa.behaviours.popleft() if self.tsa.behaviours else _honest
        try:
            status, kind, body = behave(self.tsa, query)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def log_message(self, *args: object) -> None: ...


def _honest(tsa: Tsa, query: bytes) -> tuple[int, str, bytes]:
    return 200, REPLY, tsa.honest(query)


def answers(status: int, body: bytes = b"", kind: str = REPLY) -> Behaviour:
    return lambda tsa, query: (status, kind, body)


def stays_silent(tsa: Tsa, query: bytes) -> tuple[int, str, bytes]:
    """Until the server closes: longer than any client waits."""
    tsa.closing.wait(60)
    return 200, REPLY, b""


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@contextmanager
def running(tsa: Tsa) -> Iterator[Tsa]:
    handler = type("Handler", (_Handler,), {"tsa": tsa})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    tsa.port = server.server_port
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield tsa
    finally:
        tsa.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def require_tool(name: str, package: str) -> None:
    """Skip where a Debian package is missing; where the checks run for all, it must not be."""
    if any((Path(folder) / name).exists() for folder in os.environ.get("PATH", "").split(":")):
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"'{name}' is missing. Install the Debian package {package}.")
    pytest.skip(f"'{name}' is not installed (Debian package {package})")
