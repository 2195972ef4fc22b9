"""``docflow audit``: prove that history holds."""

import typer
from sqlalchemy.orm import Session

from docflow.cli.group import DataDir, commands, console

app = commands(help="Prove that history holds.")


@app.callback()
def _audit() -> None:
    """Prove that history holds."""


@app.command()
def verify(data_dir: DataDir = None) -> None:
    """Walk every chain of history; status 1 and the documents' names where one does not hold."""
    from docflow.cli.running import opened
    from docflow.services import audit

    with opened(data_dir) as container:
        # One consistent picture: a move made meanwhile would look like a break.
        engine = container.engine.execution_options(isolation_level="REPEATABLE READ")
        with Session(engine) as session:
            found = audit.verify(session)
    for problem in found.problems:
        typer.echo(problem, err=True)
    if found.problems:
        typer.echo(f"{len(found.problems)} problems in {found.documents} documents", err=True)
        raise typer.Exit(1)
    console.print(
        f"History holds: {found.documents} documents, {found.rows} rows, every chain whole, and what is stored is what "
        "history tells."
    )
