"""What the doctor says of files that must not be lost, and of signatures that weaken; against real parts."""

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from minio import Minio
from sqlalchemy import text
from typer.testing import Result

from docflow.adapters import config_files
from docflow.adapters.object_lock import LockedBucket
from docflow.adapters.storage import key_of
from docflow.bootstrap import Container
from docflow.domain.configuration import Configuration
from docflow.services import configuration
from tests.conftest import ROOT, START, District
from tests.moves import PDF
from tests.services.test_cli import run
from tests.services.test_cli_intake import doctor
from tests.services.test_renewal import both, signed
from tests.services.test_retention import do_round, kept

Run = Callable[..., Result]
__all__ = ["run"]


def change(container: Container, sql: str) -> None:
    with container.sessions.begin() as session:
        session.execute(text(sql))


def client_of(container: Container) -> Minio:
    s = container.settings
    key, secret = s.s3_access_key.get_secret_value(), s.s3_secret_key.get_secret_value()
    return Minio(endpoint=s.s3_endpoint, access_key=key, secret_key=secret, secure=False)


def test_locked_files_are_counted_and_looked_at(run: Run, district: District) -> None:
    sha256 = kept(district, PDF + b"%doctor")
    assert doctor(run, "locked files") == ("ok", "   locked files  0 are locked, 1 wait to be")
    do_round(district.container)
    assert doctor(run, "locked files") == ("ok", "   locked files  1 are locked, 0 wait to be")
    assert doctor(run, "object store")[1].endswith("and keeps what is locked")
    bucket, key = district.container.settings.s3_bucket, key_of(sha256)
    client_of(district.container).remove_object(bucket_name=bucket, object_name=key)
    grade, told = doctor(run, "locked files")
    assert grade == "wrong"
    assert "1 locked files were deleted or overwritten" in told
    district.container.store.put(io.BytesIO(PDF + b"%doctor"))
    grade, told = doctor(run, "locked files")
    assert (grade, sha256 in told) == ("wrong", True), "what was put again has no lock of its own"


@pytest.mark.parametrize(
    ("state", "grade", "says"), [("failed", "wrong", "last_error"), ("unsupported", "note", "wait for an object store")]
)
def test_files_that_are_not_locked_are_told(run: Run, district: District, state: str, grade: str, says: str) -> None:
    kept(district, PDF + b"%doctor not locked")
    change(district.container, f"UPDATE retention SET state = '{state}'")
    assert doctor(run, "locked files")[0] == grade
    assert says in doctor(run, "locked files")[1]


def test_a_store_that_locks_nothing_is_told_with_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LockedBucket, "enabled", lambda self: False)
    grade, told = doctor(run, "object store")
    assert grade == "note"
    assert "signed files can be deleted" in told
    assert "DOCFLOW_S3_BUCKET" in told


def test_files_that_wait_for_a_time_stamp_are_told(run: Run, district: District) -> None:
    document = signed(district, PDF + b"%doctor renewal")
    both(district, document, datetime.now(UTC) + timedelta(days=30))
    assert doctor(run, "renewal")[0] == "ok"
    change(district.container, "UPDATE signature SET renew_at = now() - interval '3 days'")
    assert doctor(run, "renewal")[0] == "wrong"
    assert "docflow worker" in doctor(run, "renewal")[1]
    change(district.container, "UPDATE signature SET renew_at = now() + interval '1 day', last_error = 'no TSA'")
    assert "2 signed files could not get a new time stamp" in doctor(run, "renewal")[1]


def authority(bits: int) -> str:
    """A certificate of an intermediate authority."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"CA {bits}")]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Root")]))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize(("bits", "weak"), [(2048, False), (1024, True)])
def test_an_authority_that_signs_too_weakly_is_named(run: Run, district: District, bits: int, weak: bool) -> None:
    shipped = config_files.load(ROOT / "config").model_dump(mode="json")
    shipped["trust"] = [{"name": "CA", "certificates": authority(bits)}]
    changed = Configuration.model_validate(shipped)
    with district.container.sessions.begin() as session:
        configuration.apply(session, changed, config_files.digest(changed), START)
    grade, told = doctor(run, "renewal")
    assert (grade == "note", "CN=CA 1024" in told) == (weak, weak)
