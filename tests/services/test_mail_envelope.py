"""Where answers and reports of our mails go: the envelope, Reply-To, and what is asked of servers that report."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from docflow.adapters.mail.send import SmtpMailer
from docflow.adapters.mail.sink import MailSink
from docflow.domain.errors import DeliveryFailed, Invalid
from docflow.services.ports import OutgoingMail

LETTER = OutgoingMail(
    message_id="<15+a=b@bavi.example.vn>",
    sender="UBND huyện Ba Vì <vanthu@bavi.example.vn>",
    recipient="vanthu@sonla.example.vn",
    subject="Về việc họp",
    body="Kính gửi\n",
)
TAGGED = "vanthu+d-abc@bavi.example.vn"


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[MailSink]:
    with MailSink(tmp_path / "sink") as running:
        yield running


@pytest.mark.parametrize(
    ("return_path", "sender"),
    [(None, "vanthu@bavi.example.vn"), (TAGGED, TAGGED), ("", "<>"), (f"A <{TAGGED}>", TAGGED)],
)
def test_bounces_go_where_the_mail_says(sink: MailSink, return_path: str | None, sender: str) -> None:
    SmtpMailer(sink.url).send(replace(LETTER, return_path=return_path))
    (kept,) = sink.messages()
    assert (kept.sender, kept.message()["From"]) == (sender, LETTER.sender)


def test_answers_go_where_the_mail_says(sink: MailSink) -> None:
    SmtpMailer(sink.url).send(replace(LETTER, reply_to=TAGGED))
    SmtpMailer(sink.url).send(LETTER)
    assert [kept.message()["Reply-To"] for kept in sink.messages()] == [TAGGED, None]


@pytest.mark.parametrize("field", ["return_path", "reply_to"])
def test_these_addresses_cannot_break_out_of_their_line(sink: MailSink, field: str) -> None:
    with pytest.raises(Invalid):
        SmtpMailer(sink.url).send(replace(LETTER, **{field: "a@b.vn\r\nBcc: x@y.vn"}))  # type: ignore[arg-type]
    with pytest.raises(DeliveryFailed):
        SmtpMailer(sink.url).send(replace(LETTER, **{field: "nobody"}))  # type: ignore[arg-type]
    assert sink.messages() == []


@pytest.mark.parametrize("kind", ["message/rfc822", "message/delivery-status", "multipart/mixed"])
def test_a_whole_message_arrives_byte_for_byte_as_an_attachment(sink: MailSink, tmp_path: Path, kind: str) -> None:
    (tmp_path / "a").write_bytes(b"Subject: \xff\n.\nFrom here\r\n\x00")
    SmtpMailer(sink.url).send(replace(LETTER, attachments=(("thu.eml", kind, tmp_path / "a"),)))
    (part,) = sink.messages()[0].message().iter_attachments()
    assert (part.get_filename(), part.get_payload(decode=True)) == ("thu.eml", (tmp_path / "a").read_bytes())


class Reporting:
    """A server that can report on mails (RFC 3461) and keeps the commands of one mail."""

    def __init__(self, *, extensions: bytes = b"250-DSN\r\n") -> None:
        self.said: list[str] = []
        self._extensions = extensions
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"smtp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._listener, self._listener.accept()[0] as client, client.makefile("rb") as lines:
            client.settimeout(10)
            client.sendall(b"220 x\r\n")
            data = False
            for line in lines:
                if data and line != b".\r\n":
                    continue
                data = line == b"DATA\r\n"
                self.said.append(line.decode().strip())
                ehlo = b"250-x\r\n" + self._extensions + b"250 SIZE\r\n"
                client.sendall(ehlo if line.startswith(b"ehlo") else b"354 x\r\n" if data else b"250 x\r\n")
                if line == b"QUIT\r\n":
                    return

    def commands(self, mail: OutgoingMail) -> tuple[str, str]:
        SmtpMailer(self.url).send(mail)
        self._thread.join(10)
        sender, recipient = (next(s for s in self.said if s.startswith(name)) for name in ("mail", "rcpt"))
        return sender, recipient


def test_a_server_that_can_report_is_asked_to_name_the_mail_and_its_recipient() -> None:
    sender, recipient = Reporting().commands(replace(LETTER, return_path=TAGGED))
    assert sender.startswith(f"mail FROM:<{TAGGED}> size=")
    assert sender.endswith(" RET=HDRS ENVID=15+2Ba+3Db@bavi.example.vn")
    assert recipient.endswith(" NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;vanthu@sonla.example.vn")


def test_no_report_is_asked_for_where_nothing_is_to_come_back() -> None:
    sender, recipient = Reporting().commands(replace(LETTER, return_path=""))
    assert sender.startswith("mail FROM:<> size=")
    assert recipient.endswith(" NOTIFY=NEVER")


def test_a_mail_that_does_not_say_where_reports_go_asks_for_none() -> None:
    assert "RET" not in Reporting().commands(LETTER)[0]


def test_a_server_that_cannot_report_is_not_asked() -> None:
    sender, recipient = Reporting(extensions=b"").commands(replace(LETTER, return_path=TAGGED))
    assert "RET" not in sender + recipient


def test_an_id_too_long_for_an_envelope_is_left_out() -> None:
    long = replace(LETTER, message_id=f"<{'x' * 90}@bavi.example.vn>", return_path=TAGGED)
    assert "ENVID" not in Reporting().commands(long)[0]
