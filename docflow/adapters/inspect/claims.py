"""What a file's name claims, against what its bytes are. Pure."""

import re
import unicodedata
from pathlib import PurePosixPath

from docflow.domain.errors import Invalid, UnsupportedFile

NAME_LIMIT = 200
ACCEPTED = "PDF, PNG, JPEG and TIFF images, DOC, DOCX, ODT, XLSX, plain text, XML, EML and ASiC-E"
_OPEN_XML = "application/vnd.openxmlformats-officedocument"

FAMILIES = {
    "application/pdf": "PDF",
    "image/png": "image",
    "image/jpeg": "image",
    "image/tiff": "image",
    "application/msword": "text document",
    f"{_OPEN_XML}.wordprocessingml.document": "text document",
    "application/vnd.oasis.opendocument.text": "text document",
    f"{_OPEN_XML}.spreadsheetml.sheet": "spreadsheet",
    "text/plain": "plain text",
    "text/xml": "XML",
    "application/xml": "XML",
    "message/rfc822": "e-mail",
    "application/vnd.etsi.asic-e+zip": "signed container",
}
"""Accepted media types, each with its family."""

_EXTENSIONS = {
    "PDF": "pdf",
    "image": "png jpg jpeg jpe jfif tif tiff",
    "text document": "doc docx odt",
    "spreadsheet": "xlsx",
    "plain text": "txt text csv log md",
    "XML": "xml edxml xsd",
    "e-mail": "eml",
    "signed container": "asice sce",
    "program": "exe dll com scr msi bat cmd ps1 vbs js jar hta lnk sh apk",
    "web page": "html htm xhtml mht svg",
    "archive": "zip rar 7z gz tar iso",
    "document with macros": "docm xlsm dotm",
}
_FAMILY_OF_EXTENSION = {extension: family for family, listed in _EXTENSIONS.items() for extension in listed.split()}

# These are text to the eye too, so a name that promises no more than text is honest.
_ALSO_TEXT = frozenset({"XML", "e-mail"})


def check_claim(name: str, declared: str | None, sniffed: str) -> None:
    """Refuse bytes of a kind that is not accepted, or of another family than the name claims.

    The media type a sender declares is often wrong, so it counts only where the name says nothing.
    Raises UnsupportedFile naming both the claim and the finding.
    """
    found = FAMILIES.get(sniffed)
    claim, claimed = _claim(name, declared)
    if found is None:
        said = f" although {claim} claims {claimed}" if claimed else ""
        raise UnsupportedFile(
            f"'{name}' holds {sniffed}{said}. Accepted are {ACCEPTED}.", name=name, claimed=claimed, found=sniffed
        )
    if claimed is None or claimed == found or (claimed == "plain text" and found in _ALSO_TEXT):
        return
    raise UnsupportedFile(
        f"'{name}' is not what it says: {claim} claims {claimed}, its bytes are {found} ({sniffed}). "
        "Save it under its true type and send it again.",
        name=name,
        claimed=claimed,
        found=sniffed,
    )


def _claim(name: str, declared: str | None) -> tuple[str, str | None]:
    extension = PurePosixPath(name).suffix.lower().lstrip(".")
    if extension in _FAMILY_OF_EXTENSION:
        return f"the ending '.{extension}'", _FAMILY_OF_EXTENSION[extension]
    media_type = (declared or "").partition(";")[0].strip().lower()
    return f"the declared type '{media_type}'", FAMILIES.get(media_type)


def safe_name(name: str) -> str:
    """The file's own name: NFC, at most 200 characters, no folders, no control or invisible direction characters.

    Raises Invalid for a NUL, and where nothing is left.
    """
    if "\0" in name:
        raise Invalid("The file name holds a NUL character. Rename the file and send it again.", field="name")
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    visible = "".join(" " if character.isspace() else character for character in last)
    kept = "".join(c for c in visible if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    clean = " ".join(kept.split()).rstrip(". ")
    if not clean:
        raise Invalid("The file has no name. Give it one and send it again.", field="name")
    return _shortened(clean)


def _shortened(name: str) -> str:
    """Cut in the stem: the ending says what the file claims to be."""
    if len(name) <= NAME_LIMIT:
        return name
    suffix = PurePosixPath(name).suffix
    if len(suffix) > 20:
        return name[:NAME_LIMIT].rstrip()
    return name[: NAME_LIMIT - len(suffix)].rstrip() + suffix
