"""The command ``docflow``. What a command needs is imported when it runs, so that each starts quickly and small."""

import ipaddress
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from docflow.cli import audit, config, doctor, intake, people, sign, sla
from docflow.cli.group import DataDir, commands, console
from docflow.domain.errors import Invalid

app = commands(help="docflow: documents of a public office, registered, assigned, reviewed, signed, dispatched.")
app.add_typer(config.app, name="config")
app.add_typer(sla.app, name="sla")
app.add_typer(people.users, name="user")
app.add_typer(people.tokens, name="token")
app.add_typer(intake.app, name="intake")
app.add_typer(audit.app, name="audit")
app.command()(doctor.doctor)
app.command()(sign.sign)

Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Port of the API. Default: the last one, or 8000.")]


@app.command()
def up(
    data_dir: Annotated[Path, typer.Option(metavar="DIR", help="Where everything is kept.")] = Path("var"),
    port: Port = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes of the API.")] = 1,
) -> None:
    """Run everything on this machine until Ctrl-C: database, object store, Prefect, API and worker."""
    from docflow.cli.up import run

    run(data_dir, port, workers)


@app.command()
def demo(
    data_dir: Annotated[Path, typer.Option(metavar="DIR", help="Where everything is kept.")] = Path("var/demo"),
    port: Port = None,
    mails: Annotated[int, typer.Option(min=14, max=2000, help="How many mails come in.")] = 40,
    drafts: Annotated[int, typer.Option(min=10, max=500, help="How many documents are drafted.")] = 15,
    leave: Annotated[
        bool, typer.Option("--exit", help="End after the day: status 0, or 1 where anything does not agree.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw an earlier demo in that folder away first.")] = False,
) -> None:
    """A made-up district works a day, on real services: mails, drafts, reviews, signatures, deadlines.

    A second demo in the same folder adds another day.
    """
    from docflow.demo.run import run

    raise typer.Exit(run(data_dir, port, mails=mails, drafts=drafts, leave=leave, fresh=fresh))


@app.command()
def api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 1,
) -> None:
    """Serve the HTTP API with the settings of the environment."""
    import uvicorn

    if not _loopback(host) and not os.environ.get("DOCFLOW_SECRET_KEY"):
        raise Invalid(
            f"Others can reach {host}, and DOCFLOW_SECRET_KEY is not set. Set it to a random text, for example from: "
            "python3 -c 'import secrets; print(secrets.token_hex(32))'"
        )
    uvicorn.run(
        "docflow.api.serve:app_from_environment",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        access_log=False,
        log_level="warning",
    )


@app.command()
def worker(
    parts: Annotated[str, typer.Option(metavar="NAME,NAME", help="Only these parts of it, as router,deliver.")] = "",
) -> None:
    """Drive documents on and take letters in: router, deliveries, mailboxes, deadlines and all else; until SIGTERM."""
    from docflow.cli.worker import PARTS, run_worker
    from docflow.settings import Settings

    chosen = tuple(dict.fromkeys(part.strip() for part in parts.split(",") if part.strip()))
    run_worker(Settings(), chosen or PARTS)


@app.command()
def migrate(data_dir: DataDir = None) -> None:
    """Bring the database's schema to the newest version."""
    from docflow.bootstrap import build
    from docflow.cli import schema
    from docflow.cli.running import settings

    with settings(data_dir) as found:
        container = build(found)
        try:
            schema.upgrade(found.database_url)
            console.print(f"The schema is at revision {schema.standing(container.engine)[0]}.")
        finally:
            container.close()


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def bench(context: typer.Context) -> None:
    """Measure (python -m docflow.bench; it takes the arguments, also --help)."""
    raise typer.Exit(subprocess.run([sys.executable, "-m", "docflow.bench", *context.args], check=False).returncode)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
