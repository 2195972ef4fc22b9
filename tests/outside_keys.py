"""Keys that docflow does not hold, and documents that wait for them."""

from base64 import b64decode, b64encode
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from docflow.adapters import config_files
from docflow.domain.configuration import Configuration
from docflow.services import configuration
from docflow.services.files import new_file, upload
from tests.conftest import ROOT, District
from tests.moves import drive, outgoing
from tests.tokens import Authority, PrivateKey


@dataclass
class OutsideKey:
    key: PrivateKey
    certificate: x509.Certificate

    @classmethod
    def issued(cls, authority: Authority, name: str, username: str = "", *, kind: str = "rsa") -> "OutsideKey":
        key: PrivateKey
        if kind == "rsa":
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        else:
            key = ec.generate_private_key(ec.SECP256R1())
        return cls(key, authority.issue(key, name, username))

    @property
    def base64(self) -> str:
        return b64encode(self.certificate.public_bytes(Encoding.DER)).decode()

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def sign(self, to_sign: str) -> str:
        """Base64 in, base64 out, as the API speaks."""
        data = b64decode(to_sign)
        if isinstance(self.key, rsa.RSAPrivateKey):
            made = self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        else:
            made = self.key.sign(data, ec.ECDSA(hashes.SHA256()))
        return b64encode(made).decode()


def configure(district: District, **parts: Any) -> None:
    """A new configuration; ``signing`` is laid over the shipped one's."""
    shipped = config_files.load(ROOT / "config").model_dump(mode="json")
    shipped["signing"] |= parts.pop("signing", {})
    changed = Configuration.model_validate(shipped | parts)
    with district.container.sessions.begin() as session:
        configuration.apply(session, changed, config_files.digest(changed), district.container.clock())


def believe(district: District, authority: Authority, **parts: Any) -> None:
    anchor = {"name": "CA thử nghiệm", "certificates": authority.pem, "uses": ["signing"]}
    configure(district, trust=[anchor], **parts)


def awaiting_signature(district: District, pdf: bytes, *, attachment: bytes = b"", **fields: Any) -> UUID:
    """A draft that is approved, at the leaders' for signing."""
    document = outgoing(district, pdf=pdf, **fields)
    if attachment:
        attach(district, document, "ngansach2", attachment)
    district.act(document, "ngansach2", "submit")
    for _ in range(3):
        row = district.tasks(document)[-1]
        who = head(district, row) if row["pool_role"] == "unit_head" else "vanthu1"
        if district.act(document, who, "approve").answer["state"] == "sign":
            break
    assert drive(district, document) == "sign"
    return document


def attach(district: District, document: UUID, user: str, pdf: bytes) -> None:
    container, asked = district.container, district.asked(user)
    stored = container.store.put(BytesIO(pdf))
    file = new_file(stored, kind="attachment", name="Phụ lục.pdf", media_type="application/pdf", origin="upload")
    with container.sessions.begin() as session:
        upload(session, container.pictures, document, [(stored, file)], asked)


def head(district: District, row: Any) -> str:
    sql = """SELECT p.username FROM membership m JOIN person p ON p.id = m.user_id
             WHERE m.unit_id = :u AND (m.role = 'unit_head' OR m.authorised_processor) ORDER BY 1"""
    return str(district.query(sql, u=row["unit_id"])[0]["username"])
