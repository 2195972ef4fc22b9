"""A watched folder as it really is: what has come to rest, what is left alone, and putting away without a loss."""

import os
from pathlib import Path
from uuid import UUID

import pytest

from docflow.adapters.folder import LATER, Changed, WatchedFolder
from docflow.services.folders import Lying, kind_of, put_away_in
from docflow.services.intake import Received
from tests.conftest import START

DAY = START.date()
KNOWN = UUID(int=1)


@pytest.fixture
def folder(tmp_path: Path) -> WatchedFolder:
    (tmp_path / "scans").mkdir()
    return WatchedFolder(tmp_path / "scans", settle=5)


def drop(folder: WatchedFolder, name: str, content: bytes = b"%PDF-1.4") -> Path:
    path = folder.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(files: list[Lying]) -> list[str]:
    return sorted(file.path for file in files)


def only(folder: WatchedFolder) -> Lying:
    """The one file there is, at rest."""
    folder.at_rest(0)
    (file,) = folder.at_rest(100)
    return file


def test_a_file_is_at_rest_once_it_has_stayed_the_same_for_its_time(folder: WatchedFolder) -> None:
    path = drop(folder, "a.pdf")
    assert folder.at_rest(100) == []
    assert folder.at_rest(104.9) == []
    path.write_bytes(b"%PDF-1.4 and more")
    assert folder.at_rest(105) == []
    assert folder.at_rest(109.9) == []
    assert names(folder.at_rest(110)) == ["a.pdf"]


def test_a_file_with_an_old_date_is_not_taken_for_one_at_rest(folder: WatchedFolder) -> None:
    os.utime(drop(folder, "a.pdf"), (0, 0))
    assert folder.at_rest(100) == []


def test_a_file_that_replaced_another_begins_anew(folder: WatchedFolder) -> None:
    old = drop(folder, "a.pdf")
    facts = old.stat()
    folder.at_rest(100)
    new = drop(folder, "b.part")
    os.utime(new, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    new.rename(old)
    assert folder.at_rest(105) == []


def test_the_unfinished_the_hidden_the_empty_and_what_was_put_away_are_left_alone(folder: WatchedFolder) -> None:
    left = ("a.part", "b.TMP", ".c.pdf", ".d/e.pdf", "Processed/f.pdf", "Quarantine/g.pdf", "Processed/2026/h.pdf")
    for name in (*left, "1.pdf", "sub/2.pdf", "sub/Processed/3.pdf"):
        drop(folder, name)
    drop(folder, "empty.pdf", b"")
    folder.at_rest(0)
    assert names(folder.at_rest(100)) == ["1.pdf", "sub/2.pdf", "sub/Processed/3.pdf"]


def test_links_and_what_is_no_file_are_not_followed(folder: WatchedFolder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.pdf").write_bytes(b"%PDF-1.4")
    (folder.root / "link.pdf").symlink_to(outside / "secret.pdf")
    (folder.root / "linked").symlink_to(outside)
    os.mkfifo(folder.root / "pipe.pdf")
    folder.at_rest(0)
    assert folder.at_rest(100) == []


def test_a_file_that_became_a_link_is_not_opened(folder: WatchedFolder, tmp_path: Path) -> None:
    path = drop(folder, "a.pdf")
    file = only(folder)
    path.rename(tmp_path / "elsewhere.pdf")
    path.symlink_to(tmp_path / "elsewhere.pdf")
    with pytest.raises(OSError), folder.opened(file):
        pass
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(Changed), folder.opened(file):
        pass


def test_a_file_that_changed_or_went_is_not_taken(folder: WatchedFolder) -> None:
    path = drop(folder, "a.pdf")
    file = only(folder)
    with folder.opened(file) as source:
        assert source.read() == b"%PDF-1.4"
        path.write_bytes(b"%PDF-1.4 and more")
        with pytest.raises(Changed):
            folder.require_unchanged(source, file)
    with pytest.raises(Changed), folder.opened(file):
        pass
    path.unlink()
    with pytest.raises(Changed), folder.opened(file):
        pass
    with pytest.raises(Changed):
        folder.put_away(file, "Processed")
    assert list((folder.root / "Processed").iterdir()) == []


def test_putting_away_never_overwrites(folder: WatchedFolder) -> None:
    for content in (b"1", b"2", b"3"):
        drop(folder, "a.b.pdf", content)
        folder.put_away(only(folder), "Processed/2026-03-02")
    kept = {path.name: path.read_bytes() for path in (folder.root / "Processed/2026-03-02").iterdir()}
    assert kept == {"a.b.pdf": b"1", "a.b (1).pdf": b"2", "a.b (2).pdf": b"3"}
    assert folder.at_rest(1000) == []


def test_a_name_as_long_as_may_be_gets_its_number_too(folder: WatchedFolder) -> None:
    for content in (b"1", b"2"):
        drop(folder, "ă" * 125 + ".pdf", content)
        folder.put_away(only(folder), "Quarantine")
    assert len(list((folder.root / "Quarantine").iterdir())) == 2


def test_what_was_written_to_meanwhile_is_put_back_to_be_taken_again(folder: WatchedFolder) -> None:
    path = drop(folder, "a.pdf")
    file = only(folder)
    path.write_bytes(b"%PDF-1.4 a later scan under the same name")
    with pytest.raises(Changed):
        folder.put_away(file, "Processed")
    assert list((folder.root / "Processed").iterdir()) == []
    again = only(folder)
    assert again.path == "a.pdf"
    assert again.place != file.place


def test_what_was_postponed_comes_back_later(folder: WatchedFolder) -> None:
    drop(folder, "a.pdf")
    file = only(folder)
    folder.postpone(file, 200)
    assert folder.at_rest(200 + LATER - 1) == []
    assert folder.at_rest(200 + LATER) == [file]


def test_the_oldest_come_first(folder: WatchedFolder) -> None:
    for number, name in enumerate(("c.pdf", "a.pdf", "b.pdf")):
        os.utime(drop(folder, name), (number, number))
    folder.at_rest(0)
    assert [file.path for file in folder.at_rest(100)] == ["c.pdf", "a.pdf", "b.pdf"]


def test_a_folder_that_is_away_is_an_error_and_no_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        WatchedFolder(tmp_path / "not-mounted", settle=0).at_rest(0)


def test_names_that_are_no_text_can_be_taken_and_shown(folder: WatchedFolder) -> None:
    with open(os.fsencode(folder.root) + b"/b\xe1o c\xe1o.pdf", "wb") as scan:
        scan.write(b"%PDF-1.4")
    file = only(folder)
    assert file.name == "b�o c�o.pdf"
    assert file.place.encode()
    folder.put_away(file, "Processed")
    assert os.listdir(os.fsencode(folder.root / "Processed")) == [b"b\xe1o c\xe1o.pdf"]


def test_a_place_fits_its_column_however_deep_the_file_lies() -> None:
    assert len(Lying("x" * 4000, 1 << 40, 1 << 62, 1).place) < 1000


@pytest.mark.parametrize(
    ("name", "media_type", "kind"),
    [
        ("a.pdf", "application/pdf", "file"),
        ("a.eml", "application/pdf", "file"),
        ("a.xml", "image/tiff", "file"),
        ("a.EML", "text/plain", "mail"),
        ("a", "message/rfc822", "mail"),
        ("a.edXML", "text/plain", "edxml"),
        ("a.xml", "text/xml", "edxml"),
        ("a.svg", "image/svg+xml", "file"),
        ("a.docx", "application/zip", "file"),
    ],
)
def test_a_file_is_taken_for_what_its_bytes_are_and_then_for_what_its_name_says(
    name: str, media_type: str, kind: str
) -> None:
    assert kind_of(name, media_type) == kind


@pytest.mark.parametrize(
    ("state", "document", "where"),
    [
        ("document", KNOWN, "Processed/2026-03-02"),
        ("duplicate", KNOWN, "Processed/2026-03-02"),
        ("quarantine", None, "Quarantine"),
        ("duplicate", None, "Quarantine"),
    ],
)
def test_what_became_no_document_is_put_where_somebody_looks(state: str, document: UUID | None, where: str) -> None:
    assert put_away_in([Received(KNOWN, state, document)], DAY) == where


def test_a_batch_is_put_away_as_its_worst_letter() -> None:
    letters = [Received(KNOWN, "document", KNOWN), Received(KNOWN, "quarantine", None)]
    assert put_away_in(letters, DAY) == "Quarantine"
