"""What lies in a watched folder, and what it is taken for. Pure."""

from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath

from docflow.services.admit_file import is_paper
from docflow.services.intake import Kind, Received

PROCESSED, QUARANTINE = "Processed", "Quarantine"
_UNFINISHED = (".part", ".tmp")
_PLACE_LIMIT = 900  # characters; a place has room for 1000


@dataclass(frozen=True, slots=True)
class Lying:
    """A file as it was seen. ``path`` is below the folder, as the file system names it; ``size`` is in bytes."""

    path: str
    size: int
    mtime_ns: int
    inode: int

    @property
    def place(self) -> str:
        """A new file under an old name is a new arrival."""
        return f"{_text(self.path)[-_PLACE_LIMIT:]}:{self.size}:{self.mtime_ns}"

    @property
    def name(self) -> str:
        return _text(PurePosixPath(self.path).name)


def _text(path: str) -> str:
    """File names are bytes; those that are no UTF-8 get question marks."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def is_left_alone(name: str, *, at_top: bool, folder: bool) -> bool:
    """Hidden ones, files that a program is still writing, and the folders that we put files away in."""
    if name.startswith("."):
        return True
    if folder:
        return at_top and name in (PROCESSED, QUARANTINE)
    return name.casefold().endswith(_UNFINISHED)


def kind_of(name: str, media_type: str) -> Kind:
    """What the bytes are goes before what the name says."""
    ending = PurePosixPath(name).suffix.casefold()
    if is_paper(media_type):
        return "file"
    if media_type == "message/rfc822" or ending == ".eml":
        return "mail"
    return "edxml" if ending in (".xml", ".edxml") or media_type in ("text/xml", "application/xml") else "file"


def put_away_in(received: list[Received], day: date) -> str:
    """The folder, below the watched one, for a file that was taken in on ``day``; also when it was known before.
    A batch of which not every letter became a document is one to look at."""
    if any(one.document_id is None for one in received):
        return QUARANTINE
    return f"{PROCESSED}/{day.isoformat()}"
