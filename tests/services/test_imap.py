"""The adapter against a real IMAP server."""

import itertools
import socketserver
import threading
import time
from datetime import UTC, date, datetime
from io import BytesIO
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr

from docflow.adapters.mail.imap import PIECE, ImapMailbox, sign_in
from docflow.domain.errors import ConfigInvalid, Invalid, Unavailable
from docflow.domain.intake_settings import MailboxSettings
from docflow.services.mailboxes import Place
from tests.dovecot import Dovecot, MailAccount
from tests.mail_office import boxes, never, signed_in
from tests.mailbox import mail

WITHOUT_MOVE = "imap_capability = IMAP4rev1 UIDPLUS NAMESPACE"
WITH_NOTHING = "imap_capability = IMAP4rev1"
OTHER_NAMES = """
namespace inbox {
  inbox = yes
  prefix = INBOX.
  separator = .
}
"""


def fetched(box: ImapMailbox, uid: int) -> bytes:
    into = BytesIO()
    assert box.fetch(uid, into)
    return into.getvalue()


def test_a_mail_is_fetched_byte_for_byte_and_stays_unread(account: MailAccount) -> None:
    raw = mail(b"Kinh gui\r\n\r\n" + bytes(range(128, 256)) + b"\r\n")
    account.put(raw)
    box = signed_in(account)
    box.open("inbox")
    (uid,) = box.uids()
    assert fetched(box, uid) == raw
    assert account.flags() == [set()]


@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_a_mail_of_several_pieces_is_put_together(account: MailAccount, size: int) -> None:
    head = mail(b"")
    raw = head + b"x" * (size - len(head) - 2) + b"\r\n"
    account.put(raw)
    box = signed_in(account)
    box.open("inbox")
    assert fetched(box, box.uids()[0]) == raw
    assert len(raw) == size


class Odd(socketserver.StreamRequestHandler):
    """A server with one mail, which answers FETCH as it likes."""

    answer: ClassVar[list[bytes]] = []

    def handle(self) -> None:
        self.wfile.write(b"* OK [CAPABILITY IMAP4rev1 UIDPLUS] odd\r\n")
        answers = {
            b"CAPABILITY": [b"* CAPABILITY IMAP4rev1 UIDPLUS"],
            b"LIST": [b'* LIST () "/" "Processed"'],
            b"SELECT": [b"* 1 EXISTS", b"* OK [UIDVALIDITY 1] is"],
            b"SEARCH": [b"* SEARCH 1"],
            b"FETCH": self.answer,
        }
        for line in self.rfile:
            tag, *words = line.split()
            verb = words[1] if words[0] == b"UID" else words[0]
            for said in answers.get(verb, []):
                if said == b"hang up":
                    return
                self.wfile.write(said + b"\r\n")
            refused = verb == b"FETCH" and not self.answer
            self.wfile.write(tag + (b" NO" if refused else b" OK") + b" said\r\n")


def odd_box(*answer: bytes) -> tuple[ImapMailbox, socketserver.TCPServer]:
    class Handler(Odd):
        pass

    Handler.answer = list(answer)
    server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.handle_request).start()
    settings = MailboxSettings(name="vanthu", url=f"imap://a@127.0.0.1:{server.server_address[1]}/INBOX")
    boxes.append(sign_in(settings, SecretStr("a")))
    return boxes[-1], server


def test_a_server_that_knows_no_pieces_is_read_at_once() -> None:
    box, server = odd_box(b"* 1 FETCH (UID 1 RFC822.SIZE 6 BODY[] {6}\r\nA: b\r\n)")
    box.open("inbox")
    assert fetched(box, 1) == b"A: b\r\n"
    server.server_close()


@pytest.mark.parametrize("answer", [(), (b"* 1 FETCH (UID 1 RFC822.SIZE 6)",)])
def test_a_mail_that_a_server_does_not_hand_out_is_not_taken_for_an_empty_one(answer: tuple[bytes, ...]) -> None:
    box, server = odd_box(*answer)
    box.open("inbox")
    with pytest.raises(Invalid):
        box.fetch(1, BytesIO())
    server.server_close()


def test_a_server_that_hangs_up_within_a_mail_is_unavailable() -> None:
    box, server = odd_box(b"* 1 FETCH (UID 1 RFC822.SIZE 60 BODY[]<0> {60}\r\nA: b\r\n", b"hang up")
    box.open("inbox")
    with pytest.raises(Unavailable, match="does not answer"):
        box.fetch(1, BytesIO())
    server.server_close()


def test_mails_are_never_moved_to_where_they_lie(account: MailAccount) -> None:
    with pytest.raises(ConfigInvalid, match="would move mails to where they lie"):
        signed_in(account, processed="INBOX")


def removed(account: MailAccount, uid: int) -> None:
    with account.client() as other:
        other.select_folder("INBOX")
        other.delete_messages([uid])
        other.uid_expunge([uid])


def test_a_mail_that_somebody_removed_meanwhile_is_not_taken_for_an_empty_one(account: MailAccount) -> None:
    account.put(mail())
    box = signed_in(account)
    box.open("inbox")
    (uid,) = box.uids()
    assert not box.fetch(uid + 1, BytesIO())
    removed(account, uid)
    assert not box.fetch(uid, BytesIO())


def test_a_mail_that_somebody_removes_between_two_pieces_is_not_taken_for_a_shorter_one(account: MailAccount) -> None:
    account.put(mail(b"") + b"x" * 3 * PIECE)

    class Removing(BytesIO):
        def write(self, piece: Any) -> int:
            if not self.tell():
                removed(account, 1)
            return super().write(piece)

    box = signed_in(account)
    box.open("inbox")
    into = Removing()
    assert box.fetch(1, into) == (len(into.getvalue()) > 3 * PIECE)


def test_an_empty_mail_is_one_too(account: MailAccount) -> None:
    account.put(b"\r\n")
    box = signed_in(account)
    box.open("inbox")
    assert fetched(box, 1) == b"\r\n"


def test_a_mail_moves_to_a_folder_made_for_it_and_its_new_place_is_told(account: MailAccount) -> None:
    account.put(mail())
    box = signed_in(account, processed="Đã nhận/2026")
    box.open("inbox")
    (uid,) = box.uids()
    lies = box.move(uid, "processed")
    validity = box.open("processed")
    assert validity
    assert lies == Place("Đã nhận/2026", validity, 1)
    assert box.present([1, 2]) == {1}
    assert account.mails() == {}


def test_a_mail_that_somebody_moved_meanwhile_is_no_error(account: MailAccount) -> None:
    account.put(mail())
    box = signed_in(account)
    box.open("inbox")
    (uid,) = box.uids()
    signed_in(account).open("inbox")
    other = signed_in(account)
    other.open("inbox")
    other.move(uid, "quarantine")
    assert box.move(uid, "processed") is None
    assert len(account.mails("Quarantine")) == 1


def test_a_folder_that_was_removed_is_made_again(account: MailAccount) -> None:
    account.put(mail())
    box = signed_in(account)
    with account.client() as other:
        other.delete_folder("Processed")
    box.open("inbox")
    assert box.move(box.uids()[0], "processed") is not None
    assert len(account.mails("Processed")) == 1


def test_only_the_named_mail_leaves_a_server_that_cannot_move() -> None:
    with Dovecot(WITHOUT_MOVE) as server:
        account = server.account()
        for number in range(3):
            account.put(mail(Message_ID=f"<{number}@x>"))
        with account.client() as other:
            other.select_folder("INBOX")
            other.delete_messages([1])  # somebody else's, marked but not expunged
        box = signed_in(account)
        assert not box.keeps
        box.open("inbox")
        assert box.move(2, "processed") is not None
        assert list(account.mails()) == [1, 3]
        assert len(account.mails("Processed")) == 1
        assert box.move(2, "processed") is None


def test_on_a_server_that_can_neither_move_nor_remove_one_mail_they_stay() -> None:
    with Dovecot(WITH_NOTHING) as server:
        account = server.account()
        account.put(mail())
        box = signed_in(account)
        assert box.keeps
        assert not box.pushes
        box.open("inbox")
        assert box.uids() == [1]
        assert account.mails("Processed") == {}


def test_folders_follow_the_namespace_and_delimiter_of_the_server() -> None:
    with Dovecot(OTHER_NAMES) as server:
        account = server.account()
        account.put(mail())
        box = signed_in(account, quarantine="Cong van/Cho xem")
        box.open("inbox")
        lies = box.move(1, "quarantine")
        assert lies is not None
        assert lies.folder == "Cong van/Cho xem"
        assert len(account.mails("INBOX.Cong van.Cho xem")) == 1


def test_uids_begin_where_it_was_read_to_although_a_range_always_holds_the_last(account: MailAccount) -> None:
    for number in range(3):
        account.put(mail(Message_ID=f"<{number}@x>"))
    box = signed_in(account)
    box.open("inbox", to_look=True)
    assert box.uids(after=1) == [2, 3]
    assert box.uids(after=3) == []
    assert box.uids(after=100) == []


def test_mails_are_found_by_the_day_they_were_received(account: MailAccount) -> None:
    account.put(mail(Message_ID="<old@x>"), at=datetime(2026, 1, 5, 3, tzinfo=UTC))
    account.put(mail(Message_ID="<new@x>"), at=datetime(2026, 3, 2, 3, tzinfo=UTC))
    box = signed_in(account)
    box.open("inbox", to_look=True)
    assert box.uids(since=date(2026, 3, 1)) == [2]
    about = box.about([1, 2])
    assert about[2].message_id == "<new@x>"
    assert about[1].since == datetime(2026, 1, 5, 3, tzinfo=UTC)


def test_another_uidvalidity_is_told(account: MailAccount) -> None:
    account.put(mail())
    first = signed_in(account)
    before = first.open("inbox")
    first.leave()
    account.remake()
    time.sleep(1.1)  # Dovecot's UIDVALIDITY is the second in which the folder was made
    account.put(mail())
    assert signed_in(account).open("inbox") != before


def test_a_mail_that_comes_while_waiting_ends_the_wait(account: MailAccount) -> None:
    box = signed_in(account)
    box.open("inbox")
    delivery = threading.Timer(0.3, account.deliver, [mail()])
    delivery.start()
    box.wait(60, never)
    delivery.join()
    box.open("inbox")
    assert box.uids() == [1]


def test_a_mail_that_came_while_another_was_read_needs_no_waiting(account: MailAccount) -> None:
    account.put(mail())
    box = signed_in(account)
    box.open("inbox")
    box.uids()
    account.put(mail(Message_ID="<2@x>"))
    fetched(box, 1)
    asked = itertools.count()
    box.wait(60, lambda: next(asked) > 5)
    assert next(asked) <= 1, "it waited although it had been told"


def test_waiting_ends_when_the_worker_stops(account: MailAccount) -> None:
    box = signed_in(account)
    box.open("inbox")
    box.wait(60, lambda: True)
    assert box.open("inbox") is not None


def test_a_server_that_goes_away_while_waiting_is_told_as_unavailable() -> None:
    with Dovecot() as server:
        box = signed_in(server.account())
        box.open("inbox")
        stop = threading.Timer(0.3, server.stop)
        stop.start()
        with pytest.raises(Unavailable, match="does not answer"):
            box.wait(60, never)
        stop.join()
