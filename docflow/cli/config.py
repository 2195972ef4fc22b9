"""``docflow config``: check the files, apply them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from docflow.cli.group import DataDir, commands, console
from docflow.domain.errors import ConfigInvalid

if TYPE_CHECKING:
    from docflow.bootstrap import Container

app = commands(help="Check and apply the configuration files.")

Folder = Annotated[
    Path | None, typer.Option("--config-dir", metavar="DIR", help="Default: DOCFLOW_CONFIG_DIR, else ./config.")
]


@app.command()
def check(config_dir: Folder = None) -> None:
    """Read all files and name every problem with its file, line, field and remedy."""
    from docflow.adapters import config_files

    folder = _folder(config_dir)
    try:
        loaded = config_files.load(folder)
        if (folder / "demo").is_dir():
            config_files.load_demo(folder / "demo")
    except ConfigInvalid as error:
        tell(error)
        raise typer.Exit(1) from None
    console.print(
        f"{folder} is in order: {len(loaded.routes)} routes, {len(loaded.document_types)} document types, "
        f"{len(loaded.mail_rules)} mail rules."
    )


@app.command()
def apply(data_dir: DataDir = None, config_dir: Folder = None) -> None:
    """Store the files as a new version; documents that are under way keep the version they began with, and another
    calendar moves their deadlines."""
    from docflow.adapters import config_files
    from docflow.cli.running import opened
    from docflow.services import configuration

    try:
        loaded = config_files.load(_folder(config_dir))
    except ConfigInvalid as error:
        tell(error)
        raise typer.Exit(1) from None
    with opened(data_dir) as container:
        with container.sessions.begin() as session:
            number, new = configuration.apply(session, loaded, config_files.digest(loaded), container.clock())
        console.print(f"Version {number} is applied." if new else f"Nothing changed: version {number} says the same.")
        _move_deadlines(container)


def _move_deadlines(container: Container) -> None:
    """To the end, batch by batch; also what an interrupted call before this one left behind."""
    from docflow.services import recalculation
    from docflow.services.asked import Asked

    with container.sessions.begin() as session:
        if not recalculation.wanted(session, container.pictures):
            return
        version, _ = container.pictures.current_calendars(session)
    more = True
    while more:
        with container.sessions.begin() as session:
            more = recalculation.recalculate_some(session, container.pictures, Asked(container.clock(), "cli"))
    with container.sessions.begin() as session:
        found = recalculation.outcome(session, version)
    console.print(
        f"Deadlines that the calendar moved: {found.clocks}; documents: {found.documents}; "
        f"passed by it: {found.breaches}."
    )


def _folder(given: Path | None) -> Path:
    from docflow.settings import Settings

    return given or Settings().config_dir


def tell(error: ConfigInvalid) -> None:
    problems = error.details["problems"]
    for p in problems:
        spot = f"{p['file']}:{p['line']} {p['field']}".rstrip()
        typer.echo(f"{spot}: {p['problem']} -> {p['remedy']}", err=True)
    typer.echo(f"{len(problems)} problem{'s' if len(problems) != 1 else ''}", err=True)
