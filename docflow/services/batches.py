"""A batch scan with separator sheets is several letters: each has the batch as its raw original, untouched, and a
parted PDF as its file."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePath

from docflow.domain.errors import UnsupportedFile
from docflow.services.letters import LooseFile, StoredPart, TakenIn
from docflow.services.ports import BatchParter, ObjectStore

PDF = "application/pdf"


def parted(store: ObjectStore, parter: BatchParter, batch: TakenIn, separator: str) -> list[TakenIn]:
    """The letters in it, in order; the batch itself where it holds no separator sheet or cannot be parted."""
    file = batch.content
    if not isinstance(file, LooseFile) or file.media_type != PDF or batch.refusal is not None:
        return [batch]
    with store.fetch(batch.raw.sha256) as path, tempfile.TemporaryDirectory(prefix="docflow-batch-") as folder:
        try:
            paths = parter.part(path, separator, Path(folder))
        except UnsupportedFile:
            return [batch]
        return list(_letters(store, batch, file, separator, paths)) or [batch]


def parted_again(store: ObjectStore, parter: BatchParter | None, batch: TakenIn) -> TakenIn:
    """The letter that a batch, read anew, holds at the place its envelope names."""
    number: int | None = batch.envelope.get("part")
    if number is None or parter is None:
        return batch
    letters = parted(store, parter, batch, batch.envelope["separator"])
    if number > len(letters):
        return batch.refused("unreadable", f"The batch has no part {number} any more. Look at it and reject it.")
    return replace(letters[number - 1], envelope=batch.envelope)


def _letters(
    store: ObjectStore, batch: TakenIn, file: LooseFile, separator: str, paths: list[Path]
) -> Iterator[TakenIn]:
    for number, path in enumerate(paths, 1):
        name = f"{PurePath(file.name).stem} ({number}).pdf"
        with path.open("rb") as data:
            part = StoredPart(name, PDF, store.put(data, media_type=PDF))
        place = f"{batch.envelope.get('place', '')}#{number}"
        envelope = batch.envelope | {"place": place, "part": number, "separator": separator}
        yield replace(batch, envelope=envelope, content=LooseFile(name, PDF, number), parts=(part,))
