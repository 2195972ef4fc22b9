"""What a signature shows, and where on the page (domain.md §7)."""

from dataclasses import replace
from pathlib import Path

from docflow.domain.signing_settings import Place, SigningSettings
from docflow.services.signing_ports import Box, Layout, Placer

BLANK = "docflow_blank_"

POINTS = 72 / 25.4
"""In a millimetre."""


def placed(placer: Placer, source: Path, settings: SigningSettings, kind: str, signer: str, notation: str) -> Layout:
    """Where things go on a PDF of a document type: by the first template that is for it, else by the signer's name."""
    template = next((t for t in settings.stamps.templates if not t.types or kind in t.types), None)
    anchor = template.anchor if template else None
    place = _box(template.place) if template and template.place else None
    return _named(placer.place(source, signer=signer, anchor=anchor, place=place, notation=notation))


def _named(layout: Layout) -> Layout:
    """Blanks by what they show: under these names they are found again, and may be filled after a signature."""
    return replace(layout, blanks=tuple(replace(blank, name=f"{BLANK}{blank.shows}") for blank in layout.blanks))


def _box(place: Place) -> Box:
    return Box(place.page, place.x * POINTS, place.y * POINTS, place.width * POINTS, place.height * POINTS)
