"""Whether a picture can be shown as somebody's signature or as the agency's seal."""

import io
import warnings

from PIL import Image

from docflow.domain.errors import Invalid, TooLarge, UnsupportedFile

LARGEST = 1 << 20  # bytes
MOST_PIXELS = 2000  # a side: 42 mm at 1200 dpi
FEWEST_PIXELS = 16
_PNG = b"\x89PNG\r\n\x1a\n"


def check_picture(data: bytes) -> tuple[int, int]:
    """Width and height in pixels of a PNG that shows something and lets the page show through.

    Raises UnsupportedFile, TooLarge or Invalid.
    """
    if len(data) > LARGEST:
        raise TooLarge(f"The picture has {len(data):,} bytes and {LARGEST:,} are possible.", limit=LARGEST)
    if not data.startswith(_PNG):
        raise UnsupportedFile("The picture is no PNG. Save it as a PNG with a transparent background.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
                _check_size(picture.size)
                least, most = picture.convert("RGBA").getchannel("A").getextrema()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnsupportedFile(f"The picture is damaged ({error}). Save it again as a PNG.") from error
    if least or not most:
        what = "hides what is under it" if least else "shows nothing"
        raise Invalid(f"The picture {what}. Save it as a PNG with a transparent background, the ink opaque.")
    return picture.size


def _check_size(size: tuple[int, int]) -> None:
    """Before a pixel is unpacked."""
    if not all(FEWEST_PIXELS <= side <= MOST_PIXELS for side in size):
        width, height = size
        raise Invalid(
            f"The picture measures {width} × {height} pixels. A side may have {FEWEST_PIXELS} to {MOST_PIXELS}: "
            "scale it and send it again.",
        )
