"""Signing in to a real IMAP server: passwords, tokens, certificates."""

import json
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from docflow.adapters.mail.imap_account import default_mailbox
from docflow.domain.errors import ConfigInvalid, Unauthenticated, Unavailable
from tests.dovecot import PASSWORD, Dovecot, MailAccount
from tests.mail_office import never, signed_in
from tests.mailbox import mail


def test_a_wrong_password_is_refused_and_named(account: MailAccount) -> None:
    with pytest.raises(Unauthenticated, match="DOCFLOW_SECRETS__VANTHU"):
        signed_in(account, "sai")


def test_a_password_with_accents_is_sent_as_utf8() -> None:
    more = "passdb {\n  driver = static\n  args = password=mật-khẩu\n}\n"
    with Dovecot(more) as server:
        signed_in(server.account(), "mật-khẩu").open("inbox")


def test_a_secret_in_a_file_is_read_anew_at_each_sign_in(account: MailAccount, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    with pytest.raises(Unauthenticated):
        signed_in(account, f"@{file}")
    file.write_text(f"{PASSWORD}\n")
    signed_in(account, f"@{file}").open("inbox")
    file.unlink()
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        signed_in(account, f"@{file}")


class TokenInfo(BaseHTTPRequestHandler):
    """An identity provider that knows one token."""

    def do_GET(self) -> None:
        good = "token=ya29.good" in self.path
        body = json.dumps({"username": "vanthu", "active": "yes"} if good else {"error": "invalid_token"}).encode()
        self.send_response(200 if good else 400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def with_tokens(tmp_path: Path) -> Iterator[Dovecot]:
    provider = ThreadingHTTPServer(("127.0.0.1", 0), TokenInfo)
    thread = threading.Thread(target=provider.serve_forever)
    thread.start()
    with tempfile.NamedTemporaryFile("w", suffix=".conf", dir="/tmp") as told:
        told.write(f"tokeninfo_url = http://127.0.0.1:{provider.server_port}/?token=\nusername_attribute = username\n")
        told.write("active_attribute = active\nactive_value = yes\n")
        told.flush()
        Path(told.name).chmod(0o644)  # Dovecot is somebody else
        more = f"""auth_mechanisms = xoauth2
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {told.name}
}}
"""
        with Dovecot(more) as server:
            yield server
    provider.shutdown()
    thread.join()
    provider.server_close()


def test_xoauth2_signs_in_with_a_token_that_another_program_renews(with_tokens: Dovecot, tmp_path: Path) -> None:
    url = f"imap://vanthu@127.0.0.1:{with_tokens.imap}/INBOX"
    file = tmp_path / "token"
    file.write_text("ya29.expired")
    with pytest.raises(Unauthenticated, match="refused the sign-in"):
        signed_in(with_tokens.account(), f"@{file}", url=url, sign_in="xoauth2")
    file.write_text("ya29.good")
    signed_in(with_tokens.account(), f"@{file}", url=url, sign_in="xoauth2").open("inbox")


def test_a_mailbox_without_a_secret_says_where_to_put_it(account: MailAccount) -> None:
    with pytest.raises(ConfigInvalid, match="Set DOCFLOW_SECRETS__VANTHU"):
        signed_in(account, "")


def test_a_server_that_is_not_there_is_unavailable(account: MailAccount) -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 does not answer"):
        signed_in(account, url="imap://vanthu@127.0.0.1:1/INBOX")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of localhost, signed by itself; its key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return folder / "cert.pem"


@pytest.fixture(scope="module")
def with_tls(certificate: Path) -> Iterator[Dovecot]:
    with Dovecot(certificate=certificate, key=certificate.with_name("key.pem")) as server:
        yield server


def test_tls_and_starttls_check_the_certificate(with_tls: Dovecot, certificate: Path) -> None:
    account = with_tls.account()
    account.put(mail())
    user = account.user
    tls = f"imaps://{user}@localhost:{with_tls.imaps}/INBOX"
    upgraded = f"imap://{user}@localhost:{with_tls.imap}/INBOX"
    for url, starttls in ((tls, False), (upgraded, True)):
        box = signed_in(account, url=f"{url}?ca={certificate}", starttls=starttls)
        box.open("inbox")
        assert box.uids() == [1]
        with pytest.raises(Unavailable, match="certificate is not trusted"):
            signed_in(account, url=url, starttls=starttls)
    with pytest.raises(Unavailable, match="certificate is not trusted"):
        signed_in(account, url=f"{tls.replace('localhost', '127.0.0.1')}?ca={certificate}")


def test_a_mail_that_comes_while_waiting_over_tls_ends_the_wait(with_tls: Dovecot, certificate: Path) -> None:
    account = with_tls.account()
    box = signed_in(account, url=f"imaps://{account.user}@localhost:{with_tls.imaps}/INBOX?ca={certificate}")
    box.open("inbox")
    delivery = threading.Timer(0.3, account.deliver, [mail()])
    delivery.start()
    for _ in range(10):  # what TLS says for itself ends a wait too
        box.wait(60, never)
        box.open("inbox")
        if box.uids():
            break
    assert box.uids() == [1]
    delivery.join()


def test_starttls_that_is_not_offered_never_ends_in_a_plain_sign_in(account: MailAccount) -> None:
    with pytest.raises(Unavailable, match="STARTTLS"):
        signed_in(account, starttls=True)
    assert f"user=<{account.user}>" not in account.server.log


def test_the_default_mailbox_is_read_from_its_url() -> None:
    url = "imaps://van.thu%40x:m%3At@mail.example:1993/INBOX?processed=Xong&quarantine=Cho&poll=30&ca=/etc/a.pem"
    settings, password = default_mailbox(url)
    assert settings.name == "default"
    assert settings.url == "imaps://van.thu%40x@mail.example:1993/INBOX?ca=/etc/a.pem"
    assert (settings.processed, settings.quarantine, settings.poll) == ("Xong", "Cho", 30)
    assert password.get_secret_value() == "m:t"


@pytest.mark.parametrize(
    "url", ["pop3://a:geheim@b/", "imaps://a:geheim@b/?what=1", "imaps://:geheim@b/", "imaps://a:geheim@b/?poll=soon"]
)
def test_a_url_that_is_not_understood_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        default_mailbox(url)
    assert "geheim" not in str(caught.value)
