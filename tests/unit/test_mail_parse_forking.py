"""The process that forks for every mail: limits hold, it comes back after a kill, and it leaves nothing behind."""

import io
import os
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from asn1crypto import cms
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from docflow.adapters.mail.parse import LimitedMailParser
from docflow.domain.errors import Unavailable, UnsupportedFile
from docflow.services.ports import ParsedMail
from tests.mailbox import attachment, mail, many, text

IMPORTS = "import os, signal, sys; from docflow.adapters.mail.forking import serve"
OWNER = """
import os, signal, sys, threading
from pathlib import Path
from docflow.adapters.mail.parse import LimitedMailParser
folder, serve = Path(sys.argv[1]), sys.argv[2]
LimitedMailParser._command = staticmethod(lambda: [sys.executable, "-c", serve])
threading.Thread(target=LimitedMailParser().parse, args=(folder / "raw.eml", folder), daemon=True).start()
while not (folder / "pids").exists():
    pass
os.kill(os.getpid(), signal.SIGKILL)
"""
WAITING_CHILD = f"""
{IMPORTS}
def work(job):
    open(job["into"] + "/part", "w").write(f"{{os.getppid()}} {{os.getpid()}}")
    os.rename(job["into"] + "/part", job["into"] + "/pids")
    signal.pause()
serve(int(sys.argv[1]), work)
"""


@pytest.fixture
def parser() -> Iterator[LimitedMailParser]:
    parser = LimitedMailParser()
    yield parser
    parser.close()


@pytest.fixture
def parse(tmp_path: Path, parser: LimitedMailParser) -> Callable[..., ParsedMail]:
    def parse(raw: bytes, name: str = "raw") -> ParsedMail:
        (tmp_path / f"{name}.eml").write_bytes(raw)
        return parser.parse(tmp_path / f"{name}.eml", tmp_path / name)

    return parse


@pytest.fixture
def doing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., LimitedMailParser]]:
    """A parser whose children do something else than reading."""
    parsers: list[LimitedMailParser] = []
    (tmp_path / "raw.eml").write_bytes(mail())

    def make(work: str, **limits: Any) -> LimitedMailParser:
        script = f"{IMPORTS}\n{work}\nserve(int(sys.argv[1]), work)"
        monkeypatch.setattr(LimitedMailParser, "_command", staticmethod(lambda: [sys.executable, "-c", script]))
        parsers.append(LimitedMailParser(**limits))
        return parsers[-1]

    yield make
    for parser in parsers:
        parser.close()


def readers() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "parse_worker" in " ".join(p.cmdline())]


def gone(process: psutil.Process) -> bool:
    try:
        process.wait(5)
    except psutil.TimeoutExpired:
        return False
    return True


def test_one_process_reads_many_mails(parse: Callable[..., ParsedMail]) -> None:
    parse(mail())
    (first,) = readers()
    parse(mail())
    assert readers() == [first]


def test_many_threads_each_get_their_own_mail(parse: Callable[..., ParsedMail]) -> None:
    def one(number: int) -> tuple[str, bytes]:
        found = parse(mail(many(text("x"), attachment(str(number).encode())), Subject=f"So {number}"), f"m{number}")
        return found.subject, found.attachments[0].path.read_bytes()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(one, range(40))) == [(f"So {n}", str(n).encode()) for n in range(40)]
    assert len(readers()) == 1


def test_a_killed_process_is_started_again(parse: Callable[..., ParsedMail]) -> None:
    parse(mail())
    (first,) = readers()
    first.kill()
    assert parse(mail()).sender == "vanthu@bavi.example.vn"
    assert readers() != [first]


def test_a_mail_whose_process_is_killed_is_read_again(doing: Callable[..., LimitedMailParser], tmp_path: Path) -> None:
    mark = tmp_path / "first"
    work = f"""
def work(job):
    try:
        open({str(mark)!r}, "x").close()
    except FileExistsError:
        os.write(1, b'{{"refused": "unreadable", "message": "The second child."}}')
        os._exit(0)
    os.write(1, b"The first child.")
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()
"""
    with pytest.raises(UnsupportedFile, match=r"^The second child\."):
        doing(work).parse(tmp_path / "raw.eml", tmp_path / "into")


def test_closing_ends_the_process_and_another_mail_starts_a_new_one(
    parse: Callable[..., ParsedMail], parser: LimitedMailParser
) -> None:
    parse(mail())
    (first,) = readers()
    parser.close()
    assert not first.is_running()
    parse(mail())
    assert len(readers()) == 1


def test_a_parser_that_is_let_go_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "raw.eml").write_bytes(mail())
    parser = LimitedMailParser()
    parser.parse(tmp_path / "raw.eml", tmp_path / "into")
    (process,) = readers()
    del parser
    assert gone(process)


def test_the_process_and_its_child_end_with_a_killed_owner(tmp_path: Path) -> None:
    (tmp_path / "raw.eml").write_bytes(mail())
    owner = [sys.executable, "-c", OWNER, str(tmp_path), WAITING_CHILD]
    os.waitpid(os.posix_spawn(sys.executable, owner, dict(os.environ)), 0)
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        assert ended(pid)


def ended(pid: int, seconds: float = 5) -> bool:
    """Dead, though perhaps not collected by whoever is its parent now."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def test_no_open_file_of_ours_reaches_the_process_or_its_children(
    doing: Callable[..., LimitedMailParser], tmp_path: Path
) -> None:
    work = """
def work(job):
    import json
    json.dump({name: os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
               if os.path.exists(f"/proc/self/fd/{name}")}, open(job["into"] + "/open", "w"))
    os.abort()
"""
    with (tmp_path / "ours").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        with pytest.raises(UnsupportedFile):
            doing(work).parse(tmp_path / "raw.eml", tmp_path / "into")
    found = (tmp_path / "into" / "open").read_text()
    assert "ours" not in found
    assert "socket:" not in found


def test_a_mail_whose_reading_never_ends_is_refused(doing: Callable[..., LimitedMailParser], tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFile) as refused:
        doing("def work(job): signal.pause()", wall_seconds=0.1).parse(tmp_path / "raw.eml", tmp_path / "into")
    assert refused.value.details["reason"] == "too_slow"


def test_what_a_slow_reader_started_ends_with_it(doing: Callable[..., LimitedMailParser], tmp_path: Path) -> None:
    work = """
def work(job):
    child = os.fork()
    if child:
        open(job["into"] + "/pid", "w").write(str(child))
    signal.pause()
"""
    with pytest.raises(UnsupportedFile):
        doing(work, wall_seconds=0.3).parse(tmp_path / "raw.eml", tmp_path / "into")
    pid = int((tmp_path / "into" / "pid").read_text())
    assert ended(pid)


def test_a_slow_mail_does_not_hold_up_another_and_ends_with_the_parser(
    doing: Callable[..., LimitedMailParser], tmp_path: Path
) -> None:
    work = """
def work(job):
    if job["into"].endswith("slow"):
        signal.pause()
    os.abort()
"""
    parser = doing(work, wall_seconds=30)
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(parser.parse, tmp_path / "raw.eml", tmp_path / "slow")
        with pytest.raises(UnsupportedFile, match="signal 6"):
            parser.parse(tmp_path / "raw.eml", tmp_path / "quick")
        assert not slow.done()
        parser.close()
        with pytest.raises(Unavailable):
            slow.result(20)


@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGSEGV, UnsupportedFile), (signal.SIGKILL, UnsupportedFile), (signal.SIGTERM, Unavailable)],
)
def test_a_reader_that_dies_refuses_the_mail_and_one_that_is_stopped_does_not(
    doing: Callable[..., LimitedMailParser], tmp_path: Path, number: signal.Signals, error: type[Exception]
) -> None:
    parser = doing(f"def work(job): os.kill(os.getpid(), {int(number)})")
    with pytest.raises(error):
        parser.parse(tmp_path / "raw.eml", tmp_path / "into")


def test_a_reader_that_cannot_write_is_not_the_mails_fault(
    doing: Callable[..., LimitedMailParser], tmp_path: Path
) -> None:
    with pytest.raises(Unavailable):
        doing("def work(job): raise OSError('full')").parse(tmp_path / "raw.eml", tmp_path / "into")


@pytest.mark.parametrize("work", ["import nothing_of_the_kind", "sys.exit(3)"])
def test_a_process_that_fails_at_its_start_is_not_the_mails_fault(
    doing: Callable[..., LimitedMailParser], tmp_path: Path, work: str
) -> None:
    with pytest.raises(Unavailable):
        doing(work).parse(tmp_path / "raw.eml", tmp_path / "into")


def test_a_process_that_cannot_be_started_is_not_the_mails_fault(
    parse: Callable[..., ParsedMail], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(Unavailable):
        parse(mail())


def test_a_child_cannot_write_more_than_its_mail_may_need(
    doing: Callable[..., LimitedMailParser], tmp_path: Path
) -> None:
    work = """
def work(job):
    with open(job["into"] + "/large", "wb") as target:
        for _ in range(64):
            target.write(bytes(1 << 20))
"""
    with pytest.raises((UnsupportedFile, Unavailable)):
        doing(work).parse(tmp_path / "raw.eml", tmp_path / "into")
    assert (tmp_path / "into" / "large").stat().st_size < 20 << 20


def test_the_libraries_that_only_some_mails_need_are_found(parse: Callable[..., ParsedMail]) -> None:
    locked = io.BytesIO()
    canvas = Canvas(locked, encrypt=StandardEncryption("mat-khau", "chu"))
    canvas.drawString(100, 700, "van ban")
    canvas.save()
    signed = cms.ContentInfo({"content_type": "data", "content": b"x"}).dump()
    winmail = struct.pack("<IH", 0x223E9F78, 1)
    bounce = b"Return-Path: <>"
    files = [
        (locked.getvalue(), "application/pdf"),
        (signed, "application/pkcs7-mime"),
        (winmail, "application/ms-tnef"),
    ]
    old = "=?TCVN-5712?Q?Quy=D5t?="
    parts = [attachment(content, "a", kind) for content, kind in files]
    found = parse(mail(many(text("x"), *parts), raw=[bounce], Subject=old))
    assert found.subject == "Quyết"
    assert found.hazard is not None
    assert found.hazard.code == "encrypted"
    assert found.defects == ("TNEF container",)  # nothing is unreadable


def test_a_hundred_thousand_parts_cost_little(parse: Callable[..., ParsedMail]) -> None:
    before = psutil.Process().cpu_times().user
    with pytest.raises(UnsupportedFile) as refused:
        parse(mail(many(*[text("x")] * 100_000)))
    assert refused.value.details["reason"] == "too_many_parts"
    (process,) = readers()
    used = process.cpu_times()
    assert used.user + used.children_user < 2
    assert psutil.Process().cpu_times().user - before < 2


def test_a_large_mail_is_not_held_in_the_callers_memory(parse: Callable[..., ParsedMail]) -> None:
    raw = mail(many(text("x"), attachment(os.urandom(8 << 20))))
    parse(mail())
    before = psutil.Process().memory_info().rss
    found = parse(raw, "large")
    assert found.attachments[0].size == 8 << 20
    assert psutil.Process().memory_info().rss - before < 4 << 20
