"""Mail handed to a real SMTP server, and what comes of it when that server says no."""

import smtplib
import socket
import ssl
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from docflow.adapters.mail.compose import Composed
from docflow.adapters.mail.lines import MOST_MAILS, Lines
from docflow.adapters.mail.parse import LimitedMailParser
from docflow.adapters.mail.send import SmtpMailer, SmtpServer
from docflow.adapters.mail.sink import MailSink
from docflow.domain.errors import ConfigInvalid, DeliveryFailed, Invalid
from docflow.services.ports import OutgoingMail
from tests.trouble_sink import CLOSING_EVERY, TroubleSink

NOW = datetime(2026, 1, 5, 1, 30, tzinfo=UTC)
SUBJECT = "Công văn số 15/UBND-VP về việc báo cáo tình hình thực hiện kế hoạch phát triển kinh tế xã hội năm 2026"
LONG_ID = f"<{'0123456789abcdef' * 6}@vanban.ubnd.bavi.example.vn>"
LETTER = OutgoingMail(
    message_id="<15.a@bavi.example.vn>",
    sender="UBND huyện Ba Vì <vanthu@bavi.example.vn>",
    recipient="vanthu@sonla.example.vn",
    subject=SUBJECT,
    body="Kính gửi Ủy ban nhân dân,\n.dòng bắt đầu bằng dấu chấm\n.\nFrom trên xuống\n",
)


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[MailSink]:
    with MailSink(tmp_path / "sink") as running:
        yield running


def mailer(sink: MailSink) -> SmtpMailer:
    return SmtpMailer(sink.url, clock=lambda: NOW)


def test_a_letter_arrives_with_every_field_and_file_as_it_was_sent(sink: MailSink, tmp_path: Path) -> None:
    signed, table = tmp_path / "a", tmp_path / "b"
    signed.write_bytes(bytes(range(256)) * 1_000)
    table.write_bytes(b".\r\n..\r\nx\r\n")
    name = 'Quyết định "số 15" về việc phê duyệt kế hoạch phát triển kinh tế xã hội.pdf'
    files = (
        (name, "application/pdf", signed),
        ("so.csv", "text/csv", table),
        ("trống.txt", "text/plain", tmp_path / "c"),
    )
    files[2][2].write_bytes(b"")
    answer = mailer(sink).send(replace(LETTER, attachments=files))
    assert answer.startswith("250 ")
    (kept,) = sink.messages()
    assert (kept.sender, kept.recipients) == ("vanthu@bavi.example.vn", ("vanthu@sonla.example.vn",))
    message = kept.message()
    assert str(message["From"]) == LETTER.sender
    assert message["Subject"] == SUBJECT
    assert message["Message-ID"] == LETTER.message_id
    assert message["Date"].datetime == NOW
    body = message.get_body()
    assert body is not None
    assert body.get_content().replace("\r\n", "\n") == LETTER.body
    parts = list(message.iter_attachments())
    assert [part.get_filename() for part in parts] == [file[0] for file in files]
    assert [part.get_content_type() for part in parts] == [file[1] for file in files]
    assert [part.get_payload(decode=True) for part in parts] == [file[2].read_bytes() for file in files]
    assert message.defects == []


def test_what_is_sent_is_seven_bit_with_lines_of_legal_length(sink: MailSink, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff" * 5_000)
    long_line = replace(LETTER, body="ă" * 3_000, attachments=(("ă.bin", "application/octet-stream", tmp_path / "a"),))
    mailer(sink).send(long_line)
    raw = sink.messages()[0].path.read_bytes()
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 200


def test_our_own_reader_takes_our_own_letter_apart(sink: MailSink, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7")
    headers = (("Auto-Submitted", "auto-generated"), ("In-Reply-To", LONG_ID), ("References", f"<1@x> {LONG_ID}"))
    attachments = (("Công văn.pdf", "application/pdf", tmp_path / "a.pdf"),)
    mailer(sink).send(replace(LETTER, headers=headers, attachments=attachments))
    found = LimitedMailParser().parse(sink.messages()[0].path, tmp_path / "parts")
    assert (found.sender, found.sender_name) == ("vanthu@bavi.example.vn", "UBND huyện Ba Vì")
    assert (found.subject, found.message_id, found.defects) == (SUBJECT, LETTER.message_id, ())
    assert (found.automatic, found.in_reply_to) == (True, (LONG_ID, "<1@x>"))
    assert [(part.name, part.path.read_bytes()) for part in found.attachments] == [("Công văn.pdf", b"%PDF-1.7")]


def test_an_empty_body_is_sent(sink: MailSink) -> None:
    mailer(sink).send(replace(LETTER, body=""))
    body = sink.messages()[0].message().get_body()
    assert body is not None
    assert body.get_content().strip() == ""


def test_the_announced_size_is_that_of_the_message(sink: MailSink, tmp_path: Path) -> None:
    for size in (0, 1, 56, 57, 58, 60_000):
        (tmp_path / "a").write_bytes(b"x" * size)
        composed = Composed(replace(LETTER, body="x\n", attachments=(("a", "a/b", tmp_path / "a"),)), NOW)
        assert composed.size == sum(map(len, composed.wire()))


def test_a_large_file_is_never_whole_in_memory(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(32 * 1024 * 1024)
    composed = Composed(replace(LETTER, body="x\n", attachments=(("a", "a/b", tmp_path / "a"),)), NOW)
    tracemalloc.start()
    sent = sum(map(len, composed.wire()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sent == composed.size
    assert peak < 2 * 1024 * 1024


# The server says no


def test_a_refused_recipient_is_a_permanent_failure(sink: MailSink) -> None:
    sink.refuse_permanently.add("VanThu@sonla.example.vn")
    with pytest.raises(DeliveryFailed, match="550") as failed:
        mailer(sink).send(LETTER)
    assert failed.value.permanent is True
    assert failed.value.details["smtp_code"] == 550
    assert sink.messages() == []


def test_a_recipient_refused_twice_for_now_is_reached_the_third_time(sink: MailSink) -> None:
    sink.refuse_temporarily["vanthu@sonla.example.vn"] = 2
    for _ in range(2):
        with pytest.raises(DeliveryFailed, match="451") as failed:
            mailer(sink).send(LETTER)
        assert failed.value.permanent is False
    mailer(sink).send(LETTER)
    assert len(sink.messages()) == 1


def test_a_message_larger_than_the_server_takes_is_a_permanent_failure(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 20_000)
    with MailSink(tmp_path / "sink", max_bytes=10_000) as sink, pytest.raises(DeliveryFailed, match="552") as failed:
        mailer(sink).send(replace(LETTER, attachments=(("a", "a/b", tmp_path / "a"),)))
    assert failed.value.permanent is True


def test_a_server_that_is_not_there_is_a_passing_failure(sink: MailSink) -> None:
    sink.stop()
    with pytest.raises(DeliveryFailed, match=f"127.0.0.1:{sink.port}") as failed:
        mailer(sink).send(LETTER)
    assert failed.value.permanent is False


def test_a_refused_sign_in_is_a_passing_failure_that_names_the_setting(sink: MailSink) -> None:
    signing_in = SmtpMailer(f"smtp://docflow:s3cret@{sink.host}:{sink.port}")
    with pytest.raises(DeliveryFailed) as failed:
        signing_in.send(LETTER)
    assert failed.value.permanent is False
    assert "s3cret" not in failed.value.message


def test_starttls_is_not_given_up_when_the_server_has_none(sink: MailSink) -> None:
    with pytest.raises(DeliveryFailed) as failed:
        SmtpMailer(f"{sink.url}?starttls=1").send(LETTER)
    assert failed.value.permanent is False
    assert sink.messages() == []


# Encryption and sign-in


def certificate(folder: Path) -> ssl.SSLContext:
    """A server's context with a certificate of its own for 127.0.0.1; the file ``cert.pem`` is left for clients."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.example.vn")])
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, secret.public_key(), x509.random_serial_number())
    dated = builder.not_valid_before(datetime(2020, 1, 1)).not_valid_after(datetime(2100, 1, 1))  # noqa: DTZ001
    signed = dated.add_extension(alternative, critical=False).sign(secret, hashes.SHA256())
    (folder / "cert.pem").write_bytes(signed.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


ACCOUNT = LoginPassword(b"van thu", b"p@ss/1")


class Kept:
    """Notes who was signed in and whether the line was encrypted when a mail came."""

    def __init__(self) -> None:
        self.seen: list[tuple[object, bool]] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        encrypted = server.transport is not None and server.transport.get_extra_info("cipher") is not None
        self.seen.append((session.auth_data, encrypted))
        return "250 OK"


def sign_in(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword) -> AuthResult:
    return AuthResult(success=data == ACCOUNT, handled=False, auth_data=data)


@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
def test_mail_goes_encrypted_and_signed_in(tmp_path: Path, scheme: str) -> None:
    context, kept = certificate(tmp_path), Kept()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    tls: dict[str, Any] = {"ssl_context": context, "auth_require_tls": False}  # it does not see that TLS is outside
    if scheme == "smtp":
        tls = {"tls_context": context, "auth_required": True}
    server = Controller(kept, "127.0.0.1", port, authenticator=sign_in, **tls)
    server.start()
    url = f"{scheme}://van%20thu:p%40ss%2F1@127.0.0.1:{port}{'?starttls=1' if scheme == 'smtp' else ''}"
    try:
        trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        SmtpMailer(url, tls=trusting).send(LETTER)
        with pytest.raises(DeliveryFailed, match="certificate") as failed:
            SmtpMailer(url).send(LETTER)
        with pytest.raises(DeliveryFailed, match="DOCFLOW_SMTP_URL") as refused:
            SmtpMailer(url.replace("van%20thu", "other"), tls=trusting).send(LETTER)
    finally:
        server.stop()
    assert kept.seen == [(ACCOUNT, True)]
    assert (failed.value.permanent, refused.value.permanent) == (False, False)


Script = Callable[[socket.socket], None]


def scripted(script: Script) -> tuple[str, threading.Thread]:
    """A server that behaves badly once."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as client:
            client.settimeout(10)
            script(client)

    thread = threading.Thread(target=serve)
    thread.start()
    return f"smtp://127.0.0.1:{listener.getsockname()[1]}", thread


def silent(client: socket.socket) -> None:
    client.recv(1_000)


def taking_a_mail(client: socket.socket) -> None:
    client.sendall(b"220 x\r\n")
    for answer in (b"250 x\r\n", b"250 x\r\n", b"250 x\r\n", b"354 x\r\n"):
        client.recv(10_000)
        client.sendall(answer)
    received = b""
    while not received.endswith(b"\r\n.\r\n"):
        received += client.recv(10_000)


def gone_after_data(client: socket.socket) -> None:
    taking_a_mail(client)


def babbling(client: socket.socket) -> None:
    client.sendall(b"\xff\x00 nothing like SMTP\r\n")


def gone_before_data(client: socket.socket) -> None:
    client.sendall(b"220 x\r\n")
    for answer in (b"250 x\r\n", b"250 x\r\n", b"250 x\r\n"):
        client.recv(10_000)
        client.sendall(answer)
    client.recv(100)


def babbling_after_data(client: socket.socket) -> None:
    taking_a_mail(client)
    client.sendall(b"who is there?\r\n")


@pytest.mark.parametrize(
    ("script", "may_have_arrived"),
    [
        (silent, False),
        (babbling, False),
        (gone_before_data, False),
        (gone_after_data, True),
        (babbling_after_data, True),
    ],
)
def test_a_server_that_misbehaves_is_a_passing_failure(script: Script, may_have_arrived: bool) -> None:
    url, thread = scripted(script)
    with pytest.raises(DeliveryFailed) as failed:
        SmtpMailer(url, timeout=1).send(LETTER)
    assert failed.value.permanent is False
    assert failed.value.details.get("may_have_arrived", False) is may_have_arrived
    assert ("may have arrived" in failed.value.message) is may_have_arrived
    thread.join()


# Connections


@pytest.fixture
def trouble() -> Iterator[TroubleSink]:
    with TroubleSink() as running:
        yield running


def to(mailbox: str) -> OutgoingMail:
    return replace(LETTER, recipient=f"{mailbox}@sonla.example.vn")


def test_mails_go_over_one_connection_also_after_a_refusal(trouble: TroubleSink) -> None:
    mailer = SmtpMailer(trouble.url)
    for mailbox in ("ok-1", "ok-2", "no-1", "content-1", "ok-3"):
        with suppress(DeliveryFailed):
            mailer.send(to(mailbox))
    assert [done.befell for done in trouble.log] == ["taken", "taken", "refused", "refused", "taken"]
    assert trouble.connections == 1


def test_a_connection_that_the_server_closes_between_mails_costs_no_attempt(trouble: TroubleSink) -> None:
    mailer = SmtpMailer(trouble.url)
    for number in range(CLOSING_EVERY + 3):
        mailer.send(to(f"ok-{number}"))
    assert {done.befell for done in trouble.log} == {"taken"}
    assert len(trouble.log) == CLOSING_EVERY + 3
    assert trouble.connections == 2


def test_a_server_that_was_started_anew_is_no_failure(tmp_path: Path) -> None:
    with MailSink(tmp_path / "sink") as first:
        mailer = SmtpMailer(first.url)
        mailer.send(LETTER)
    with MailSink(tmp_path / "sink", port=first.port) as second:
        mailer.send(LETTER)
        assert len(second.messages()) == 2


def test_lines_are_left_when_nobody_uses_them_or_they_carried_enough(trouble: TroubleSink) -> None:
    lines = Lines(lambda: smtplib.SMTP("127.0.0.1", trouble.port, timeout=5))
    line = lines.take()
    lines.give_back(line)
    assert lines.take() is line
    line.carried = MOST_MAILS
    lines.give_back(line)
    other = lines.take()
    assert (other is line, line.connection.sock) == (False, None)
    lines.give_back(other)
    lines.close(idle=60)
    assert lines.take() is other
    lines.give_back(other)
    lines.close()
    assert other.connection.sock is None


def test_what_is_too_large_for_mail_names_another_way(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 20_000)
    with MailSink(tmp_path / "sink", max_bytes=10_000) as sink, pytest.raises(DeliveryFailed, match="portal"):
        mailer(sink).send(replace(LETTER, attachments=(("a", "a/b", tmp_path / "a"),)))


# What is never put on the wire


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x00", "\x85", "\u2028"])
@pytest.mark.parametrize("field", ["sender", "recipient", "subject", "message_id"])
def test_a_line_break_in_a_field_is_refused(sink: MailSink, field: str, end: str) -> None:
    injected: dict[str, Any] = {field: f"{getattr(LETTER, field)}{end}Bcc: x@y.vn"}
    with pytest.raises(Invalid):
        mailer(sink).send(replace(LETTER, **injected))
    assert sink.messages() == []


@pytest.mark.parametrize(
    "headers",
    [
        (("X-A", "a\r\nBcc: x@y.vn"),),
        (("X-A\r\nBcc", "x@y.vn"),),
        (("X-A: b", "c"),),
        (("Bcc", "x@y.vn"),),
        (("subject", "x"),),
        (("Content-Type", "text/html"),),
        (("X-A", "\ud800"),),
    ],
    ids=ascii,
)
def test_an_extra_header_cannot_break_out_or_replace_ours(headers: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(Invalid):
        Composed(replace(LETTER, headers=headers), NOW)


@pytest.mark.parametrize(
    ("name", "kind"), [("a\nb.pdf", "application/pdf"), ("a.pdf", "a/b\r\nX: y"), ("a.pdf", "pdf")]
)
def test_an_attachment_cannot_break_out_of_its_header(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(Invalid):
        Composed(replace(LETTER, attachments=((name, kind, tmp_path / "a"),)), NOW)


@pytest.mark.parametrize("recipient", ["", "vanthu", "a@b@c.vn", "a b@c.vn", "ngườidùng@sonla.example.vn", "a@-x.vn"])
def test_an_impossible_address_is_a_permanent_failure_without_a_connection(recipient: str) -> None:
    with pytest.raises(DeliveryFailed) as failed:
        SmtpMailer("smtp://127.0.0.1:1").send(replace(LETTER, recipient=recipient))
    assert failed.value.permanent is True


@pytest.mark.parametrize("recipient", ["vanthu@ubnd.local", "vanthu@localhost", "vanthu@sơn-la.vn"])
def test_addresses_of_the_house_and_of_the_world_are_possible(recipient: str) -> None:
    assert Composed(replace(LETTER, recipient=recipient), NOW).recipient.isascii()


def test_an_attachment_that_is_gone_is_a_passing_failure(tmp_path: Path) -> None:
    with pytest.raises(DeliveryFailed) as failed:
        Composed(replace(LETTER, attachments=(("a", "a/b", tmp_path / "gone"),)), NOW)
    assert failed.value.permanent is False


# Settings and the sink


def test_the_address_of_the_server_is_read_with_its_defaults() -> None:
    assert SmtpServer.parse("smtp://mail.vn") == SmtpServer("mail.vn", 25, "plain")
    assert SmtpServer.parse("smtp://mail.vn?starttls=1") == SmtpServer("mail.vn", 587, "starttls")
    assert SmtpServer.parse("smtps://a%40b:p%2Fw@mail.vn:4650") == SmtpServer("mail.vn", 4650, "tls", "a@b", "p/w")


@pytest.mark.parametrize(
    "url",
    ["", "mail.vn", "http://mail.vn", "smtp://", "smtp://x:99999", "smtp://u:s3cret@x?tls=1", "smtp://x?starttls=yes"],
)
def test_a_wrong_server_address_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        SmtpMailer(url)
    assert "s3cret" not in refused.value.message
    assert "smtp://user:password@host:port" in refused.value.message


def test_a_password_does_not_appear_when_the_server_is_printed() -> None:
    assert "s3cret" not in repr(SmtpServer.parse("smtp://u:s3cret@x"))


def test_a_sink_started_again_keeps_what_it_had(tmp_path: Path) -> None:
    for _ in range(2):
        with MailSink(tmp_path / "sink") as sink:
            mailer(sink).send(LETTER)
    assert [kept.path.name for kept in sink.messages()] == ["000001.eml", "000002.eml"]


def test_a_sink_on_a_taken_port_says_so(sink: MailSink, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="in use"):
        MailSink(tmp_path / "other", port=sink.port).start()


def test_a_sink_stops_while_a_client_is_connected(tmp_path: Path) -> None:
    sink = MailSink(tmp_path / "sink")
    sink.start()
    with socket.create_connection((sink.host, sink.port), timeout=5) as client:
        assert client.recv(100).startswith(b"220")
        sink.stop()
        assert client.recv(100) == b""
