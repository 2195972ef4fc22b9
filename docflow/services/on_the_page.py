"""What a signature shows, and where on the page (domain.md §7)."""

from pathlib import Path

from docflow.domain.signing_settings import Place, SigningSettings
from docflow.services.ports import Box, Layout, Placer

POINTS = 72 / 25.4
"""In a millimetre."""


def placed(placer: Placer, source: Path, settings: SigningSettings, kind: str, signer: str, notation: str) -> Layout:
    """Where things go on a PDF of a document type: by the first template that is for it, else by the signer's name."""
    for template in settings.stamps.templates:
        if not template.types or kind in template.types:
            place = _box(template.place) if template.place else None
            return placer.place(source, signer=signer, anchor=template.anchor, place=place, notation=notation)
    return placer.place(source, signer=signer, anchor=None, place=None, notation=notation)


def _box(place: Place) -> Box:
    return Box(place.page, place.x * POINTS, place.y * POINTS, place.width * POINTS, place.height * POINTS)
