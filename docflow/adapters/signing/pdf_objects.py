"""pyHanko's PDF objects, made from plain values; its own constructors carry no types."""

from collections.abc import Callable, Iterable
from typing import Any

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import pdf_name as name

__all__ = ["array", "compressed", "dictionary", "integer", "name", "real", "stream"]

integer: Callable[[int], generic.PdfObject] = generic.NumberObject
_real: Callable[[str], generic.PdfObject] = generic.FloatObject
_dictionary: Callable[[dict[Any, Any]], generic.DictionaryObject] = generic.DictionaryObject


def real(value: float) -> generic.PdfObject:
    return _real(f"{value:.3f}")


def array(items: Iterable[generic.PdfObject]) -> generic.ArrayObject:
    return generic.ArrayObject(items)


def dictionary(**entries: generic.PdfObject) -> generic.DictionaryObject:
    return _dictionary({name(f"/{key}"): value for key, value in entries.items()})


def stream(data: bytes, **entries: generic.PdfObject) -> generic.StreamObject:
    return generic.StreamObject(dictionary(**entries), stream_data=data)


def compressed(data: bytes, **entries: generic.PdfObject) -> generic.StreamObject:
    """A stream of what zlib compressed already."""
    return generic.StreamObject(dictionary(Filter=name("/FlateDecode"), **entries), encoded_data=data)
