"""Whether a picture can be shown as somebody's signature or as the agency's seal."""

import io
import struct

from PIL import Image

from docflow.domain.errors import Invalid, TooLarge, UnsupportedFile

LARGEST = 1 << 20  # bytes
MOST_PIXELS = 2000  # a side: 42 mm at 1200 dpi
FEWEST_PIXELS = 16
_PNG = b"\x89PNG\r\n\x1a\n"
_HEAD = struct.Struct(">8s8sII")  # signature, length and name of the first chunk, width, height


def check_picture(data: bytes) -> tuple[int, int]:
    """Width and height in pixels of a PNG that shows something and lets the page show through.

    Raises UnsupportedFile, TooLarge or Invalid.
    """
    if len(data) > LARGEST:
        raise TooLarge(f"The picture has {len(data):,} bytes and {LARGEST:,} are possible.", limit=LARGEST)
    if not data.startswith(_PNG) or len(data) < _HEAD.size:
        raise UnsupportedFile("The picture is no PNG. Save it as a PNG with a transparent background.")
    _, _, width, height = _HEAD.unpack_from(data)
    _check_size(width, height)
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            least, most = picture.convert("RGBA").getchannel("A").getextrema()
            size = picture.size
    except (OSError, ValueError, SyntaxError) as error:
        raise UnsupportedFile("The picture is damaged. Save it again as a PNG.") from error
    if least or not most:
        what = "hides what is under it" if least else "shows nothing"
        raise Invalid(f"The picture {what}. Save it as a PNG with a transparent background, the ink opaque.")
    return size


def _check_size(width: int, height: int) -> None:
    """Before a pixel is unpacked: some kilobytes can promise gigabytes."""
    if not all(FEWEST_PIXELS <= side <= MOST_PIXELS for side in (width, height)):
        raise Invalid(
            f"The picture measures {width} × {height} pixels. A side may have {FEWEST_PIXELS} to {MOST_PIXELS}: "
            "scale it and send it again.",
        )
