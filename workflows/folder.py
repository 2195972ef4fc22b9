"""Takes in what scanners and other programs drop into watched folders (``config/intake.yaml``).

Looked at every few seconds: mounted folders tell nobody of changes. A file is stored and committed first and put away
then; killed in between, it is found known and only put away.
"""

import logging
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

from prefect import flow
from sqlalchemy.exc import InterfaceError, OperationalError

from docflow.adapters.folder import Changed, WatchedFolder
from docflow.adapters.inspect.claims import safe_name
from docflow.domain.errors import Invalid, Unavailable
from docflow.domain.intake_settings import FolderSettings
from docflow.services.batches import parted
from docflow.services.folders import Lying, kind_of, put_away_in
from docflow.services.intake import Envelope, Received, receive, take_in
from workflows.engine import Engine, run_name, take_turns
from workflows.one_at_a_time import alone

_log = logging.getLogger(__name__)
LOOK = 3.0  # seconds between looks, whatever else goes on
AT_ONCE = 50  # files of one folder before the others have their turn


@dataclass(frozen=True, slots=True)
class _Round:
    folders: tuple[FolderSettings, ...]
    day: date


_watched: dict[tuple[str, int], WatchedFolder] = {}
"""By path and patience: how long files have been at rest is known by looking again, in this process."""
_away: dict[str, str] = {}
"""Folders that could not be looked at, with the reason as it was told."""


@flow(name="intake_folder", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def intake_folder(stay: bool = False) -> int:
    """Take in what lies at rest. Returns how many files were put away."""
    return await take_turns("folder", take_turn, stay=stay, nap=0.1, pause=LOOK)


async def take_turn(engine: Engine) -> int:
    """One look at each folder. Returns how many files were put away."""
    round_ = await engine.in_thread(_round, engine)
    taken = 0
    for folder in round_.folders:
        if not engine.stopping:
            taken += await _look(engine, folder, round_.day)
    return taken


def _round(engine: Engine) -> _Round:
    container = engine.container
    with container.sessions() as session:
        configuration = container.pictures.newest(session)[1]
    day = container.clock().astimezone(ZoneInfo(configuration.calendar.zone)).date()
    return _Round(configuration.intake.folders, day)


async def _look(engine: Engine, folder: FolderSettings, day: date) -> int:
    watched = _watched.setdefault((folder.path, folder.settle), WatchedFolder(Path(folder.path), folder.settle))
    files = await engine.in_thread(_at_rest, folder, watched)
    if not files:
        return 0
    taken = 0
    async with alone(engine, f"folder {folder.path}") as hold:
        for file in files[:AT_ONCE]:
            if engine.stopping or not hold or not await hold.still():
                break
            taken += await engine.in_thread(_taken, engine, folder, watched, file, day)
    return taken


def _at_rest(folder: FolderSettings, watched: WatchedFolder) -> list[Lying]:
    """None where the folder is away, such as a share that is not mounted; the others go on."""
    try:
        files = watched.at_rest(time.monotonic())
    except OSError as error:
        if _away.get(folder.name) != str(error):
            _log.warning("folder %s cannot be looked at; it is tried again: %s", folder.name, error)
        _away[folder.name] = str(error)
        return []
    if _away.pop(folder.name, None):
        _log.warning("folder %s can be looked at again", folder.name)
    return files


def _taken(engine: Engine, folder: FolderSettings, watched: WatchedFolder, file: Lying, day: date) -> bool:
    """Whether it was put away. One file's trouble is told, tried again later, and is no other's."""
    try:
        watched.put_away(file, put_away_in(_received(engine, folder, watched, file), day))
    except Changed:
        return False
    except (Unavailable, OperationalError, InterfaceError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it stands in nobody's way
        _log.warning("folder %s: %s stays and is tried again: %r", folder.name, file.path, error)
        watched.postpone(file, time.monotonic())
        return False
    return True


def _received(engine: Engine, folder: FolderSettings, watched: WatchedFolder, file: Lying) -> list[Received]:
    """One for each letter in it, all in one transaction."""
    container = engine.container
    tools, settings = container.intake_tools, container.settings
    envelope = Envelope("folder", source=folder.name, place=file.place, name=_name(file))
    with watched.opened(file) as source:
        kind = kind_of(file.name, tools.inspector.sniff(source).media_type)
        limit = settings.mail_limit if kind == "mail" else settings.upload_limit
        taken = take_in(tools, source, envelope, kind=kind, limit=limit)
        watched.require_unchanged(source, file)
    letters = [taken]
    if folder.separator is not None and tools.parter is not None:
        letters = parted(tools.store, tools.parter, taken, folder.separator)
    with container.sessions.begin() as session:
        received = [receive(session, container.pictures, letter, engine.asked()) for letter in letters]
    container.waker.wake()
    return received


def _name(file: Lying) -> str:
    """Empty where nothing of it can be shown."""
    try:
        return safe_name(file.name)
    except Invalid:
        return ""
