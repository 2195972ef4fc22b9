"""Uploaded files on their way to the store: named, looked at, stored, verified; not yet on any document."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import UploadFile

from docflow.adapters.inspect.claims import check_claim, safe_name
from docflow.bootstrap import Container
from docflow.domain.consequences import NewFile
from docflow.domain.errors import Invalid
from docflow.services.files import new_file
from docflow.services.ports import StoredObject


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
    """All are looked at before the first is stored. Raises Invalid, UnsupportedFile, TooLarge, Unavailable."""
    looked = [_look(container, f, kind) for f, kind in zip(files, kinds, strict=True)]
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


def _store(container: Container, one: Looked) -> Prepared:
    one.upload.file.seek(0)
    stored = container.store.put(one.upload.file, limit=container.settings.upload_limit, media_type=one.media_type)
    file = new_file(stored, kind=one.kind, name=one.name, media_type=one.media_type, origin="upload")
    return Prepared(stored, file)
