"""What differs between a signed revision of a PDF and the file as it is now, in a few words for a clerk."""

from collections.abc import Iterator
from typing import Any

from pyhanko.pdf_utils.generic import ArrayObject, DictionaryObject, IndirectObject, PdfObject, StreamObject
from pyhanko.pdf_utils.reader import HistoricalResolver, PdfFileReader

from docflow.adapters.signing.tampering import entry

_MOST_PAGES = 2_000
_MOST_WORDS = 5
_DEEPEST = 12
_UPWARDS = {"/P", "/Parent"}


def described(reader: PdfFileReader, revision: int) -> str:
    """Such as ``the contents of page 1; a form field``; empty where nothing of it can be named."""
    before = reader.get_historical_resolver(revision)
    after = reader.get_historical_resolver(reader.xrefs.total_revisions - 1)
    try:
        found = list(dict.fromkeys(_differences(before, after)))
    except Exception:  # noqa: BLE001 - hostile bytes fail in any way; that they were changed is known already
        return ""
    return "; ".join(found[:_MOST_WORDS]) + (" and more" if len(found) > _MOST_WORDS else "")


def _differences(before: HistoricalResolver, after: HistoricalResolver) -> Iterator[str]:
    old, new = list(_pages(before.root["/Pages"])), list(_pages(after.root["/Pages"]))
    if len(old) != len(new):
        yield f"the number of pages, {len(old)} before and {len(new)} now"
    for number, (was, now) in enumerate(zip(old, new, strict=False), start=1):
        yield from _page_differences(number, was, now)
    yield from _field_differences(before, after)
    if before.root_ref != after.root_ref or _catalogue(before) != _catalogue(after):
        yield "what the file does when it is opened or how it is shown"


def _pages(node: DictionaryObject, depth: int = 0) -> Iterator[DictionaryObject]:
    for kid in node["/Kids"]:
        page = kid.get_object()
        if "/Kids" in page and depth < _DEEPEST:
            yield from _pages(page, depth + 1)
        else:
            yield page


def _page_differences(number: int, was: DictionaryObject, now: DictionaryObject) -> Iterator[str]:
    if number > _MOST_PAGES:
        return
    if not _same(entry(was, "/Contents"), entry(now, "/Contents")):
        yield f"the contents of page {number}"
    if not _same(entry(was, "/Resources"), entry(now, "/Resources")):
        yield f"fonts or pictures of page {number}"
    if any(not _same(entry(was, key), entry(now, key)) for key in ("/MediaBox", "/CropBox", "/Rotate")):
        yield f"the size or turn of page {number}"
    old, new = _notes(was), _notes(now)
    if old.keys() - new.keys():
        yield f"something on page {number} that is gone"
    if new.keys() - old.keys():
        yield f"something laid over page {number}"
    if any(not _same(old[key], new[key]) for key in old.keys() & new.keys()):
        yield f"something that lies over page {number}"


def _notes(page: DictionaryObject) -> dict[object, PdfObject]:
    listed = entry(page, "/Annots")
    if not isinstance(listed, ArrayObject):
        return {}
    notes = {_name_of(note): note.get_object() for note in listed}
    return {
        name: note for name, note in notes.items() if entry(note, "/V") is None or str(entry(note, "/FT")) != "/Sig"
    }


def _name_of(note: PdfObject) -> object:
    return (note.idnum, note.generation) if isinstance(note, IndirectObject) else id(note)


def _field_differences(before: HistoricalResolver, after: HistoricalResolver) -> Iterator[str]:
    old, new = dict(_fields(before)), dict(_fields(after))
    for name in old.keys() & new.keys():
        if old[name] != new[name]:
            yield f"what form field '{name}' says"
    for name in sorted(old.keys() - new.keys()):
        yield f"form field '{name}', which is gone"


def _fields(revision: HistoricalResolver) -> Iterator[tuple[str, str]]:
    listed = entry(entry(revision.root, "/AcroForm"), "/Fields")
    for one in listed if isinstance(listed, ArrayObject) else ():
        field = one.get_object()
        if str(entry(field, "/FT")) != "/Sig":
            yield str(entry(field, "/T"))[:60], str(entry(field, "/V"))


def _catalogue(revision: HistoricalResolver) -> dict[str, str]:
    """Its own entries, not what they lead to."""
    known = {"/AcroForm", "/DSS", "/Extensions", "/Metadata", "/Pages", "/Version"}
    return {str(key): repr(revision.root.raw_get(key)) for key in revision.root if key not in known}


def _same(was: PdfObject | None, now: PdfObject | None, depth: int = 0) -> bool:
    """Whether two objects of two revisions say the same, as far as one level of what they lead to."""
    if isinstance(was, StreamObject) and isinstance(now, StreamObject):
        return was.encoded_data == now.encoded_data
    if isinstance(was, DictionaryObject) and isinstance(now, DictionaryObject):
        below = was.keys() - _UPWARDS
        return below == now.keys() - _UPWARDS and all(_both(was.raw_get(k), now.raw_get(k), depth) for k in below)
    if isinstance(was, ArrayObject) and isinstance(now, ArrayObject):
        pairs = zip(was, now, strict=False)
        return len(was) == len(now) and all(_both(a, b, depth) for a, b in pairs)
    return was == now


def _both(was: PdfObject, now: PdfObject, depth: int) -> bool:
    if depth >= 3 or not (isinstance(was, IndirectObject) and isinstance(now, IndirectObject)):
        return was == now if depth >= 3 else _same(_value(was), _value(now), depth + 1)
    return was.reference == now.reference and _same(_value(was), _value(now), depth + 1)


def _value(one: Any) -> PdfObject:
    value: PdfObject = one.get_object()
    return value
