"""The listener as a mail server meets it: real sockets, each refusal with its code, and 250 only for what is kept."""

import asyncio
import contextlib
import datetime
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from docflow.adapters.mail.listen import MailListener
from docflow.adapters.mail.listen_at import Address, Certificate, addresses
from docflow.domain.errors import ConfigInvalid, TooLarge, Unavailable
from docflow.domain.intake_settings import ListenerSettings
from docflow.services.listening import Handed, lets_in, presentable, takes_for

OURS = "vanthu@binhminh.example"
SENDER = "stc@tinh.example"
LETTER = b"From: stc@tinh.example\r\nSubject: V/v\r\n\r\nKinh gui.\r\n"
LIMIT = 200_000


@dataclass
class Office:
    """Keeps what it takes in a list; ``trouble`` is raised instead, ``held`` lets nothing be taken until it is set."""

    rules: ListenerSettings = field(default_factory=lambda: ListenerSettings(recipients=(OURS,)))
    trouble: Exception | None = None
    blind: Exception | None = None
    kept: list[tuple[bytes, Handed]] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)
    listener: MailListener | None = None
    loop: asyncio.AbstractEventLoop | None = None
    port: int = 0

    async def read_rules(self) -> ListenerSettings:
        if self.blind:
            raise self.blind
        return self.rules

    async def take(self, letter: BinaryIO, handed: Handed) -> str:
        self.reached.set()
        await asyncio.to_thread(self.held.wait, 30)
        if self.trouble:
            raise self.trouble
        self.kept.append((letter.read(), handed))
        return f"number-{len(self.kept)}"

    def connect(self) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.port, local_hostname="mx.tinh.example", timeout=20)

    def lmtp(self) -> smtplib.LMTP:
        return smtplib.LMTP("127.0.0.1", self.port, local_hostname="mx.tinh.example")

    def stop(self, patience: float) -> "Future[None]":
        assert self.listener is not None
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(self.listener.stop(patience), self.loop)


Opened = Callable[..., contextlib.AbstractContextManager[Office]]


@contextlib.contextmanager
def opened(at: Address | None = None, **options: Any) -> Iterator[Office]:
    office, started, over = Office(), Future[None](), threading.Event()
    office.held.set()

    async def work() -> None:
        listener = MailListener(office.read_rules, office.take, **({"size_limit": LIMIT} | options))
        try:
            await listener.start(at or Address("smtp", "127.0.0.1", 0))
        except BaseException as error:  # noqa: BLE001 - the test raises it
            started.set_exception(error)
            return
        office.listener, office.loop, office.port = listener, asyncio.get_running_loop(), (listener.ports or [0])[0]
        started.set_result(None)
        await asyncio.to_thread(over.wait)
        await listener.stop(5)

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    try:
        started.result(20)
        yield office
    finally:
        office.held.set()
        over.set()
        thread.join()


@pytest.fixture
def office() -> Iterator[Office]:
    with opened() as office:
        yield office


def code(answer: tuple[int, bytes]) -> tuple[int, str]:
    """The code and the enhanced one, where it carries one."""
    words = answer[1].decode().split()
    return answer[0], words[0] if words and words[0][:1].isdigit() else ""


def ready_for_data(client: smtplib.SMTP) -> smtplib.SMTP:
    client.ehlo_or_helo_if_needed()
    client.mail(SENDER)
    client.rcpt(OURS)
    return client


def raw(office: Office, *said: bytes) -> list[bytes]:
    """The last answer to each, from a client that keeps to no rule."""
    with socket.create_connection(("127.0.0.1", office.port), timeout=20) as plain, plain.makefile("rb") as answers:
        heard = [_answer(answers)]
        for words in said:
            plain.sendall(words)
            heard.append(_answer(answers))
        return heard[1:]


def _answer(answers: Any) -> bytes:
    while (line := answers.readline()) and line[3:4] == b"-":
        pass
    return bytes(line)


def test_a_letter_is_kept_as_it_came_with_its_envelope(office: Office) -> None:
    body = b"Subject: x\r\n\r\n" + "Ủy ban".encode() + b"\r\n.\r\n..hai\r\n" + b"\xff\x00\rlone\r\n"
    with office.connect() as client:
        client.ehlo()
        assert client.mail(SENDER)[0] == 250
        assert client.rcpt(OURS)[0] == 250
        answer = client.data(body)
    assert answer == (250, b"2.0.0 Kept as number-1")
    ((kept, handed),) = office.kept
    assert kept == body
    assert handed == Handed("smtp", SENDER, (OURS,), "127.0.0.1")


def test_two_recipients_are_one_letter_and_a_session_brings_many(office: Office) -> None:
    office.rules = ListenerSettings(recipients=("*@binhminh.example",))
    with office.connect() as client:
        for number in range(3):
            refused = client.sendmail("", [f"a{number}@binhminh.example", "b@binhminh.example"], LETTER)
            assert refused == {}
    assert office.kept[0][1].recipients == ("a0@binhminh.example", "b@binhminh.example")
    assert [handed.mail_from for _, handed in office.kept] == ["", "", ""]


def test_only_those_named_are_recipients_their_plus_addresses_too_and_the_postmaster(office: Office) -> None:
    with office.connect() as client:
        client.ehlo()
        client.mail(SENDER)
        for address in (OURS, "VanThu+abc@BinhMinh.example", "postmaster", "Postmaster@binhminh.example"):
            assert code(client.rcpt(address)) == (250, "2.1.5")
        for address in ("chutich@binhminh.example", "vanthu@khac.example", "postmaster@khac.example", "vanthu"):
            assert code(client.rcpt(address)) == (550, "5.1.1")
        assert client.data(LETTER)[0] == 250
    assert len(office.kept[0][1].recipients) == 4


def test_a_letter_for_nobody_here_is_refused_before_its_data(office: Office) -> None:
    with office.connect() as client:
        client.ehlo()
        client.mail(SENDER)
        client.rcpt("khac@khac.example")
        assert client.docmd("DATA")[0] == 503
    assert office.kept == []


def test_size_is_refused_when_announced_and_when_it_comes(office: Office) -> None:
    with office.connect() as client:
        client.ehlo()
        assert client.esmtp_features["size"] == str(LIMIT)
        assert client.mail(SENDER, [f"SIZE={LIMIT + 1}"])[0] == 552
        ready_for_data(client)
        assert code(client.data(b"Subject: x\r\n\r\n" + b"a" * 70 * 4000)) == (552, "5.3.4")
        ready_for_data(client)
        exact = b"Subject: x\r\n\r\n" + b"a" * (LIMIT - 16) + b"\r\n"
        assert client.data(exact)[0] == 250
    assert [kept for kept, _ in office.kept] == [exact]


def test_a_letter_too_large_for_what_takes_it_is_refused_for_good(office: Office) -> None:
    office.trouble = TooLarge("The letter is larger than allowed.")
    with office.connect() as client:
        assert code(ready_for_data(client).data(LETTER)) == (552, "5.3.4")


@pytest.mark.parametrize("trouble", [Unavailable("The store is down."), RuntimeError("a bug"), MemoryError()])
def test_trouble_of_ours_is_a_try_again_and_the_session_goes_on(office: Office, trouble: Exception) -> None:
    office.trouble = trouble
    with office.connect() as client:
        assert code(ready_for_data(client).data(LETTER)) == (451, "4.3.0")
        office.trouble = None
        assert ready_for_data(client).data(LETTER)[0] == 250
    assert len(office.kept) == 1


def test_rules_that_cannot_be_read_are_a_try_again_at_each_command(office: Office) -> None:
    with office.connect() as client:
        client.ehlo()
        office.blind = RuntimeError("no database")
        assert code(client.mail(SENDER)) == (451, "4.3.0")
        office.blind = None
        client.mail(SENDER)
        office.blind = RuntimeError("no database")
        assert code(client.rcpt(OURS)) == (451, "4.3.0")
    with pytest.raises(smtplib.SMTPConnectError) as refused:
        office.connect()
    assert refused.value.smtp_code == 421


def test_a_client_outside_the_networks_is_refused_at_the_greeting(office: Office) -> None:
    inside = office.connect()
    inside.ehlo()
    office.rules = ListenerSettings(recipients=(OURS,), networks=("10.0.0.0/8",))
    assert code(inside.mail(SENDER)) == (554, "5.7.1")
    inside.close()
    with pytest.raises(smtplib.SMTPConnectError) as refused:
        office.connect()
    assert refused.value.smtp_code == 554


def test_a_bare_line_feed_ends_no_letter(office: Office) -> None:
    start = (b"EHLO x\r\n", b"MAIL FROM:<a@b.example>\r\n", f"RCPT TO:<{OURS}>\r\n".encode(), b"DATA\r\n")
    smuggled = b"MAIL FROM:<chutich@binhminh.example>\r\nRCPT TO:<vanthu@binhminh.example>\r\nDATA\r\nfalse\r\n"
    for end in (b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n"):
        assert raw(office, *start, b"true" + end + smuggled + b".\r\n")[-1].startswith(b"250")
    assert len(office.kept) == 6
    assert all(kept.startswith(b"true") and kept.endswith(b"false\r\n") for kept, _ in office.kept)


def test_long_lines_of_a_letter_are_kept_and_long_commands_refused(office: Office) -> None:
    long = b"Subject: x\r\n\r\n" + b"." + b"y" * 150_000 + b"\r\n.z\r\n"
    with office.connect() as client:
        assert ready_for_data(client).data(long)[0] == 250
        assert client.docmd("NOOP " + "x" * 600)[0] == 500
        assert client.docmd("NOOP " + "x" * 5000)[0] == 500
        assert client.noop()[0] == 250
    assert office.kept[0][0] == long


def test_commands_may_come_in_one_piece(office: Office) -> None:
    one = f"MAIL FROM:<a@b.example>\r\nRCPT TO:<{OURS}>\r\nDATA\r\n".encode()
    with socket.create_connection(("127.0.0.1", office.port), timeout=20) as plain, plain.makefile("rb") as answers:
        _answer(answers)
        plain.sendall(b"EHLO x\r\n")
        _answer(answers)
        plain.sendall(one + LETTER + b".\r\n" + one + b".\r\nQUIT\r\n")
        assert [answers.readline()[:3] for _ in range(9)] == [b"250", b"250", b"354", b"250"] * 2 + [b"221"]
    assert [kept for kept, _ in office.kept] == [LETTER, b""]


def test_a_flood_of_commands_ends_the_session(office: Office) -> None:
    with office.connect() as client:
        assert {client.docmd("VRFY", "a@b.example")[0] for _ in range(100)} == {252}
        assert client.docmd("VRFY", "a@b.example")[0] == 421
    with office.connect() as client:
        assert [client.docmd("NONSENSE")[0] for _ in range(5)] == [500, 500, 500, 500, 502]


def test_a_letter_has_so_many_recipients_and_the_others_are_sent_after_it(office: Office) -> None:
    with office.connect() as client:
        client.ehlo()
        client.mail(SENDER)
        answers = [client.rcpt(f"vanthu+{number}@binhminh.example")[0] for number in range(101)]
        assert answers == [250] * 100 + [452]


def test_nobody_signs_in(office: Office) -> None:
    with office.connect() as client:
        client.ehlo()
        assert "auth" not in client.esmtp_features
        assert client.docmd("AUTH", "PLAIN AGEAYg==")[0] == 502


def test_addresses_beyond_ascii_are_understood_and_bytes_that_are_none_do_no_harm(office: Office) -> None:
    office.rules = ListenerSettings(recipients=("văn-thư@binhminh.example",))
    with office.connect() as client:
        client.ehlo()
        assert "smtputf8" in client.esmtp_features
        assert client.mail("sở@tinh.example", ["SMTPUTF8", "BODY=8BITMIME"])[0] == 250
        assert client.rcpt("Văn-Thư@binhminh.example")[0] == 250
        assert client.data(LETTER)[0] == 250
    to = "RCPT TO:<văn-thư@binhminh.example>\r\n".encode()
    said = raw(office, b"EHLO x\r\n", b"MAIL FROM:<s\xff\x01@b.example>\r\n", to, b"DATA\r\n", LETTER + b".\r\n")
    assert said[-1].startswith(b"250")
    assert [handed.mail_from for _, handed in office.kept] == ["sở@tinh.example", "s�?@b.example"]


def test_a_client_that_leaves_halfway_leaves_nothing(office: Office) -> None:
    assert raw(
        office,
        b"EHLO x\r\n",
        b"MAIL FROM:<a@b.example>\r\n",
        f"RCPT TO:<{OURS}>\r\n".encode(),
        b"DATA\r\n",
    )[-1].startswith(b"354")
    with office.connect() as client:
        assert ready_for_data(client).data(LETTER)[0] == 250
    assert len(office.kept) == 1


def test_a_client_that_says_nothing_is_let_go() -> None:
    with opened(idle=0.2) as office, socket.create_connection(("127.0.0.1", office.port), timeout=20) as plain:
        assert plain.recv(100).startswith(b"220")
        assert plain.recv(100) == b""


def test_a_letter_that_comes_slowly_is_not_cut() -> None:
    with opened(idle=1.0) as office, socket.create_connection(("127.0.0.1", office.port), timeout=20) as plain:
        answers = plain.makefile("rb")
        _answer(answers)
        for said in (b"EHLO x\r\n", b"MAIL FROM:<a@b.example>\r\n", f"RCPT TO:<{OURS}>\r\n".encode(), b"DATA\r\n"):
            plain.sendall(said)
            _answer(answers)
        pause = threading.Event()
        for _ in range(15):
            plain.sendall(b"y")
            pause.wait(0.1)
        plain.sendall(b"\r\n.\r\n")
        assert answers.readline().startswith(b"250")
        answers.close()


def test_so_many_clients_at_once_and_no_more() -> None:
    with opened(most_clients=2) as office:
        first, second = office.connect(), office.connect()
        with pytest.raises(smtplib.SMTPConnectError) as refused:
            office.connect()
        assert refused.value.smtp_code == 421
        first.quit()
        second.quit()


def test_stopping_finishes_the_letter_in_hand_and_sends_the_others_away(office: Office) -> None:
    idle, working = office.connect(), ready_for_data(office.connect())
    office.held.clear()
    answer: Future[tuple[int, bytes]] = Future()
    sending = threading.Thread(target=lambda: answer.set_result(working.data(LETTER)))
    sending.start()
    assert office.reached.wait(20)
    stopped = office.stop(20)
    assert idle.getreply()[0] == 421
    with pytest.raises((OSError, smtplib.SMTPException)):
        office.connect()
    office.held.set()
    assert answer.result(20)[0] == 250
    stopped.result(20)
    sending.join()
    assert len(office.kept) == 1
    idle.close()
    working.close()


def test_a_letter_that_cannot_be_finished_is_never_answered_with_250(office: Office) -> None:
    working = ready_for_data(office.connect())
    office.held.clear()
    answer: Future[object] = Future()

    def send() -> None:
        try:
            answer.set_result(working.data(LETTER))
        except (OSError, smtplib.SMTPException) as error:
            answer.set_result(error)

    sending = threading.Thread(target=send)
    sending.start()
    assert office.reached.wait(20)
    office.stop(0.1).result(20)
    assert isinstance(answer.result(20), Exception)
    sending.join()
    working.close()


def test_lmtp_answers_once_for_each_recipient() -> None:
    with opened(Address("lmtp", "127.0.0.1", 0)) as office, office.lmtp() as client:
        client.ehlo()
        assert client.docmd("EHLO", "x")[0] == 500
        client.mail(SENDER)
        to = [OURS, "vanthu+1@binhminh.example", "khac@khac.example", OURS]
        assert [client.rcpt(address)[0] for address in to] == [250, 250, 550, 250]
        assert [client.data(LETTER)[0], client.getreply()[0], client.getreply()[0]] == [250, 250, 250]
        assert client.noop()[0] == 250
        office.trouble = Unavailable("The store is down.")
        client.mail(SENDER)
        for address in to[:2]:
            client.rcpt(address)
        assert [client.data(LETTER)[0], client.getreply()[0]] == [451, 451]
        assert client.noop()[0] == 250
    assert len(office.kept) == 1
    assert office.kept[0][1].source == "lmtp"
    assert office.kept[0][1].recipients == (OURS, "vanthu+1@binhminh.example")


def test_lmtp_listens_on_a_socket_that_only_its_owner_and_group_reach(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    with opened(Address("lmtp", path=str(path))) as office:
        office.rules = ListenerSettings(recipients=(OURS,), networks=(), require_tls=True)
        assert path.stat().st_mode & 0o777 == 0o660
        with smtplib.LMTP(str(path)) as client:
            client.ehlo()
            client.mail(SENDER)
            client.rcpt(OURS)
            assert client.data(LETTER)[0] == 250
    assert office.kept[0][1].peer == ""


def self_signed(folder: Path, name: str) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    day = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(day - datetime.timedelta(days=1))
    signed = made.not_valid_after(day + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    (folder / "certificate.pem").write_bytes(signed.public_bytes(pem))
    return Certificate(folder / "certificate.pem", folder / "key.pem")


def shown(office: Office) -> str:
    """The name in the certificate that a client is shown."""
    with office.connect() as client:
        client.ehlo()
        assert client.starttls(context=ssl._create_unverified_context())[0] == 220
        assert isinstance(client.sock, ssl.SSLSocket)
        der = client.sock.getpeercert(binary_form=True)
        assert der is not None
        return str(x509.load_der_x509_certificate(der).subject.rfc4514_string())


def test_tls_is_offered_can_be_required_and_follows_a_new_certificate(tmp_path: Path) -> None:
    with opened(certificate=self_signed(tmp_path, "cu")) as office:
        office.rules = ListenerSettings(recipients=(OURS,), require_tls=True)
        with office.connect() as client:
            client.ehlo()
            assert code(client.mail(SENDER)) == (530, "5.7.0")
            client.starttls(context=ssl._create_unverified_context())
            assert client.sendmail(SENDER, [OURS], LETTER) == {}
        assert shown(office) == "CN=cu"
        self_signed(tmp_path, "moi")
        assert shown(office) == "CN=moi"
        (tmp_path / "certificate.pem").write_text("hỏng")
        assert shown(office) == "CN=moi"


def test_required_tls_without_a_certificate_takes_nothing(office: Office) -> None:
    office.rules = ListenerSettings(recipients=(OURS,), require_tls=True)
    with office.connect() as client:
        client.ehlo()
        assert "starttls" not in client.esmtp_features
        assert client.mail(SENDER)[0] == 530


def test_what_was_said_before_tls_is_forgotten(tmp_path: Path) -> None:
    with (
        opened(certificate=self_signed(tmp_path, "cu")) as office,
        socket.create_connection(("127.0.0.1", office.port), timeout=20) as plain,
    ):
        with plain.makefile("rb", buffering=0) as bare:
            _answer(bare)
            for said in (b"EHLO x\r\n", b"STARTTLS\r\nMAIL FROM:<injected@b.example>\r\n"):
                plain.sendall(said)
                _answer(bare)
        with ssl._create_unverified_context().wrap_socket(plain) as safe, safe.makefile("rb") as answers:
            safe.sendall(b"EHLO x\r\n")
            _answer(answers)
            safe.sendall(f"RCPT TO:<{OURS}>\r\n".encode())
            assert answers.readline().startswith(b"503")


@pytest.mark.parametrize("said", [b"no handshake at all\r\n" * 20, b""])
def test_a_handshake_that_fails_or_never_comes_frees_its_place(tmp_path: Path, said: bytes) -> None:
    with opened(certificate=self_signed(tmp_path, "cu"), idle=0.5, most_clients=1) as office:
        with socket.create_connection(("127.0.0.1", office.port), timeout=20) as plain:
            with plain.makefile("rb", buffering=0) as answers:
                _answer(answers)
                for words in (b"EHLO x\r\n", b"STARTTLS\r\n"):
                    plain.sendall(words)
                    _answer(answers)
            plain.sendall(said)
            assert office.listener is not None
            with contextlib.suppress(ConnectionResetError):
                while plain.recv(1000):
                    pass
        within = time.monotonic() + 20
        while office.listener.clients:
            assert time.monotonic() < within
            time.sleep(0.01)
        with office.connect() as client:
            assert client.noop()[0] == 250


def test_a_certificate_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="DOCFLOW_SMTP_TLS_CERTIFICATE"):
        Certificate(tmp_path / "none.pem", None)


def test_where_to_listen_is_read_in_each_of_its_forms() -> None:
    assert addresses("") == ()
    assert addresses("0.0.0.0:25, smtp://[::1]:2525,lmtp://127.0.0.1:24 ,lmtp:/run/docflow/lmtp") == (
        Address("smtp", "0.0.0.0", 25),
        Address("smtp", "::1", 2525),
        Address("lmtp", "127.0.0.1", 24),
        Address("lmtp", path="/run/docflow/lmtp"),
    )


@pytest.mark.parametrize(
    "text",
    [
        *("localhost", "2525", ":2525", "http://a:1", "smtp://a", "smtp://a:b", "a:70000", "lmtp:path", "smtp:/path"),
        *("smtp://user@a:1", "smtp://a:1/path", "lmtp:/", "a:1;b:2", "smtp://a:1?x=1"),
    ],
)
def test_an_address_that_is_none_is_told_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(ConfigInvalid, match="write host:port") as told:
        addresses(f"127.0.0.1:25,{text}")
    assert len(told.value.details["problems"]) == 1


def test_networks_are_of_both_families_and_a_mapped_address_is_an_ipv4_one() -> None:
    rules = ListenerSettings(networks=("10.0.0.0/8", "fd00::/8"))
    assert all(lets_in(rules, peer) for peer in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1", ""))
    assert not any(lets_in(rules, peer) for peer in ("11.1.2.3", "::ffff:11.1.2.3", "fe80::1%eth0", "::1"))


def test_an_office_without_recipients_still_has_its_postmaster() -> None:
    rules = ListenerSettings()
    assert takes_for(rules, "postmaster")
    assert not takes_for(rules, "postmaster@binhminh.example")
    assert not takes_for(rules, OURS)
    assert takes_for(ListenerSettings(recipients=("*@binhminh.example",)), "bất-kỳ@binhminh.example")


def test_what_the_ledger_cannot_hold_becomes_a_question_mark() -> None:
    assert presentable("a\udcff\x00b@c") == "a�?b@c"
