"""Files that nobody can look into, and those that are dangerous to unpack. Known by their bytes, not their names."""

import re
from pathlib import Path

from docflow.adapters.mail.archives import Bomb, Locked, Unpacking

ENCRYPTED, ARCHIVE_BOMB = "encrypted", "archive_bomb"
BROKEN_ARCHIVE = "broken archive"
_PGP_MESSAGE = b"-----BEGIN PGP MESSAGE-----"
_PGP_LINE = re.compile(r"^-----BEGIN PGP MESSAGE-----", re.MULTILINE)
_PGP_ENDINGS = (".pgp", ".gpg")
_PGP_PACKETS = b"\x84\x85\x8c\x8d\xc1\xc3"  # a session key, public-key or by passphrase (RFC 9580, 5.1 and 5.3)
_ARMOUR_WITHIN = 4096
_PDF_WITHIN = 1024
_PDF_PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OFFICE_PACKAGE = "EncryptedPackage".encode("utf-16-le")  # MS-OFFCRYPTO 2.3.4.4


class Hazards:
    """What stands in the way of one mail; the first that is found counts."""

    def __init__(self) -> None:
        self.found: dict[str, str] | None = None
        self.defects: set[str] = set()
        self._unpacking = Unpacking()

    def encrypted(self, what: str) -> None:
        self._found(
            ENCRYPTED, f"{what} is encrypted. Ask the sender for a copy that can be read, or release it as it is."
        )

    def look_at(self, path: Path, content: bytes, name: str) -> None:
        """``path`` holds ``content``, which is only here to be looked at without reading it again."""
        try:
            self._unpacking.look(content)
        except Locked:
            self.encrypted(f"The archive '{name}'")
        except Bomb as bomb:
            self._found(ARCHIVE_BOMB, f"'{name}' {bomb}. Do not unpack it; ask the sender what it is.")
        if self._unpacking.broken:
            self.defects.add(BROKEN_ARCHIVE)
        if is_encrypted(path, content, name):
            self.encrypted(f"'{name}'")

    def look_at_text(self, text: str) -> None:
        if _PGP_LINE.search(text):
            self.encrypted("Its text")

    def _found(self, code: str, message: str) -> None:
        self.found = self.found or {"code": code, "message": message}


def is_encrypted(path: Path, content: bytes, name: str) -> bool:
    if content.startswith(_OLE):
        return _OFFICE_PACKAGE in content
    if b"%PDF-" in content[:_PDF_WITHIN]:
        return b"/Encrypt" in content and _needs_password(path)
    if name.lower().endswith(_PGP_ENDINGS) and content[:1] and content[0] in _PGP_PACKETS:
        return True
    return content[:_ARMOUR_WITHIN].lstrip().startswith(_PGP_MESSAGE)


def _needs_password(path: Path) -> bool:
    """Many PDFs are encrypted with an empty password and open for everybody. The library takes 60 ms to import."""
    import pypdfium2

    try:
        pypdfium2.PdfDocument(path).close()
    except pypdfium2.PdfiumError as error:
        return bool(error.err_code == _PDF_PASSWORD_ERROR)
    return False
