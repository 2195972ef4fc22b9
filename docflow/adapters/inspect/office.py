"""PDFs of office documents by LibreOffice, where it is installed: a hostile document costs one limited process."""

import json
import os
import shutil
import tempfile
from pathlib import Path
from threading import Lock
from xml.sax.saxutils import escape

from docflow.adapters.inspect import limited
from docflow.domain.errors import UnsupportedFile

_WORKER = "docflow.adapters.inspect.office_worker"
_OPEN_XML = "application/vnd.openxmlformats-officedocument"
FONTS = Path(__file__).parents[1] / "fonts"
RESTART = 81
"""How LibreOffice ends when it has made a new profile and wants to be started again."""

TEXTS = {
    f"{_OPEN_XML}.wordprocessingml.document": "MS Word 2007 XML",
    "application/vnd.oasis.opendocument.text": "writer8",
    "application/msword": "MS Word 97",
    "text/rtf": "Rich Text Format",
    "application/rtf": "Rich Text Format",
}
SHEETS = {
    f"{_OPEN_XML}.spreadsheetml.sheet": "Calc MS Excel 2007 XML",
    "application/vnd.ms-excel": "MS Excel 97",
    "application/vnd.oasis.opendocument.spreadsheet": "calc8",
}
"""Each media type's filter, named to LibreOffice: left to guess, it takes what is damaged for plain text."""

PROGRAM = "soffice.bin"
PLACES = ("/usr/lib/libreoffice/program", "/usr/lib64/libreoffice/program", "/opt/libreoffice/program")

PROFILE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
{items}
</oor:items>
"""
ITEM = (
    '<item oor:path="/org.openoffice.{path}"><prop oor:name="{name}" oor:op="fuse"><value>{value}</value></prop></item>'
)
FORBIDDEN = (
    ("Office.Common/Security/Scripting", "MacroSecurityLevel", "3"),
    ("Office.Common/Security/Scripting", "DisableMacrosExecution", "true"),
    ("Office.Common/Security/Scripting", "BlockUntrustedRefererLinks", "true"),
    ("Office.Writer/Content/Update", "Link", "2"),
    ("Office.Calc/Content/Update", "Link", "2"),
    ("Office.Common/Misc", "UseLocking", "false"),
)
"""No macros, nothing fetched from elsewhere: neither pictures of the network nor files of this machine."""

FONTS_CONF = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
<include ignore_missing="yes">/etc/fonts/fonts.conf</include>
<dir>{fonts}</dir>
<cachedir>{cache}</cachedir>
<alias><family>Times New Roman</family>
<prefer><family>Times New Roman</family><family>Liberation Serif</family><family>Noto Serif</family></prefer></alias>
<alias><family>serif</family><prefer><family>Noto Serif</family></prefer></alias>
</fontconfig>
"""


class LibreOffice:
    """``ports.OfficeConverter``; one conversion at a time in a process. ``timeout`` is wall-clock seconds of one,
    ``memory`` bytes of address space. ``program`` is its folder, looked for where none is given."""

    def __init__(
        self, program: Path | None = None, *, timeout: int = 50, memory: int = 4 << 30, largest: int = 256 << 20
    ) -> None:
        self._program = next((at for at in ([program] if program else _places()) if (at / PROGRAM).is_file()), None)
        self._timeout = timeout
        self._limits = json.dumps(
            {"CPU": timeout, "AS": memory, "FSIZE": largest, "NOFILE": 256, "CORE": 0, "WALL": timeout + 5}
        )
        self._turn = Lock()

    @property
    def installed(self) -> bool:
        return self._program is not None

    def converts(self, media_type: str) -> bool:
        if self._program is None:
            return False
        return media_type in TEXTS or (media_type in SHEETS and (self._program / "libsclo.so").exists())

    def to_pdf(self, source: Path, media_type: str, into: Path) -> Path | None:
        if self._program is None or not self.converts(media_type):
            return None
        filter_name = (TEXTS | SHEETS)[media_type]
        with self._turn, tempfile.TemporaryDirectory(prefix="docflow-office-") as folder:
            made = self._convert(self._program / PROGRAM, source, filter_name, Path(folder))
            return Path(shutil.move(made, into / "document.pdf"))

    def _convert(self, program: Path, source: Path, filter_name: str, work: Path) -> Path:
        """Its profile is new each time, so that no document leaves anything to the next."""
        made = work / "made" / "document.pdf"
        made.parent.mkdir()
        copy = Path(shutil.copyfile(source, work / "document"))
        environment = _environment(work)
        arguments: list[str | Path] = [self._limits, program, work / "profile", filter_name, copy, made.parent]
        try:
            code = limited.run(_WORKER, arguments, seconds=self._timeout, more=environment)
            if code == RESTART:
                code = limited.run(_WORKER, arguments, seconds=self._timeout, more=environment)
        except TimeoutError as error:
            raise _refused(f"LibreOffice took more than {self._timeout} seconds for it") from error
        if code < 0:
            raise _refused(f"it needs more than a document may, or it crashed LibreOffice (signal {-code})")
        if code or not made.is_file() or made.is_symlink():
            raise _refused("LibreOffice cannot read it; it is damaged or protected with a password")
        return made


def _places() -> list[Path]:
    on_path = shutil.which("soffice")
    return [*([Path(os.path.realpath(on_path)).parent] if on_path else []), *map(Path, PLACES)]


def _environment(work: Path) -> dict[str, str]:
    settings = work / "profile" / "user" / "registrymodifications.xcu"
    settings.parent.mkdir(parents=True)
    items = "\n".join(ITEM.format(path=path, name=name, value=value) for path, name, value in FORBIDDEN)
    settings.write_text(PROFILE.format(items=items), "utf-8")
    fonts = work / "fonts.conf"
    fonts.write_text(FONTS_CONF.format(fonts=escape(str(FONTS)), cache=escape(str(work / "fonts"))), "utf-8")
    return {"HOME": str(work), "TMPDIR": str(work), "FONTCONFIG_FILE": str(fonts), "SAL_USE_VCLPLUGIN": "svp"}


def _refused(reason: str) -> UnsupportedFile:
    return UnsupportedFile(f"No PDF can be made of the file: {reason}.", reason=reason)
