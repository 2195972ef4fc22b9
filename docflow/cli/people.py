"""``docflow user`` and ``docflow token``."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from docflow.cli.group import DataDir, commands, console
from docflow.domain.errors import Invalid
from docflow.domain.roles import Role

if TYPE_CHECKING:
    from docflow.services.people import NewMembership

users = commands(help="People who may sign in.")
tokens = commands(help="Bearer tokens for programs.")


@users.callback()
def _users() -> None:
    """People who may sign in."""


@tokens.callback()
def _tokens() -> None:
    """Bearer tokens for programs."""


@users.command()
def add(
    username: Annotated[str, typer.Argument(help="Lower-case letters, digits, '.', '_' and '-'.")],
    full_name: Annotated[str, typer.Option("--name", help="Full name, as it stands in history.")],
    member: Annotated[
        list[str] | None,
        typer.Option("--member", metavar="UNIT:ROLE[:POSITION]", help="A membership; may be given several times."),
    ] = None,
    email: Annotated[str | None, typer.Option()] = None,
    clearance: Annotated[int, typer.Option(min=0, max=3, help="0 none, 1 mật, 2 tối mật, 3 tuyệt mật.")] = 0,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Enter a person. The password is asked for, never taken from the command line."""
    from docflow.cli.running import opened
    from docflow.services import people

    memberships = tuple(_membership(text) for text in member or ())
    new = people.NewUser(
        username=username,
        full_name=full_name,
        email=email,
        clearance=clearance,
        memberships=memberships,
        password=_password(password_stdin),
    )
    with opened(data_dir) as container, container.sessions.begin() as session:
        user = people.create_user(session, new, container.clock())
    console.print(f"{user.username} ({user.full_name}) may sign in. Id {user.id}.")


@tokens.command()
def create(
    user: Annotated[str, typer.Option("--user", help="Whose rights the token has: username or id.")],
    scopes: Annotated[str, typer.Option(help="Comma-separated; none means all the user may do.")] = "",
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it lasts.")] = 90,
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    data_dir: DataDir = None,
) -> None:
    """Make a token and print it once; only its hash is kept."""
    from docflow.cli.running import opened
    from docflow.services import auth, people

    wanted = frozenset(s.strip() for s in scopes.split(",") if s.strip())
    with opened(data_dir) as container, container.sessions.begin() as session:
        owner = people.find_user(session, user)
        secret, row = auth.issue_token(
            session, owner.id, container.clock(), name=name, scopes=wanted, lasts=timedelta(days=days)
        )
    typer.echo(secret)
    typer.echo(f"Valid until {row.expires_at:%Y-%m-%d %H:%M} UTC. It is shown only this once.", err=True)


def _membership(text: str) -> NewMembership:
    from docflow.services import people

    unit, _, rest = text.partition(":")
    role, _, position = rest.partition(":")
    if not unit or role not in list(Role):
        raise Invalid(f"'{text}' is no membership. Write UNIT:ROLE, with one of: {', '.join(Role)}.")
    return people.NewMembership(unit=unit, role=Role(role), position=position)


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(typer.prompt("Password (10 characters or more)", hide_input=True, confirmation_prompt=True))
