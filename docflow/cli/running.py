"""How a command finds the docflow that runs in a folder, or opens the folder itself when none does."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from docflow.bootstrap import Container, build
from docflow.domain.errors import Unavailable
from docflow.local.keys import write_private
from docflow.local.lock import is_held
from docflow.local.machine import Machine
from docflow.settings import Settings

DEFAULT = Path("var")
_PREFIX = "DOCFLOW_"
_SECRETS = "SECRETS__"


def announce(data_dir: Path, environment: Mapping[str, str]) -> None:
    """Leave the settings of the running docflow in its folder, for its owner only: commands see what it sees."""
    ours = {name: value for name, value in environment.items() if name.startswith(_PREFIX)}
    write_private(_file(data_dir), json.dumps(ours, indent=2, sort_keys=True))


def withdraw(data_dir: Path) -> None:
    _file(data_dir).unlink(missing_ok=True)


def environment_of(data_dir: Path) -> dict[str, str] | None:
    """The settings of the docflow that runs in ``data_dir``; None where none does."""
    if not is_held(data_dir):
        return None
    try:
        found: dict[str, str] = json.loads(_file(data_dir).read_text())
    except FileNotFoundError:
        raise Unavailable(f"The docflow in {data_dir} is just starting or stopping. Try again in a moment.") from None
    return found


def settings_from(environment: Mapping[str, str]) -> Settings:
    """``environment`` goes before what the process's own environment says."""
    ours = {name.removeprefix(_PREFIX): value for name, value in environment.items() if name.startswith(_PREFIX)}
    secrets = {name.removeprefix(_SECRETS).lower(): value for name, value in ours.items() if name.startswith(_SECRETS)}
    given: dict[str, Any] = {name.lower(): value for name, value in ours.items() if not name.startswith(_SECRETS)}
    return Settings(**given | ({"secrets": secrets} if secrets else {}))


@contextmanager
def settings(data_dir: Path | None) -> Iterator[Settings]:
    """The settings a command works with: the environment's, a running docflow's, or those of a folder whose database
    and object store are started for the length of the command.

    Raises Unavailable where there is nothing to work on.
    """
    if data_dir is None and os.environ.get("DOCFLOW_DATABASE_URL"):
        yield Settings()
        return
    folder = data_dir or Path(os.environ.get("DOCFLOW_DATA_DIR", DEFAULT))
    running = environment_of(folder)
    if running is not None:
        yield settings_from(running)
    elif (folder / "postgres").exists():
        with Machine(folder, prefect=False) as machine:
            yield settings_from(machine.environment())
    else:
        raise Unavailable(
            f"There is no docflow in {folder}. Start one with 'docflow up --data-dir {folder}', name its folder with "
            "--data-dir, or set DOCFLOW_DATABASE_URL."
        )


@contextmanager
def opened(data_dir: Path | None) -> Iterator[Container]:
    with settings(data_dir) as found:
        container = build(found, name="docflow-cli")
        try:
            yield container
        finally:
            container.close()


def _file(data_dir: Path) -> Path:
    return data_dir / "environment.json"
