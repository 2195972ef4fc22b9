"""``docflow demo``: the parts, the people, the day, the proof."""

import random
import secrets
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path

from sqlalchemy import func, select

from docflow.adapters import config_files
from docflow.adapters.mail.sink import MailSink
from docflow.bootstrap import Container, now_utc
from docflow.cli.group import console
from docflow.cli.house import House
from docflow.cli.up import interruptible
from docflow.db.models import History
from docflow.demo import day, figures, letters, proof, stamps
from docflow.demo.dial import Dial, next_morning
from docflow.demo.incoming import CHAIRMAN, DEPUTY, OTHER_DEPUTY
from docflow.demo.office import Office
from docflow.demo.scene import Scene
from docflow.demo.screen import Screen
from docflow.domain.deadlines import WorkingCalendar
from docflow.domain.errors import Invalid, Unavailable
from docflow.domain.signing_settings import AGENCY
from docflow.local.keys import kept
from docflow.local.lock import is_held
from docflow.services import people
from docflow.services.stamps import set_stamp_image

AT_ONCE = 3
"""Mails handed over at a time: their parsing takes a process each."""

SIGNATURE_MM, SEAL_MM = (48.0, 20.0), (38.0, 38.0)
"""Width and height on paper."""

PEOPLE = (
    ("chutich", "chairman"),
    ("phochutich1", "deputy chairwoman"),
    ("vanthu1", "clerk"),
    ("ngansach2", "handler"),
    ("ngansach1", "unit head"),
    ("thanhtra1", "inspector"),
    ("quantri", "administrator"),
)


@dataclass(frozen=True)
class Stage:
    """What the play is set on."""

    house: House
    sink: MailSink
    dial: Dial
    password: str
    screen: Screen


def run(data_dir: Path, port: int | None, *, mails: int, drafts: int, leave: bool, fresh: bool) -> int:
    """Play a day. Returns the exit status: 0, or 1 where anything does not agree."""
    folder = data_dir.absolute()
    agreed = False
    with interruptible():
        try:
            _admit(folder, fresh)
            with ExitStack() as stack:
                stage = _set_up(stack, folder, port)
                agreed = _play(stage, mails, drafts)
                if not leave:
                    _stay(stage)
        except KeyboardInterrupt:
            console.print("Broken off.")
            return 130
    return 0 if agreed else 1


def _admit(folder: Path, fresh: bool) -> None:
    """Raises where the folder holds something else, or a demo that is running."""
    if is_held(folder):
        raise Unavailable(f"{folder} is in use by another docflow. Stop that one, or choose another --data-dir.")
    if (folder / "postgres").exists() and not _secret(folder).exists():
        raise Invalid(f"{folder} holds a docflow that is no demo. Choose another folder with --data-dir.")
    if fresh and _secret(folder).exists():
        shutil.rmtree(folder)


def _secret(folder: Path) -> Path:
    return folder / "demo_password"


def _set_up(stack: ExitStack, folder: Path, port: int | None) -> Stage:
    (folder / "mail").mkdir(mode=0o700, parents=True, exist_ok=True)
    again = _secret(folder).exists()
    password = kept(_secret(folder), lambda: secrets.token_hex(6))
    dial = Dial(folder / "clock")
    sink = stack.enter_context(MailSink(folder / "mail"))
    extra = {
        "DOCFLOW_CLOCK_FILE": str(dial.file),
        "DOCFLOW_SMTP_URL": sink.url,
        "DOCFLOW_MAIL_FROM": letters.POST_BOX,
    }
    if again:
        console.print("[dim]Another day in the same district; --fresh begins anew.[/]")
    with console.status("starting") as status:
        say: Callable[[str], None] = status.update if console.is_terminal else console.print
        house = stack.enter_context(House(folder, port=port, extra=extra, say=say))
        _people(house.container, password)
        house.open()
    return Stage(house, sink, dial, password, Screen(console))


def _people(container: Container, password: str) -> None:
    """The district's units and users, keys and pictures for those who sign, and the agency's own."""
    demo = config_files.load_demo(container.settings.config_dir / "demo")
    with container.sessions.begin() as session:
        people.load_demo(session, demo, password, container.clock())
        agency = container.pictures.newest(session)[1].agency
    for user in demo.users:
        if user.username in (CHAIRMAN, DEPUTY, OTHER_DEPUTY):
            container.authority.issue(user.username, user.full_name, agency.name)
            _picture(container, user.username, stamps.signature_picture(user.full_name), SIGNATURE_MM)
    container.authority.issue(AGENCY, agency.name, agency.name)
    _picture(container, AGENCY, stamps.seal_picture(letters.DISTRICT, agency.place), SEAL_MM)


def _picture(container: Container, owner: str, png: bytes, size: tuple[float, float]) -> None:
    stored = container.store.put(BytesIO(png), media_type="image/png")
    with container.sessions.begin() as session:
        admin = people.find_user(session, "quantri").id
        set_stamp_image(session, owner, stored, *size, admin, container.clock())


def _play(stage: Stage, mails: int, drafts: int) -> bool:
    """Whether everything agrees in the end."""
    container, screen = stage.house.container, stage.screen
    morning = _morning(container)
    office = Office(stage.house.address, stage.password)
    scene = Scene(office, container, stage.dial, random.Random(morning.isoformat()), screen.tell)
    hours = day.plan(scene, morning, mails, drafts)
    screen.console.print(f"\n{morning.astimezone(letters.ZONE):%A, %d %B %Y} in the district of Bình Minh\n")
    try:
        with screen.day(sum(len(hour.acts) for hour in hours)):
            for hour in hours:
                _spend(stage, scene, morning, hour)
        scene.rest(also=("mirror", "render"))
    finally:
        office.close()
    screen.figures(figures.gather(container))
    return _prove(stage)


def _morning(container: Container) -> datetime:
    """Of the first working day after today and after everything that history tells."""
    with container.sessions() as session:
        _, configuration = container.pictures.newest(session)
        last = session.scalar(select(func.max(History.at)))
    return next_morning(max(now_utc(), last or now_utc()), WorkingCalendar.of(configuration.calendar))


def _spend(stage: Stage, scene: Scene, morning: datetime, hour: day.Hour) -> None:
    # At rest before the clock jumps, or leases would run out while their holders work.
    scene.rest(also=("mirror", "render"))
    stage.dial.turn_to(day.instant(morning, hour.at))
    scene.rest()
    stage.screen.hour(f"{hour.at:%H:%M}", hour.what, len(hour.acts))

    def do(act: day.Act) -> None:
        act()
        stage.screen.advance()

    if hour.crowded:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(do, hour.acts))
    else:
        for act in hour.acts:
            do(act)


def _prove(stage: Stage) -> bool:
    stage.screen.console.print()
    agreed = True
    for found in proof.proofs(stage.house.container, stage.sink):
        stage.screen.proof(found)
        agreed = agreed and not found[1]
    verdict = "[green]Everything agrees.[/]" if agreed else "[red]Not everything agrees: see above.[/]"
    stage.screen.console.print(f"\n{verdict}")
    return agreed


def _stay(stage: Stage) -> None:
    house = stage.house
    console.print(f"\n[bold]docflow runs at {house.address}[/]  (description: {house.address}/api/openapi.json)")
    console.print(f"  Prefect's page   {house.environment['DOCFLOW_PREFECT_API_URL'].removesuffix('/api')}")
    console.print(f"  mails sent       {stage.sink.folder}")
    console.print(f"  sign in as       {', '.join(f'{name} ({what})' for name, what in PEOPLE)}")
    console.print(f"  password         [bold]{stage.password}[/] for all of them")
    console.print("\nCtrl-C stops it.")
    with house.supervisor.listening():
        house.supervisor.wait()
    console.print("Stopping.")
