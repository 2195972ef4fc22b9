"""Shows one page of an untrusted file to tesseract, in a process of its own under hard limits; started by
``TesseractRecogniser`` only.

``python -m docflow.adapters.inspect.page_worker LIMITS MEDIA_TYPE SOURCE FOLDER NUMBER TESSERACT LANGUAGES`` writes
``facts.json``, ``{"pages": n}`` or ``{"reason": "..."}`` or ``{"signed": true}``, and becomes tesseract, which writes
``page.txt``. Limits and priority stay with the process.
"""

import json
import math
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

from docflow.adapters.inspect.render_worker import (
    FORMATS,
    PAGE_SIDE,
    PDF_PASSWORD_ERROR,
    PIXELS,
    Refused,
    limit_myself,
)

if TYPE_CHECKING:
    from PIL import Image

DPI = 300
MOST_SHOWN = 40_000_000
"""Pixels of a page that tesseract gets; larger ones are shown smaller."""
SMALL = 1500
"""Pixels of the longer side: below, letters are too small to be read and the picture is enlarged."""


class Signed(Exception):
    pass


def pdf_page(source: str, number: int) -> tuple["Image.Image | None", int]:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(source)
    except pypdfium2.PdfiumError as error:
        why = "protected with a password" if error.err_code == PDF_PASSWORD_ERROR else "damaged or no PDF"
        raise Refused(f"it is {why}") from error
    if _signatures(document):
        raise Signed
    if document.get_formtype():
        document.init_forms()
    try:
        return _shown(document[number]), len(document)
    except pypdfium2.PdfiumError:
        return None, len(document)


def _signatures(document: Any) -> bool:
    """Fields that hold a signature; empty ones are only places for one."""
    from pypdfium2 import raw

    found = (raw.FPDF_GetSignatureObject(document, n) for n in range(raw.FPDF_GetSignatureCount(document)))
    return any(raw.FPDFSignatureObj_GetContents(signature, None, 0) for signature in found)


def _shown(page: Any) -> "Image.Image | None":
    width, height = page.get_size()
    if not (0 < width <= PAGE_SIDE and 0 < height <= PAGE_SIDE):
        return None
    scale = min(DPI / 72, math.sqrt(MOST_SHOWN / (width * height)))
    picture: Image.Image = page.render(scale=scale, grayscale=True).to_pil().convert("L")
    return picture


def image_page(source: str, media_type: str, number: int) -> tuple["Image.Image | None", int]:
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    with Image.open(source, formats=[FORMATS[media_type]]) as image:
        pages = int(getattr(image, "n_frames", 1))
        try:
            image.seek(number)
            upright = ImageOps.exif_transpose(_grey(image))
        except (OSError, SyntaxError, ValueError, EOFError):
            return None, pages
    return _resized(upright), pages


def _grey(image: "Image.Image") -> "Image.Image":
    """Transparent parts as paper."""
    from PIL import Image

    if image.mode.startswith("I;16"):
        return image.point(lambda level: level / 256).convert("L")
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("L")
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("L")


def _resized(picture: "Image.Image") -> "Image.Image":
    longest = max(picture.size)
    scale = 2.0 if longest < SMALL else min(1.0, math.sqrt(MOST_SHOWN / (picture.width * picture.height)))
    if scale == 1.0:
        return picture
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))


def main(arguments: list[str]) -> None:
    limits, media_type, source, folder, number, tesseract, languages = arguments
    limit_myself(json.loads(limits))
    shown, facts = look(media_type, source, int(number))
    with open(os.path.join(folder, "facts.json"), "w", encoding="utf-8") as out:
        json.dump(facts, out)
    if shown is not None:
        page = os.path.join(folder, "page")
        shown.save(f"{page}.pgm", format="PPM")
        os.execv(tesseract, [tesseract, f"{page}.pgm", page, "-l", languages, "--dpi", str(DPI)])


def look(media_type: str, source: str, number: int) -> tuple["Image.Image | None", dict[str, Any]]:
    """The page, if it can be shown, and what is told of it."""
    try:
        pdf = media_type == "application/pdf"
        shown, pages = pdf_page(source, number) if pdf else image_page(source, media_type, number)
    except Signed:
        return None, {"signed": True}
    except Refused as refused:
        return None, {"reason": str(refused)}
    except MemoryError:
        return None, {"reason": "it needs more memory than a document may"}
    except ImportError:
        raise  # our fault, not the file's
    except Exception as error:  # noqa: BLE001 - the readers raise nearly anything on a crafted file
        return None, {"reason": f"it is damaged ({type(error).__name__})"}
    return shown, {"pages": pages, "shown": shown is not None}


if __name__ == "__main__":
    main(sys.argv[1:])
