"""A whole docflow for crash tests: real API and worker processes that are killed and started again."""

import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

import httpx
import psutil

from docflow.adapters import config_files
from docflow.adapters.mail.sink import MailSink
from docflow.cli.house import House
from docflow.services import people

PASSWORD = "mat-khau-thu-nghiem"
PEOPLE = ("vanthu1", "chutich", "noivu1", "truongnv", "ngansach2")


@dataclass
class Office:
    """Clients that try again until they are answered: what a careful integration does."""

    house: House
    sink: MailSink
    tokens: dict[str, str] = field(default_factory=dict)

    def post(self, user: str, path: str, **request: object) -> httpx.Response:
        """POST with one Idempotency-Key for all tries; an answer of 4xx is final."""
        headers = {"Authorization": f"Bearer {self.tokens[user]}", "Idempotency-Key": str(uuid4())}
        end = time.monotonic() + 120
        while True:
            try:
                answer = httpx.post(self.house.address + path, headers=headers, timeout=30, **request)  # type: ignore[arg-type]
                if answer.status_code < 500:
                    return answer
            except httpx.HTTPError:
                pass
            assert time.monotonic() < end, f"{path} was never answered"
            time.sleep(0.2)

    def act(self, document: str, user: str, action: str, **command: object) -> dict[str, object]:
        answer = self.post(user, f"/api/v1/documents/{document}/actions/{action}", json=command)
        assert answer.status_code == 200, (action, answer.status_code, answer.text)
        told: dict[str, object] = answer.json()
        return told

    def enter(self, user: str, pdf: bytes, **metadata: object) -> str:
        import json

        files = {"files": ("van-ban.pdf", pdf, "application/pdf")}
        answer = self.post(user, "/api/v1/documents", data={"metadata": json.dumps(metadata)}, files=files)
        assert answer.status_code == 201, (answer.status_code, answer.text)
        return str(answer.json()["id"])

    def wait_for(self, document: str, user: str, *states: str) -> str:
        end = time.monotonic() + 180
        headers = {"Authorization": f"Bearer {self.tokens[user]}"}
        state = "?"
        while time.monotonic() < end:
            try:
                answer = httpx.get(f"{self.house.address}/api/v1/documents/{document}", headers=headers, timeout=30)
                state = answer.json().get("state", state) if answer.status_code == 200 else state
            except httpx.HTTPError:
                pass
            if state in states:
                return state
            time.sleep(0.3)
        raise AssertionError(f"{document} is in '{state}', not in {states}")


@contextmanager
def office(folder: Path) -> Iterator[Office]:
    with MailSink(folder / "mail") as sink:
        extra = {"DOCFLOW_SMTP_URL": sink.url, "DOCFLOW_MAIL_FROM": "vanthu@binhminh.example"}
        with House(folder / "house", extra=extra) as house:
            container = house.container
            with container.sessions.begin() as session:
                demo = config_files.load_demo(container.settings.config_dir / "demo")
                people.load_demo(session, demo, PASSWORD, container.clock())
            container.authority.issue("chutich", "Nguyễn Văn Hùng", "UBND huyện Bình Minh")
            container.authority.issue("agency", "UBND huyện Bình Minh", "UBND huyện Bình Minh")
            house.open()
            yield _signed_in(Office(house, sink))


def _signed_in(office: Office) -> Office:
    for user in PEOPLE:
        body = {"username": user, "password": PASSWORD}
        answer = httpx.post(f"{office.house.address}/api/v1/auth/token", json=body, timeout=30)
        office.tokens[user] = answer.json()["access_token"]
    return office


@dataclass
class Killer:
    """Kills processes of the house with SIGKILL, ``most`` times at random points, or until told to stop.

    Not without end: the supervisor waits longer with each death, up to half a minute.
    """

    office: Office
    seed: int
    most: int = 8
    stopped: Event = field(default_factory=Event)
    kills: dict[str, int] = field(default_factory=lambda: {"api": 0, "worker": 0})

    def __enter__(self) -> "Killer":
        self._thread = Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._thread.join()

    def _run(self) -> None:
        dice = random.Random(self.seed)
        names = ["api", "worker"] * (self.most // 2)
        dice.shuffle(names)
        while names and not self.stopped.wait(dice.uniform(2, 8)):
            name = names[-1]
            pid = self.office.house.supervisor.pid(name)
            if pid is not None and kill_family(pid):
                self.kills[names.pop()] += 1


def kill_family(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        for child in process.children(recursive=True):
            child.send_signal(signal.SIGKILL)
        process.send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return False
    return True


def in_parallel(work: list[object], do: object, threads: int = 12) -> list[object]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(do, work))  # type: ignore[arg-type]
