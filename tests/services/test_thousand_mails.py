"""A thousand mails of trouble: each ends as a document, as a duplicate or in quarantine for the right reason; none
raises, none stands in the way of another, and no byte is lost."""

import hashlib
import random
import re
import resource
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest

from docflow.adapters.mail.parse import LimitedMailParser
from docflow.domain.errors import UnsupportedFile
from docflow.services.asked import Asked
from docflow.services.intake import Envelope, Received, receive, take_in
from tests.conftest import District
from tests.moves import whole
from tests.trouble import KINDS, Author, Trouble, bodies, files, troubles

COUNT = 1_000
THREADS = 3
SEED = 20260302
STRANGE = re.compile("[/\\\\\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
CPU_SECONDS = 5
"""What a mail of any shape may cost (issue 4)."""


def bring(district: District, raw: bytes, place: str) -> Received:
    container = district.container
    taken = take_in(container.intake_tools, BytesIO(raw), Envelope("mailbox", "thu", place))
    with container.sessions.begin() as session:
        return receive(session, container.pictures, taken, Asked(container.clock(), "mail"))


def outcome(received: Received) -> str:
    return f"quarantine:{received.reason_code}" if received.state == "quarantine" else received.state


def wrong_ends(mails: list[Trouble], received: list[Received]) -> list[str]:
    """Of each letter one mail ends as stated, and all others as duplicates."""
    ends: dict[str, Counter[str]] = defaultdict(Counter)
    stated = {mail.letter: mail for mail in mails}
    for mail, one in zip(mails, received, strict=True):
        ends[mail.letter][outcome(one)] += 1
    found = []
    for letter, counted in ends.items():
        mail = stated[letter]
        expected = Counter({mail.ends: 1}) + Counter(duplicate=counted.total() - 1)
        if counted != expected:
            found.append(f"{letter}: stated {dict(expected)}, ended {dict(counted)}")
    return found


def test_a_thousand_mails_of_trouble_end_as_they_must(district: District) -> None:
    assert len({kind.name for kind in KINDS}) >= 40
    mails = troubles(SEED, COUNT)
    with ThreadPoolExecutor(THREADS) as pool:
        received = list(pool.map(lambda n: bring(district, mails[n].raw, f"uid:{n}"), range(COUNT)))

    wrong = wrong_ends(mails, received)
    assert not wrong, "\n".join(wrong)
    (counted,) = district.query("SELECT (SELECT count(*) FROM intake) i, (SELECT count(*) FROM arrival) a")
    assert (counted["i"], counted["a"]) == (len({mail.letter for mail in mails}), COUNT)
    assert_every_byte_is_kept(district, mails)
    assert_names_are_safe(district)
    whole(district)

    good = bring(district, Author(random.Random(1), "binh-thuong").plain(), "uid:sau cung")
    assert good.state == "document"


def assert_every_byte_is_kept(district: District, mails: list[Trouble]) -> None:
    rows = district.query("SELECT place, raw_sha256 FROM arrival")
    kept = {row["place"]: row["raw_sha256"] for row in rows}
    store = district.container.store
    for number, mail in enumerate(mails):
        sha256 = kept[f"uid:{number}"]
        assert sha256 == hashlib.sha256(mail.raw).hexdigest(), mail.letter
    for sha256, raw in {kept[f"uid:{number}"]: mail.raw for number, mail in enumerate(mails)}.items():
        assert b"".join(store.open(sha256)) == raw


def assert_names_are_safe(district: District) -> None:
    """No path, no control character, no turn of direction in the name of any file."""
    names = [row["name"] for row in district.query("SELECT DISTINCT name FROM document_file")]
    assert len(names) > 30
    assert [name for name in names if STRANGE.search(name) or name in ("", ".", "..")] == []


def many_parts(author: Author) -> bytes:
    return author.mixed(*[b"\r\nx"] * 100_000)


def levels(author: Author) -> bytes:
    return bodies.deep(author, 1_000)


def messages(author: Author) -> bytes:
    return files.nested(author, 1_000)


@pytest.mark.parametrize(
    ("write", "reason"),
    [(many_parts, "too_many_parts"), (levels, "nested_too_deep"), (messages, "nested_too_deep")],
)
def test_a_hostile_shape_is_quarantined_at_little_cost(
    district: District, tmp_path: Path, write: Callable[[Author], bytes], reason: str
) -> None:
    raw = write(Author(random.Random(1), "ac-y"))
    received = bring(district, raw, "uid:1")
    assert (received.state, received.reason_code) == ("quarantine", reason)
    assert cpu_seconds_of_reading(raw, reason, tmp_path) < CPU_SECONDS


def cpu_seconds_of_reading(raw: bytes, reason: str, folder: Path) -> float:
    """Of a reader of its own; its processes count once they have ended."""
    (folder / "raw").write_bytes(raw)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    parser = LimitedMailParser()
    with pytest.raises(UnsupportedFile) as refused:
        parser.parse(folder / "raw", folder / "into")
    parser.close()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert refused.value.details["reason"] == reason
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
