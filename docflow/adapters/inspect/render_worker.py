"""Reads one untrusted file in a process of its own, under hard limits; started by ``LimitedInspector`` only.

``python -m docflow.adapters.inspect.render_worker LIMITS MEDIA_TYPE SOURCE FOLDER`` writes ``text.txt``,
``preview.png`` and ``thumbnail.png`` and prints ``{"made": [...], "pages": n}`` or ``{"reason": "..."}``.
Imports stay few: each costs start-up.
"""

import json
import os
import resource
import signal
import sys
import unicodedata
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

PREVIEW_WIDTH = 1240
THUMBNAIL_WIDTH = 240
TALLEST = 4
"""A picture is at most this many times as high as the width asked for; beyond, it becomes narrower instead."""

LARGEST = (TALLEST * PREVIEW_WIDTH, TALLEST * PREVIEW_WIDTH)
TEXT_PAGES = 2_000
TEXT_BYTES = 5 << 20
UNPRINTABLE = dict.fromkeys([*range(9), *range(11, 32), 0xFFFE, 0xFFFF])
PAGE_SIDE = 14_400
"""Points; the largest page a PDF reader has to support (ISO 32000-1, Annex C.2)."""

PIXELS = 120_000_000
"""A0 at 300 dpi in one colour, A3 at 600 dpi in full; more is a bomb or a mistake."""

FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/tiff": "TIFF"}
PDF_PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD


class Refused(Exception):
    """The file cannot be shown; the message goes to the person who sent it."""


def limit_myself(limits: dict[str, int]) -> None:
    """Set by the process itself: a ``preexec_fn`` may deadlock in a program with threads.

    The alarm ends an orphan whose parent was killed.
    """
    for name in ("CPU", "AS", "FSIZE", "NOFILE", "CORE"):
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        wanted = limits[name] if hard == resource.RLIM_INFINITY else min(limits[name], hard)
        resource.setrlimit(kind, (wanted, wanted))
    signal.alarm(limits["WALL"])
    os.nice(10)


def render_pdf(source: str, folder: str) -> dict[str, Any]:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(source)
    except pypdfium2.PdfiumError as error:
        if error.err_code == PDF_PASSWORD_ERROR:
            raise Refused("it is protected with a password; send it without one") from error
        raise Refused("it is damaged or no PDF; make it again and send it") from error
    if not len(document):
        raise Refused("it has no pages; make it again and send it")
    if document.get_formtype():
        document.init_forms()  # without it, the visible stamps of signatures are not drawn
    made = [*_save_pictures(_first_page(document), folder), "text"]
    with open(os.path.join(folder, "text.txt"), "w", encoding="utf-8", newline="\n") as out:
        _write_text(document, out)
    return {"made": made, "pages": len(document)}


def _first_page(document: Any) -> "Image.Image":
    import pypdfium2

    try:
        page = document[0]
    except pypdfium2.PdfiumError as error:
        raise Refused("its first page is damaged; make it again and send it") from error
    width, height = page.get_size()
    if not (0 < width <= PAGE_SIDE and 0 < height <= PAGE_SIDE):
        raise Refused(f"its first page measures {width:.0f} × {height:.0f} points and {PAGE_SIDE} are possible")
    scale = min(PREVIEW_WIDTH / width, TALLEST * PREVIEW_WIDTH / height)
    picture: Image.Image = page.render(scale=scale).to_pil().convert("RGB")
    return picture


def _write_text(document: Any, out: Any) -> None:
    import pypdfium2

    room = TEXT_BYTES
    for number in range(min(len(document), TEXT_PAGES)):
        try:
            page = document[number]
            text = page.get_textpage().get_text_bounded()
            page.close()
        except pypdfium2.PdfiumError:
            continue  # one damaged page does not hide the others
        piece = (_clean(text) + "\f").encode("utf-8", "ignore")[:room]
        out.write(piece.decode("utf-8", "ignore"))
        room -= len(piece)
        if room <= 0:
            return


def _clean(text: str) -> str:
    """NFC, with plain line ends and without the control characters PostgreSQL and pages cannot hold."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").translate(UNPRINTABLE)
    return unicodedata.normalize("NFC", lines)


def render_image(source: str, media_type: str, folder: str) -> dict[str, Any]:
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    try:
        with Image.open(source, formats=[FORMATS[media_type]]) as image:
            image.draft("RGB", LARGEST)
            plain = _on_white(image)
            plain.thumbnail(LARGEST, reducing_gap=3.0)  # in place: copies of a large scan would not fit into the limit
            upright = ImageOps.exif_transpose(plain)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Refused(f"it has more than {PIXELS:,} pixels; scan it at a lower resolution") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise Refused("it is damaged or no such image; make it again and send it") from error
    return {"made": _save_pictures(upright, folder), "pages": None}


def _on_white(image: "Image.Image") -> "Image.Image":
    """Eight bits a colour, and transparent parts as paper."""
    from PIL import Image

    if image.mode in ("RGB", "L") and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        return image.point(lambda level: level / 256).convert("L").convert("RGB")
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _save_pictures(picture: "Image.Image", folder: str) -> list[str]:
    for name, width in (("preview", PREVIEW_WIDTH), ("thumbnail", THUMBNAIL_WIDTH)):
        _fitted(picture, width).save(os.path.join(folder, f"{name}.png"), format="PNG")
    return ["preview", "thumbnail"]


def _fitted(picture: "Image.Image", width: int) -> "Image.Image":
    scale = min(width / picture.width, TALLEST * width / picture.height, 1)
    if scale == 1:
        return picture
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, reducing_gap=3.0)


def tell(limits: str, work: Callable[[], dict[str, Any]]) -> None:
    """Do the work within its limits, print what came of it, and be gone."""
    limit_myself(json.loads(limits))
    try:
        answer = work()
    except Refused as refused:
        answer = {"reason": str(refused)}
    except MemoryError:
        answer = {"reason": "it needs more memory than a document may; make it simpler and send it"}
    except ImportError:
        raise  # our fault, not the file's: no answer, so the caller says so
    except Exception as error:  # noqa: BLE001 - the readers raise nearly anything on a crafted file
        answer = {"reason": f"it is damaged ({type(error).__name__}); make it again and send it"}
    json.dump(answer, sys.stdout)
    sys.stdout.flush()
    # Tearing PDFium down walks the hostile document again; everything is told and on disk by now.
    os._exit(0)


def main(arguments: list[str]) -> None:
    limits, media_type, source, folder = arguments
    pdf = media_type == "application/pdf"
    tell(limits, lambda: render_pdf(source, folder) if pdf else render_image(source, media_type, folder))


if __name__ == "__main__":
    main(sys.argv[1:])
