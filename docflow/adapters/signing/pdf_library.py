"""What making and checking signatures share of how the PDF library has to be treated."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from pyhanko.pdf_utils.misc import PdfError

from docflow.domain.errors import DocflowError, SigningFailed

MAKE_ANEW = "Make the PDF anew (for instance with 'Print to PDF') and upload it as a new version."
CHUNK = 1 << 20  # bytes read at a time

ONE_AT_A_TIME = Lock()
"""asn1crypto, below pyHanko, fills in classes and parsed certificates at their first use, and two threads that do so
at once leave a field out. Signing and verifying keep the interpreter busy anyway, so taking turns costs little."""


@contextmanager
def pdf_errors() -> Iterator[None]:
    """What the PDF library fails with on broken bytes becomes SigningFailed; a failing disk stays what it is."""
    try:
        yield
    except (DocflowError, OSError):
        raise
    except (PdfError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise SigningFailed(f"The PDF is damaged and cannot be read ({error}). {MAKE_ANEW}") from error
