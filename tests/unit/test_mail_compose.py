from datetime import UTC, datetime
from email import policy
from email.header import decode_header, make_header
from email.parser import BytesParser
from email.utils import parseaddr

import pytest

from docflow.adapters.mail.compose import Composed
from docflow.services.ports import OutgoingMail

WORDS = "Về việc triển khai công tác cải cách hành chính và chuyển đổi số năm 2026 trên địa bàn huyện Bình Minh, đợt 2"


@pytest.mark.parametrize("length", range(1, len(WORDS) + 1))
def test_a_subject_and_a_name_arrive_as_they_were_written(length: int) -> None:
    subject = WORDS[:length].strip()
    name = subject.replace(",", "")[:60].strip()
    mail = OutgoingMail("<a@b.example>", f'"{name}" <a@b.example>', "c@d.example", subject, "Kính gửi")
    wire = b"".join(Composed(mail, datetime(2026, 3, 2, tzinfo=UTC)).wire())
    assert max(map(len, wire.splitlines())) <= 998
    read = BytesParser(policy=policy.compat32).parsebytes(wire)
    assert str(make_header(decode_header(read["Subject"]))) == subject
    written, address = parseaddr(read["From"])
    assert str(make_header(decode_header(written))) == name
    assert address == "a@b.example"
