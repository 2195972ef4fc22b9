import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from docflow.domain.errors import Unavailable
from docflow.local import child
from docflow.local.postgres import LocalPostgres


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalPostgres]:
    postgres = LocalPostgres(tmp_path / "pg")
    postgres.start()
    yield postgres
    postgres.stop()


def connect(server: LocalPostgres, database: str = "docflow") -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(server.url(database).replace("+psycopg", ""), autocommit=True)


def value(server: LocalPostgres, query: str) -> object:
    with connect(server) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def note(server: LocalPostgres, text: str) -> None:
    with connect(server) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS note (body text)")
        connection.execute("INSERT INTO note VALUES (%s)", [text])


def test_a_started_server_keeps_its_promises_about_settings(server: LocalPostgres) -> None:
    assert value(server, "SHOW server_encoding") == "UTF8"
    assert value(server, "SHOW fsync") == "on"
    assert value(server, "SHOW max_connections") == "200"
    assert value(server, "SHOW listen_addresses") == "127.0.0.1"
    assert value(server, "SELECT lower('ĐƯỜNG')") == "đường"


def test_a_wrong_password_is_refused(server: LocalPostgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"postgresql://postgres:wrong@127.0.0.1:{server.port}/docflow")


def test_the_password_is_readable_by_its_owner_only(server: LocalPostgres, tmp_path: Path) -> None:
    assert (tmp_path / "pg" / "password").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user")
def test_the_server_of_root_runs_as_somebody_without_rights(server: LocalPostgres) -> None:
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{server.pid}/status").read_text().splitlines())
    assert "0" not in status["Uid"].split()
    assert int(status["CapEff"], 16) == 0


def test_data_and_port_are_there_again_after_a_stop(server: LocalPostgres) -> None:
    note(server, "kept")
    port = server.port
    server.stop()
    server.start()
    assert value(server, "SELECT body FROM note") == "kept"
    assert server.port == port


def test_a_killed_postmaster_loses_nothing_even_while_its_children_hold_on(server: LocalPostgres) -> None:
    note(server, "kept")
    with contextlib.closing(connect(server)) as busy, contextlib.closing(connect(server)) as watcher:
        busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1000000000000)")
        running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%generate_series%'"
        while watcher.execute(f"{running} AND pid <> pg_backend_pid()").fetchone() == (0,):
            pass
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        server.stop()
        server.start()
    assert value(server, "SELECT body FROM note") == "kept"


def test_two_servers_stand_side_by_side(server: LocalPostgres, tmp_path: Path) -> None:
    other = LocalPostgres(tmp_path / "other")
    other.start()
    try:
        note(other, "theirs")
        assert other.port != server.port
        assert value(server, "SELECT to_regclass('note')") is None
    finally:
        other.stop()


def test_a_folder_in_use_is_refused_with_its_owner(server: LocalPostgres, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=rf"in use by another docflow \(process {os.getpid()}\)"):
        LocalPostgres(tmp_path / "pg").start()
    assert value(server, "SELECT 1") == 1


def test_a_remembered_port_that_somebody_took_is_exchanged(server: LocalPostgres) -> None:
    server.stop()
    with socket.create_server(("127.0.0.1", server.port)) as squatter:
        server.start()
        assert server.port != squatter.getsockname()[1]
        assert value(server, "SELECT 1") == 1


def test_a_wished_port_that_is_taken_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        with pytest.raises(Unavailable, match=f"port {port} is taken"):
            LocalPostgres(tmp_path / "pg", port=port).start()


def test_an_interrupted_initdb_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "pg" / "data.new" / "base").mkdir(parents=True)
    server = LocalPostgres(tmp_path / "pg")
    server.start()
    try:
        assert value(server, "SELECT 1") == 1
    finally:
        server.stop()


def test_a_database_is_made_once(server: LocalPostgres) -> None:
    server.ensure_database("second")
    server.ensure_database("second")
    with connect(server, "second") as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("second",)


def test_the_server_ends_with_an_owner_that_is_killed_and_starts_again(tmp_path: Path) -> None:
    folder = tmp_path / "pg"
    script = (
        "import sys, pathlib, time\n"
        "from docflow.local.postgres import LocalPostgres\n"
        "server = LocalPostgres(pathlib.Path(sys.argv[1])); server.start()\n"
        "print(server.pid, flush=True); time.sleep(600)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner.stdout:
        postmaster = int(owner.stdout.readline())
    assert postmaster in child.leftovers(folder / "data", "postgres")
    owner.kill()
    owner.wait()
    server = LocalPostgres(folder)
    server.start()
    try:
        assert value(server, "SELECT 1") == 1
        assert server.pid != postmaster
        assert postmaster not in child.leftovers(folder / "data", "postgres")
    finally:
        server.stop()
    assert child.leftovers(folder / "data", "postgres") == []
