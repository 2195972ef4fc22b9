"""What making and checking signatures share of how the PDF library has to be treated."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Lock
from typing import BinaryIO, cast

from asn1crypto import core
from pyhanko.pdf_utils.misc import PdfError

from docflow.domain.errors import DocflowError, SigningFailed

MAKE_ANEW = "Make the PDF anew (for instance with 'Print to PDF') and upload it as a new version."
CHUNK = 1 << 20  # bytes read at a time

ONE_AT_A_TIME = Lock()
"""asn1crypto, below pyHanko, fills in classes and parsed certificates at their first use, and two threads that do so
at once leave a field out. Hold it where that may happen for what threads share; never while something is waited for.
After ``settle_classes`` no class is left to be filled in; what a thread has parsed for itself needs no lock."""


@contextmanager
def pdf_errors() -> Iterator[None]:
    """What the PDF library fails with on broken bytes becomes SigningFailed; a failing disk stays what it is."""
    try:
        yield
    except (DocflowError, OSError):
        raise
    except (PdfError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise SigningFailed(f"The PDF is damaged and cannot be read ({error}). {MAKE_ANEW}") from error


def settle_classes() -> None:
    """Have every class of asn1crypto filled in that is loaded now."""
    with ONE_AT_A_TIME:
        _settle_classes()


@cache
def _settle_classes() -> None:
    waiting: list[type[core.Asn1Value]] = [core.Asn1Value]
    while waiting:
        each = waiting.pop()
        waiting.extend(each.__subclasses__())
        with suppress(TypeError, ValueError, AttributeError):  # some need a value, which comes after the filling in
            each()


@contextmanager
def whole_or_nothing(target: Path) -> Iterator[BinaryIO]:
    """A file beside ``target`` that takes its place only when the block ends well; ``target`` may be the source."""
    with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as draft:
        try:
            yield cast(BinaryIO, draft)
            draft.flush()
            os.replace(draft.name, target)
        except BaseException:
            os.unlink(draft.name)
            raise
