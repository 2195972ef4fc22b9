"""``docflow intake``: bring letters in from files, see what waits in quarantine, prove the mailboxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
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
    from docflow.db.models import Intake
    from docflow.services.intake import Kind, Received

ABOUT = "Bring letters in from files, see what came in, prove the mailboxes."
app = commands(help=ABOUT)

FAILED = "failed"
COLOURS = {"document": "green", "linked": "green", "duplicate": "yellow", "quarantine": "magenta", FAILED: "red"}
MAILDIR = ("cur", "new")
PAPERS = (".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff")
ENDINGS = (".eml", ".edxml", ".xml", *PAPERS)
app.command()(explain)


class State(StrEnum):
    DOCUMENT = "document"
    LINKED = "linked"
    QUARANTINE = "quarantine"
    REJECTED = "rejected"


@app.callback(help=ABOUT)
def _intake() -> None: ...


@app.command("import")
def import_(
    path: Annotated[
        Path,
        typer.Argument(help="A mail, an edXML message, a PDF or a picture; a folder of them; a maildir (cur and new)."),
    ],
    data_dir: DataDir = None,
) -> None:
    """Take letters in, one transaction each. What was taken in before is told, not doubled.

    One that fails does not stop the others; the status is 1 where one could not be stored.
    """
    from docflow.cli.running import opened

    files = list(letters_in(path))
    if not files:
        raise NotFound(
            f"There is no letter in {path}. Name a mail (.eml), an edXML message (.edxml, .xml), a PDF or a picture, "
            "a folder with some, or a maildir."
        )
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


def letters_in(path: Path) -> Iterator[Path]:
    """The letters below ``path`` in the order of their names; a maildir's unfinished ones (tmp) are left out."""
    if path.is_file():
        yield path
        return
    for file in sorted(path.rglob("*")):
        if file.is_file() and (file.suffix.lower() in ENDINGS or file.parent.name in MAILDIR):
            yield file


def kind_of(container: Container, file: Path) -> Kind:
    """What the bytes are goes before what the name says; what is neither paper nor edXML is taken for a mail."""
    from docflow.services import folders

    if file.parent.name in MAILDIR:
        return "mail"
    with file.open("rb") as source:
        kind = folders.kind_of(file.name, container.inspector.sniff(source).media_type)
    return "mail" if kind == "file" and file.suffix.lower() not in PAPERS else kind


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
        kind, limit = kind_of(container, file), container.settings.mail_limit
        taken = intake.take_in(container.intake_tools, source, envelope, kind=kind, limit=limit)
    with container.sessions.begin() as session:
        received = intake.receive(session, container.pictures, taken, Asked(container.clock(), "mail"))
    container.waker.wake()
    return received


@app.command("list")
def list_(
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    channel: Annotated[str | None, typer.Option(help="Only those that came this way, such as mailbox.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10000, help="How many.")] = 50,
    data_dir: DataDir = None,
) -> None:
    """What came in, newest first: of a document neither sender nor subject, those are for who may read it."""
    from sqlalchemy import select

    from docflow.cli.running import opened
    from docflow.db.models import Intake

    query = select(Intake).order_by(Intake.id.desc()).limit(limit)
    if state is not None:
        query = query.where(Intake.state == state.value)
    if channel is not None:
        query = query.where(Intake.channel == channel)
    table = Table("received", "id", "channel", "state", "sender", "reason", box=None, pad_edge=False)
    with opened(data_dir) as container, container.sessions() as session:
        for row in session.scalars(query):
            table.add_row(*map(escape, _line(row)))
    console.print(table)


def _line(row: Intake) -> tuple[str, ...]:
    sender = row.sender if row.document_id is None else ""
    return f"{row.received_at:%Y-%m-%d %H:%M}", str(row.id), row.channel, row.state, sender, row.reason


@app.command()
def prove(
    mailbox: Annotated[str | None, typer.Option(help="Only this one; else all there are.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Compare mailboxes and ledger now, as is done every day; mails that stand nowhere are taken in.

    The status is 1 where they do not agree, or where a mailbox cannot be read.
    """
    from docflow.cli.running import opened
    from workflows.intake_mailbox import names

    with opened(data_dir) as container:
        found = [mailbox] if mailbox else names(container)
        if not found:
            raise NotFound("No mailbox is set. Name one in config/intake.yaml and apply it, or set DOCFLOW_IMAP_URL.")
        agreed = [_prove(container, name) for name in found]
    raise typer.Exit(0 if all(agreed) else 1)


def _prove(container: Container, name: str) -> bool:
    from workflows.intake_mailbox import prove_now

    try:
        proof = prove_now(container, name)
    except DocflowError as error:
        console.print(f"[red]{name}[/]: {escape(error.message)}", soft_wrap=True)
        return False
    if proof is None:
        console.print(f"[yellow]{name}[/]: stopped before it was done")
        return False
    sign = "[green]agrees[/]" if proof.agreed else "[red]does not agree[/]"
    console.print(f"{name}: {sign}: {proof.held} held, {proof.known} known, {proof.recovered} recovered")
    for finding in proof.findings:
        console.print(escape(f"  {finding.what}  {finding.place}  {finding.message_id}"), soft_wrap=True)
    return proof.agreed
