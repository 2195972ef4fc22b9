"""``docflow up``: one machine, everything, until it is told to stop."""

import contextlib
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from docflow.bootstrap import Container
from docflow.cli.group import console
from docflow.cli.house import House
from docflow.domain.roles import Role
from docflow.services import people

ADMIN = "admin"


def run(data_dir: Path, port: int | None, api_processes: int) -> None:
    with interruptible(), contextlib.suppress(KeyboardInterrupt):
        _run(data_dir, port, api_processes)
    console.print("Stopped.")


def _run(data_dir: Path, port: int | None, api_processes: int) -> None:
    with contextlib.ExitStack() as stack:
        with console.status("starting") as status:
            say = status.update if console.is_terminal else console.print
            house = stack.enter_context(House(data_dir, port=port, api_processes=api_processes, say=say))
            welcome_admin(house.container)
            house.open()
        _greet(house)
        with house.supervisor.listening():
            house.supervisor.wait()
        console.print("Stopping.")


def welcome_admin(container: Container) -> None:
    password = first_admin(container)
    if password is not None:
        console.print(f"First start: sign in as [bold]{ADMIN}[/] with [bold]{password}[/] (shown only this once).")


def _greet(house: House) -> None:
    console.print(f"\n[bold]docflow runs at {house.address}[/]")
    console.print(f"  its description   {house.address}/api/openapi.json")
    console.print(f"  Prefect           {house.environment['DOCFLOW_PREFECT_API_URL'].removesuffix('/api')}")
    console.print(f"  data and logs     {house.data_dir}")
    console.print("\nCtrl-C stops it.")


def first_admin(container: Container) -> str | None:
    """An administrator with a random password where there is nobody yet; None where there is somebody."""
    with container.sessions.begin() as session:
        if people.count_users(session):
            return None
        agency = container.pictures.newest(session)[1].agency
        people.create_unit(session, people.NewUnit(code=agency.root_unit, name=agency.name))
        password = secrets.token_urlsafe(12)
        membership = people.NewMembership(unit=agency.root_unit, role=Role.ADMIN)
        new = people.NewUser(username=ADMIN, full_name="Administrator", password=password, memberships=(membership,))
        people.create_user(session, new, container.clock())
    return password


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM ends what is being done as Ctrl-C does, so that a start which is broken off leaves nothing behind."""

    def heard(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
