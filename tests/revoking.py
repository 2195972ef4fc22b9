"""An authority whose certificates say where its list of revoked ones is, on a machine of the test's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, pkcs12
from cryptography.x509.oid import NameOID

from docflow.services.signing_ports import Pkcs12Key, Trust

PASSPHRASE = b"mat-khau"


class Authority:
    """``asked`` are the paths that somebody asked for; while ``silent``, it answers nothing of use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.silent = False
        self.port = 0
        self._revoked: list[tuple[int, datetime]] = []
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("Cơ quan chứng thực")
        self._root = self._certificate(self._name, self._key.public_key(), ca=True)

    @property
    def root(self) -> str:
        return self._root.public_bytes(Encoding.PEM).decode("ascii")

    def trust(self, revocation: str = "off", *, timestamp: tuple[str, ...] = ()) -> Trust:
        return Trust(f"of-{revocation}", (self.root,), timestamp, revocation)  # type: ignore[arg-type]

    def issue(self, name: str) -> Pkcs12Key:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(_name(name), key.public_key())
        path = self.folder / f"{certificate.serial_number}.p12"
        encryption = BestAvailableEncryption(PASSPHRASE)
        path.write_bytes(pkcs12.serialize_key_and_certificates(None, key, certificate, [self._root], encryption))
        return Pkcs12Key(path, PASSPHRASE)

    def revoke(self, key: Pkcs12Key, at: datetime) -> None:
        self._revoked.append((int(key.path.stem), at))

    def crl(self) -> bytes:
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._root.subject)
        builder = builder.last_update(now - timedelta(minutes=1)).next_update(now + timedelta(days=30))
        for serial, at in self._revoked:
            one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at)
            builder = builder.add_revoked_certificate(one.build())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.DER)

    def _certificate(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool = False) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=3650 if ca else 365))
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(_usage(ca), critical=True)
        )
        if not ca:
            place = x509.UniformResourceIdentifier(f"http://127.0.0.1:{self.port}/revoked.crl")
            point = x509.DistributionPoint([place], None, None, None)
            builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "VN"), x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


class _Handler(BaseHTTPRequestHandler):
    authority: Authority

    def do_GET(self) -> None:
        self.authority.asked.append(self.path)
        body = b"" if self.authority.silent else self.authority.crl()
        self.send_response(503 if self.authority.silent else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


@contextmanager
def at_work(folder: Path) -> Iterator[Authority]:
    authority = Authority(folder)
    handler = type("Handler", (_Handler,), {"authority": authority})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    authority.port = server.server_port
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield authority
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
