"""What all commands share: expected failures become one clear line, shared options are named once."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from sqlalchemy.exc import InterfaceError, OperationalError
from typer.core import TyperGroup

from docflow.domain.errors import DocflowError

console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 140)

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="The folder of a docflow on this machine. Without it DOCFLOW_DATABASE_URL is used, else ./var.",
    ),
]


class Commands(TyperGroup):
    """An expected failure is told in a line on stderr with exit status 1, never with a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except DocflowError as error:
            fail(error.message)
        except ValidationError as error:
            fail(_told(error))
        except (OperationalError, InterfaceError) as error:
            fail(f"The database does not answer as it should: {_first_line(error.orig)}")


def fail(message: str) -> None:
    typer.secho(f"docflow: {message}", err=True, fg="red" if console.is_terminal else None)
    raise typer.Exit(1)


def _told(error: ValidationError) -> str:
    found = (f"{'.'.join(map(str, e['loc'])) or error.title}: {e['msg']}" for e in error.errors(include_url=False))
    return "\n         ".join(found)


def _first_line(error: object) -> str:
    return next(iter(str(error).strip().splitlines()), "no answer")


def commands(name: str | None = None, help: str = "") -> typer.Typer:
    return typer.Typer(name=name, help=help, cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)
