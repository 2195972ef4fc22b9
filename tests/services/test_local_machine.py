import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import urllib3

from docflow.domain.errors import Unavailable
from docflow.local import child
from docflow.local.machine import Machine
from docflow.local.supervise import Supervisor

LIMIT = 30.0


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"


def sleeper(mark: Path) -> list[str]:
    """Leaves its pid in ``mark`` and waits."""
    code = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(600)"
    return [sys.executable, "-c", code, str(mark)]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_machine_gives_every_part_and_a_second_one_is_refused(tmp_path: Path) -> None:
    with Machine(tmp_path, given={}) as machine:
        settings = machine.environment()
        plain = settings["DOCFLOW_DATABASE_URL"].replace("+psycopg", "")
        with psycopg.connect(plain) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == ("docflow",)
        api = settings["DOCFLOW_PREFECT_API_URL"]
        assert urllib3.request("GET", f"{api}/ready").status == 200
        assert urllib3.request("GET", api.removesuffix("/api")).status == 200
        assert urllib3.request("GET", f"http://{settings['DOCFLOW_S3_ENDPOINT']}/").status == 403
        with pytest.raises(Unavailable, match="--data-dir"), Machine(tmp_path, given={}):
            pass
    assert child.leftovers(tmp_path / "prefect", "prefect") == []
    assert child.leftovers(tmp_path / "objects", "weed") == []
    assert child.leftovers(tmp_path / "postgres" / "data", "postgres") == []


def test_secrets_stay_the_same_from_start_to_start(tmp_path: Path) -> None:
    with Machine(tmp_path, prefect=False, given={}) as machine:
        first = machine.environment()
    with Machine(tmp_path, prefect=False, given={}) as machine:
        assert machine.environment() == first
    assert "DOCFLOW_PREFECT_API_URL" not in first


def test_parts_that_are_given_are_not_started(tmp_path: Path) -> None:
    given = {
        "DOCFLOW_DATABASE_URL": "postgresql+psycopg://elsewhere/docflow",
        "DOCFLOW_S3_ENDPOINT": "s3.example:9000",
        "DOCFLOW_S3_ACCESS_KEY": "key",
        "DOCFLOW_S3_SECRET_KEY": "secret",
        "DOCFLOW_PREFECT_API_URL": "http://prefect.example/api",
        "DOCFLOW_SECRET_KEY": "given",
    }
    with Machine(tmp_path, given=given) as machine:
        settings = machine.environment()
    assert given.items() <= settings.items()
    assert settings["DOCFLOW_S3_BUCKET"] == "docflow"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock"]


def test_a_part_that_does_not_start_takes_the_others_down(tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "data").write_text("a file where a folder should be")
    with pytest.raises(FileExistsError), Machine(tmp_path, prefect=False, given={}):
        pass
    assert child.leftovers(tmp_path / "postgres" / "data", "postgres") == []
    (tmp_path / "objects" / "data").unlink()
    with Machine(tmp_path, prefect=False, given={}):
        pass


def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "log")
    supervisor.add("worker", sleeper(tmp_path / "worker"), dict(os.environ))
    supervisor.start()
    try:
        first = supervisor.pid("worker")
        assert first is not None
        os.kill(first, signal.SIGKILL)
        eventually(lambda: supervisor.pid("worker") not in (None, first))
        assert supervisor.restarts("worker") == 1
    finally:
        supervisor.stop()
    assert supervisor.pid("worker") is None


def test_children_stop_in_the_reverse_order_of_their_start(tmp_path: Path) -> None:
    code = (
        "import pathlib, signal, sys, time\n"
        "def end(*_): pathlib.Path(sys.argv[2]).open('a').write(sys.argv[1]); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); pathlib.Path(sys.argv[3]).touch(); time.sleep(600)\n"
    )
    supervisor = Supervisor(tmp_path / "log")
    for name in "ab":
        argv = [sys.executable, "-c", code, name, str(tmp_path / "order"), str(tmp_path / f"ready-{name}")]
        supervisor.add(name, argv, dict(os.environ))
    supervisor.start()
    try:
        eventually(lambda: all((tmp_path / f"ready-{name}").exists() for name in "ab"))
    finally:
        supervisor.stop()
    assert (tmp_path / "order").read_text() == "ba"


def supervising(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A process that runs a supervisor, and its child's pid."""
    code = (
        "import os, pathlib, sys\n"
        "from docflow.local.supervise import Supervisor\n"
        "supervisor = Supervisor(pathlib.Path(sys.argv[1]))\n"
        "supervisor.add('worker', sys.argv[2:], dict(os.environ))\n"
        "supervisor.run()\n"
    )
    mark = folder / "pid"
    owner = subprocess.Popen([sys.executable, "-c", code, str(folder / "log"), *sleeper(mark)])
    eventually(lambda: mark.exists() and mark.read_text() != "")
    return owner, int(mark.read_text())


def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    owner, pid = supervising(tmp_path)
    assert alive(pid)
    owner.kill()
    owner.wait()
    eventually(lambda: not alive(pid))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_supervisor_and_children(tmp_path: Path, number: signal.Signals) -> None:
    owner, pid = supervising(tmp_path)
    owner.send_signal(number)
    assert owner.wait(LIMIT) == 0
    assert not alive(pid)


def test_a_part_that_dies_is_started_again_where_it_was(tmp_path: Path) -> None:
    def answers() -> bool:
        try:
            with psycopg.connect(plain, connect_timeout=2) as connection:
                connection.execute("SELECT 1")
            return urllib3.request("GET", f"http://{store}/", retries=False, timeout=2).status == 403
        except (psycopg.OperationalError, urllib3.exceptions.HTTPError):
            return False

    with Machine(tmp_path, prefect=False, given={}) as machine:
        plain = machine.environment()["DOCFLOW_DATABASE_URL"].replace("+psycopg", "")
        store = machine.environment()["DOCFLOW_S3_ENDPOINT"]
        before = [part.pid for part in machine._parts]
        for pid in before:
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: all(part.pid not in (None, *before) for part in machine._parts) and answers())
