"""Uploaded files on their way to the store: named, looked at, stored, verified; not yet on any document."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import UploadFile

from docflow.adapters.inspect.claims import check_claim, safe_name
from docflow.bootstrap import Container
from docflow.domain.consequences import NewFile
from docflow.domain.errors import Invalid, Unavailable, VirusFound
from docflow.services.files import new_file
from docflow.services.ports import StoredObject, VirusScanner


@dataclass(frozen=True, slots=True)
class Prepared:
    stored: StoredObject
    file: NewFile


@dataclass(frozen=True, slots=True)
class Looked:
    upload: UploadFile
    kind: str
    name: str
    media_type: str


def prepare(container: Container, files: Sequence[UploadFile], kinds: Sequence[str]) -> list[Prepared]:
    """All are looked at before the first is stored.

    Raises Invalid, UnsupportedFile, VirusFound, TooLarge; Unavailable also where one cannot be scanned to its end.
    """
    looked = [_look(container, f, kind) for f, kind in zip(files, kinds, strict=True)]
    if container.scanner is not None:
        for one in looked:
            _scan(container.scanner, one)
    return [_store(container, one) for one in looked]


def _look(container: Container, upload: UploadFile, kind: str) -> Looked:
    name = safe_name(upload.filename or "")
    if not upload.size:
        raise Invalid(f"'{name}' is empty. Check the file and send it again.", field="files", name=name)
    source = upload.file
    source.seek(0)
    found = container.inspector.sniff(source).media_type
    check_claim(name, upload.content_type, found)
    return Looked(upload, kind, name, found)


def _scan(scanner: VirusScanner, one: Looked) -> None:
    with tempfile.NamedTemporaryFile(prefix="docflow-scan-") as copy:
        one.upload.file.seek(0)
        shutil.copyfileobj(one.upload.file, copy)
        copy.flush()
        scan = scanner.scan(Path(copy.name))
    if scan.state == "infected":
        raise VirusFound(
            f"'{one.name}' holds a virus: {scan.found}. Nothing of it was kept; warn whoever it came from.",
            name=one.name,
            virus=scan.found,
        )
    if scan.state != "clean":
        raise Unavailable(f"'{one.name}' could not be scanned for viruses: {scan.found}. Try again.", name=one.name)


def _store(container: Container, one: Looked) -> Prepared:
    one.upload.file.seek(0)
    stored = container.store.put(one.upload.file, limit=container.settings.upload_limit, media_type=one.media_type)
    file = new_file(stored, kind=one.kind, name=one.name, media_type=one.media_type, origin="upload")
    return Prepared(stored, file)
