"""Viruses: a real clamd finds them, and whatever goes wrong with it, nothing passes for clean."""

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from docflow.adapters.inspect.clamd import ClamdScanner
from docflow.domain.errors import ConfigInvalid, Unavailable
from docflow.services.ports import Scan
from tests.clamd import EICAR, NAME, STREAM_LIMIT, Clamd, running_clamd


@pytest.fixture(scope="module")
def clamd() -> Iterator[Clamd]:
    with running_clamd() as running:
        yield running


def written(folder: Path, data: bytes) -> Path:
    path = folder / "letter"
    path.write_bytes(data)
    return path


def test_a_plain_letter_is_clean(clamd: Clamd, tmp_path: Path) -> None:
    assert ClamdScanner(clamd.url).scan(written(tmp_path, "Kính gửi quý cơ quan".encode())) == Scan("clean")


def test_a_clamd_on_a_port_is_asked_as_well(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running_clamd(f"TCPSocket {port}", "TCPAddr 127.0.0.1"):
        scanner = ClamdScanner(f"tcp://127.0.0.1:{port}")
        assert scanner.scan(written(tmp_path, b"x")) == Scan("clean")
        assert scanner.scan(written(tmp_path, EICAR)).state == "infected"


def test_an_empty_letter_is_clean(clamd: Clamd, tmp_path: Path) -> None:
    assert ClamdScanner(clamd.url).scan(written(tmp_path, b"")) == Scan("clean")


def test_a_virus_is_named(clamd: Clamd, tmp_path: Path) -> None:
    found = ClamdScanner(clamd.url).scan(written(tmp_path, EICAR))
    assert found.state == "infected"
    assert found.found.startswith(NAME)


def test_a_virus_in_a_mails_attachment_is_found(clamd: Clamd, tmp_path: Path) -> None:
    mail = b"From: a@b.example\r\nSubject: x\r\nContent-Type: application/octet-stream\r\n\r\n" + EICAR + b"\r\n"
    assert ClamdScanner(clamd.url).scan(written(tmp_path, mail)).state == "infected"


def test_more_than_clamd_takes_has_failed_and_says_what_to_do(clamd: Clamd, tmp_path: Path) -> None:
    found = ClamdScanner(clamd.url).scan(written(tmp_path, b"x" * (STREAM_LIMIT * 3)))
    assert found.state == "failed"
    assert "StreamMaxLength" in found.found


def test_an_archive_that_clamd_does_not_look_through_has_failed(tmp_path: Path) -> None:
    with running_clamd("AlertExceedsMax yes", "MaxFileSize 10K", "MaxScanSize 20K") as strict:
        found = ClamdScanner(strict.url).scan(written(tmp_path, b"x" * 100_000))
    assert found.state == "failed"
    assert "Heuristics.Limits.Exceeded" in found.found


def test_a_clamd_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    letter = written(tmp_path, b"x")
    with pytest.raises(Unavailable, match="clamd"):
        ClamdScanner(f"unix:{tmp_path}/none.sock").scan(letter)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable):
            ClamdScanner(f"tcp://127.0.0.1:{free.getsockname()[1]}").scan(letter)


def test_a_clamd_killed_in_the_middle_of_a_letter_has_failed(tmp_path: Path) -> None:
    letter = tmp_path / "letter"
    os.mkfifo(letter)
    with running_clamd() as doomed:

        def write() -> None:
            with suppress(BrokenPipeError), letter.open("wb") as pipe:
                pipe.write(b"x" * 300_000)
                pipe.flush()
                doomed.kill()
                pipe.write(b"x" * 300_000)

        writer = threading.Thread(target=write)
        writer.start()
        found = ClamdScanner(doomed.url).scan(letter)
        writer.join()
    assert found.state == "failed"
    assert found.found


Talk = Callable[[socket.socket], None]


@contextmanager
def talking(*talks: Talk) -> Iterator[str]:
    """What listens on this port is no clamd; it meets one caller with each of ``talks``."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for talk in talks:
                connection, _ = server.accept()
                with connection:
                    talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)
        assert not thread.is_alive()


def heard(connection: socket.socket) -> None:
    """All that was streamed, up to its end."""
    stream = connection.makefile("rb")
    assert stream.read(10) == b"zINSTREAM\0"
    while (size := struct.unpack("!L", stream.read(4))[0]) > 0:
        stream.read(size)


def says(answer: bytes) -> Talk:
    def talk(connection: socket.socket) -> None:
        heard(connection)
        connection.sendall(answer)

    return talk


def hangs_up(connection: socket.socket) -> None:
    connection.recv(5)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def clean_at_once(connection: socket.socket) -> None:
    """Says that all is well before it has seen the letter, and resets the connection."""
    connection.sendall(b"stream: OK\0")
    hangs_up(connection)


def is_silent(connection: socket.socket) -> None:
    heard(connection)
    connection.settimeout(10)
    assert connection.recv(1) == b"", "the scanner gave up"


@pytest.mark.parametrize(
    "answer",
    [b"", b"\0", b"stream: O", b"stream: OK", b"OK\0", b"stream: OK ERROR\0", b"Can't allocate memory. ERROR\0",
     b"stream: OKAY\0", b"stream: \xff\xfe\0", b"y" * 10_000, b"220 mail.example ESMTP\r\n"],
)  # fmt: skip
def test_an_answer_that_is_not_a_verdict_has_failed(tmp_path: Path, answer: bytes) -> None:
    with talking(says(answer), says(answer)) as url:
        found = ClamdScanner(url).scan(written(tmp_path, b"x" * 100))
    assert found.state == "failed"
    assert found.found


def test_a_reset_connection_has_failed(tmp_path: Path) -> None:
    with talking(hangs_up, hangs_up) as url:
        assert ClamdScanner(url).scan(written(tmp_path, b"x" * 5_000_000)).state == "failed"


def test_a_clean_answer_to_half_a_letter_has_failed(tmp_path: Path) -> None:
    with talking(clean_at_once, clean_at_once) as url:
        assert ClamdScanner(url).scan(written(tmp_path, b"x" * 20_000_000)).state == "failed"


def test_silence_has_failed(tmp_path: Path) -> None:
    with talking(is_silent, is_silent) as url:
        found = ClamdScanner(url, patience=0.2).scan(written(tmp_path, b"x"))
    assert found.state == "failed"
    assert "timed out" in found.found


def test_what_broke_off_once_is_tried_once_more(tmp_path: Path) -> None:
    with talking(hangs_up, says(b"stream: OK\0")) as url:
        assert ClamdScanner(url).scan(written(tmp_path, b"x")) == Scan("clean")


@pytest.mark.parametrize(
    "url", ["", "clamd", "tcp://", "tcp://host:port", "unix:relative", "unix://host/path", "http://host:3310"]
)
def test_an_address_of_the_wrong_form_is_a_wrong_configuration(url: str) -> None:
    with pytest.raises(ConfigInvalid, match="DOCFLOW_CLAMD_URL"):
        ClamdScanner(url)
