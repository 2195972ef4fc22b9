"""A watched folder, local or mounted: what has come to rest in it, and putting it away without ever overwriting."""

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from docflow.services.folders import Lying, is_left_alone

LATER = 60.0  # seconds before a file is tried again that could not be read, taken in or put away
_MOST_NAMES = 10_000
_STEM = 50  # characters of a name that gets a number: file systems allow 255 bytes in all
_DEEPEST = 20  # folders within each other

_log = logging.getLogger(__name__)


class Changed(Exception):
    """The file is not as it was seen: somebody is still at work on it."""


class WatchedFolder:
    """Remembers since when each file has looked as it does; ``settle`` is in seconds. Times are of one monotonic
    clock: that of a server whose disk is mounted may differ from ours."""

    def __init__(self, root: Path, settle: float) -> None:
        self.root = root
        self._settle = settle
        self._since: dict[Lying, float] = {}
        self._closed: set[str] = set()

    def at_rest(self, now: float) -> list[Lying]:
        """Files that have not changed for ``settle`` seconds, the oldest first. Empty ones are left: a scanner that
        makes the file first would go on to write into what was put away. Raises OSError where it cannot be looked at.
        """
        seen = {file for file in self._walk() if file.size}
        self._since = {file: self._since.get(file, now) for file in seen}
        rested = [file for file, since in self._since.items() if now - since >= self._settle]
        return sorted(rested, key=lambda file: (file.mtime_ns, file.path))

    def _walk(self, below: str = "") -> Iterator[Lying]:
        """Links are not followed; what is neither a file nor a folder is none of ours."""
        try:
            entries = list(os.scandir(self.root / below))
        except OSError as error:
            if not below:
                raise
            self._tell(below, error)
            return
        for entry in entries:
            folder = entry.is_dir(follow_symlinks=False)
            if is_left_alone(entry.name, at_top=not below, folder=folder):
                continue
            if folder and below.count("/") < _DEEPEST:
                yield from self._walk(f"{below}{entry.name}/")
            elif entry.is_file(follow_symlinks=False):
                yield from _seen(entry, below)

    def _tell(self, below: str, error: OSError) -> None:
        if below not in self._closed:
            self._closed.add(below)
            _log.warning("%s cannot be looked at, what lies there is not taken in: %s", self.root / below, error)

    def postpone(self, file: Lying, now: float) -> None:
        self._since[file] = now + LATER - self._settle

    @contextmanager
    def opened(self, file: Lying) -> Iterator[BinaryIO]:
        """Raises Changed where it is another one by now, or a link, OSError where it cannot be read."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            number = os.open(self.root / file.path, flags)
        except FileNotFoundError as error:
            raise Changed(file.path) from error
        with open(number, "rb") as source:
            self.require_unchanged(source, file)
            yield source

    def require_unchanged(self, source: BinaryIO, file: Lying) -> None:
        facts = os.fstat(source.fileno())
        if not stat.S_ISREG(facts.st_mode) or _lying(file.path, facts) != file:
            raise Changed(file.path)

    def put_away(self, file: Lying, into: str) -> Path:
        """Move it to a free name in ``into``, below this folder. Raises Changed, where it was written to since and
        stays to be taken again; OSError where it cannot be moved."""
        source, target = self.root / file.path, self._reserved(self.root / into, Path(file.path).name)
        try:
            os.rename(source, target)
        except FileNotFoundError as error:
            target.unlink()
            raise Changed(file.path) from error
        except OSError:
            target.unlink()
            raise
        if _lying(file.path, target.lstat()) != file:
            os.rename(target, self._reserved(source.parent, source.name))
            raise Changed(file.path)
        return target

    def _reserved(self, folder: Path, name: str) -> Path:
        """An empty file of ours under a name that nobody had: renaming onto it overwrites nothing of others."""
        folder.mkdir(parents=True, exist_ok=True)
        stem, ending = Path(name).stem, Path(name).suffix
        for number in range(_MOST_NAMES):
            path = folder / (f"{stem[:_STEM]} ({number}){ending}" if number else name)
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            except FileExistsError:
                continue
            return path
        raise OSError(f"there are {_MOST_NAMES:,} files of the name {name} in {folder}; move some elsewhere")


def _seen(entry: "os.DirEntry[str]", below: str) -> Iterator[Lying]:
    try:
        yield _lying(below + entry.name, entry.stat(follow_symlinks=False))
    except FileNotFoundError:
        return


def _lying(path: str, facts: os.stat_result) -> Lying:
    return Lying(path, facts.st_size, facts.st_mtime_ns, facts.st_ino)
