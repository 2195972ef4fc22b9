"""``docflow sla``: what another calendar, other allowances or absences would do to open deadlines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from docflow.cli.config import tell
from docflow.cli.group import DataDir, commands, console
from docflow.domain.errors import ConfigInvalid

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from docflow.services.simulation import Outlook, Totals, WhatIf

app = commands(help="Deadlines: what would be if.")
BAD_FILE = 2
MOST_LINES = 500
"""Lines of the table; CSV has all."""
WIDTH = 160
"""Columns it takes to show every cell whole."""
TITLES = ("Document", "Unit", "Holder", "Policy", "Due", "Would be due", "Moved by", "Breach")


@app.callback()
def _sla() -> None:
    """Deadlines: what would be if."""


@app.command("simulate")
def simulate_command(
    calendar: Annotated[
        Path | None, typer.Option("--calendar", metavar="FILE", help="A calendar.yaml to try instead.")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option("--policy", metavar="FILE", help="A sla.yaml: its policies replace those of its names."),
    ] = None,
    absent: Annotated[
        list[str] | None,
        typer.Option("--absent", metavar="USER:FROM..TO", help="Somebody who is away; may be given several times."),
    ] = None,
    csv: Annotated[str | None, typer.Option("--csv", metavar="FILE", help="Write CSV there; - is stdout.")] = None,
    unit: Annotated[str | None, typer.Option("--unit", metavar="CODE", help="This unit and all below it.")] = None,
    every: Annotated[bool, typer.Option("--all", help="List what stays as it is, too.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Which open deadlines would move, and which would be missed. Nothing is written; bad files end with status 2."""
    from docflow.cli.running import opened
    from docflow.services.simulation import Eyes, Totals, simulate

    what_if = _what_if(calendar, policy, absent or [], unit)
    totals = Totals()
    with opened(data_dir) as container, container.sessions.begin() as session:
        # All of it of one instant, however long it takes.
        session.connection(execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})
        pictures = container.pictures
        zone = pictures.current_calendars(session)[1].by_name("").zone
        found = simulate(session, pictures, what_if, container.clock(), Eyes(), totals)
        wanted = (outlook for outlook in found if every or outlook.changed or outlook.breach is not None)
        if csv is not None:
            _write(wanted, csv, zone)
        else:
            _print(wanted, zone)
    _tell_totals(totals, what_if, to_stderr=csv == "-")


def _what_if(calendar: Path | None, policy: Path | None, absent: list[str], unit: str | None) -> WhatIf:
    from docflow.adapters import config_files
    from docflow.services.simulation import WhatIf

    try:
        settings = config_files.load_calendar(calendar) if calendar is not None else None
        policies = config_files.load_sla(policy).policies if policy is not None else ()
    except ConfigInvalid as error:
        tell(error)
        raise typer.Exit(BAD_FILE) from None
    return WhatIf(settings, policies, tuple(absent), unit)


def _write(outlooks: Iterator[Outlook], csv: str, zone: ZoneInfo) -> None:
    from docflow.services.simulation_sheet import write_csv

    with _opened(csv) as out:
        write_csv(outlooks, out, zone)


@contextmanager
def _opened(csv: str) -> Iterator[TextIO]:
    if csv == "-":
        yield sys.stdout
        return
    with Path(csv).open("w", encoding="utf-8", newline="") as file:
        yield file


def _print(outlooks: Iterator[Outlook], zone: ZoneInfo) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in TITLES:
        table.add_column(title, no_wrap=True)
    for outlook in islice(outlooks, MOST_LINES):
        table.add_row(*_line(outlook, zone))
    left_out = sum(1 for _ in outlooks)
    if table.row_count:
        console.print(table, width=max(console.width, WIDTH), crop=False)
    if left_out:
        console.print(f"… and {left_out} more: all of them with --csv FILE.")


def _line(outlook: Outlook, zone: ZoneInfo) -> tuple[str, ...]:
    from docflow.services.simulation_sheet import local

    hours = outlook.moved_by.total_seconds() / 3600
    return (
        outlook.number or str(outlook.document_id),
        outlook.unit,
        outlook.holder,
        outlook.policy,
        local(outlook.old_due, zone),
        local(outlook.new_due, zone) if outlook.changed else "",
        f"{hours:+.2f} h" if outlook.changed else "",
        outlook.breach or "",
    )


def _tell_totals(totals: Totals, what_if: WhatIf, *, to_stderr: bool) -> None:
    from docflow.services.simulation_sheet import idle_policies

    breaches = ", ".join(f"{name} {count}" for name, count in totals.breaches.items() if count)
    lines = [
        f"{totals.clocks} open clocks: {totals.changed} changed, {totals.breaching} breaching, {totals.saved} saved, "
        f"{totals.unchanged} unchanged.{f' ({breaches})' if breaches else ''}"
    ]
    lines += [f"No open clock runs by the policy '{name}'." for name in idle_policies(totals, what_if)]
    for line in lines:
        if to_stderr:
            typer.echo(line, err=True)
        else:
            console.print(line)
