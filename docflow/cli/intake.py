"""``docflow intake``: bring mails in from files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from docflow.cli.group import DataDir, commands, console
from docflow.cli.intake_explain import explain
from docflow.domain.errors import DocflowError, NotFound

if TYPE_CHECKING:
    from docflow.bootstrap import Container
    from docflow.services.intake import Received

app = commands(help="Bring mails in from files.")

FAILED = "failed"
COLOURS = {"document": "green", "linked": "green", "duplicate": "yellow", "quarantine": "magenta", FAILED: "red"}
MAILDIR = ("cur", "new")
app.command()(explain)


@app.callback()
def _intake() -> None:
    """Bring mails in from files."""


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="An .eml file, a folder of them, or a maildir (cur and new).")],
    data_dir: DataDir = None,
) -> None:
    """Take mails in, one transaction each. What was taken in before is told, not doubled.

    A mail that fails does not stop the others; the status is 1 where one could not be stored.
    """
    from docflow.cli.running import opened

    files = list(mails_in(path))
    if not files:
        raise NotFound(f"There is no mail in {path}. Name an .eml file, a folder with some, or a maildir.")
    table = Table("file", "result", "document", "reason", box=None, pad_edge=False)
    counts: Counter[str] = Counter()
    with opened(data_dir) as container:
        for file in files:
            state, document, reason = _take(container, file)
            counts[state] += 1
            shown = str(file.relative_to(path)) if path.is_dir() else file.name
            table.add_row(escape(shown), f"[{COLOURS[state]}]{state}[/]", document, escape(reason))
    console.print(table)
    console.print(", ".join(f"{counts[state]} {state}" for state in COLOURS if counts[state]))
    raise typer.Exit(1 if counts[FAILED] else 0)


def mails_in(path: Path) -> Iterator[Path]:
    """The mails below ``path`` in the order of their names; a maildir's unfinished ones (tmp) are left out."""
    if path.is_file():
        yield path
        return
    for file in sorted(path.rglob("*")):
        if file.is_file() and (file.suffix.lower() == ".eml" or file.parent.name in MAILDIR):
            yield file


def _take(container: Container, file: Path) -> tuple[str, str, str]:
    try:
        received = receive_file(container, file)
    except DocflowError as error:
        return FAILED, "", error.message
    except (OSError, SQLAlchemyError) as error:
        return FAILED, "", str(error).partition("\n")[0]
    return received.state, str(received.document_id or ""), received.reason


def receive_file(container: Container, file: Path) -> Received:
    from docflow.services import intake
    from docflow.services.asked import Asked

    with file.open("rb") as source:
        envelope = intake.Envelope("import", name=file.name)
        taken = intake.take_in(container.intake_tools, source, envelope, limit=container.settings.mail_limit)
    with container.sessions.begin() as session:
        received = intake.receive(session, container.pictures, taken, Asked(container.clock(), "mail"))
    container.waker.wake()
    return received
