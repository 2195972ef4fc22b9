"""Notifications as they come, over a real server and real sockets."""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from docflow.api import notification_stream
from docflow.services import notices
from docflow.services.auth import issue_token, revoke_token
from tests.api.conftest import Http
from tests.api.test_serving import environment, free_port, served, until_ready
from tests.conftest import START, Clock
from tests.moves import assigned

PATIENCE = 20.0
PATH = "/api/v1/notifications/stream"


@dataclass
class Event:
    id: str
    name: str
    data: dict[str, Any]


@dataclass
class Stream:
    """Events as a reader gets them; ``comments`` counts what lies between them."""

    response: httpx.Response
    events: "queue.Queue[Event | None]" = field(default_factory=queue.Queue)
    comments: int = 0

    def read(self) -> None:
        """Until the other side ends it; None is the end."""
        fields: dict[str, str] = {}
        try:
            for line in self.response.iter_lines():
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif fields:
                    self.events.put(Event(fields.get("id", ""), fields["event"], json.loads(fields["data"])))
                    fields = {}
        except httpx.TransportError:
            pass
        self.events.put(None)

    def next(self) -> Event:
        found = self.events.get(timeout=PATIENCE)
        assert found is not None, "the stream ended"
        return found

    def unread(self) -> int:
        found = self.next()
        assert found.name == "unread", found
        return int(found.data["unread_count"])

    def told(self) -> Event:
        found = self.next()
        assert found.name == "notification", found
        return found

    def ends(self) -> bool:
        return self.events.get(timeout=PATIENCE) is None


@pytest.fixture
def server(http: Http) -> Iterator[str]:
    with served(http) as address:
        yield address


@contextmanager
def streaming(url: str, token: str, last: str | None = None) -> Iterator[Stream]:
    headers = {"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": last} if last else {})
    with httpx.Client(timeout=httpx.Timeout(10, read=60)) as client, ExitStack() as after:
        response = after.enter_context(client.stream("GET", url + PATH, headers=headers))
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        stream = Stream(response)
        reader = threading.Thread(target=stream.read)
        reader.start()
        after.callback(reader.join)
        try:
            yield stream
        finally:
            closing = response.extensions["network_stream"].get_extra_info("socket")
            with suppress(OSError):  # the other side was first
                closing.shutdown(socket.SHUT_RDWR)


def late(http: Http, user: str, document: UUID, at: datetime) -> str:
    """A notification whose move began at ``at`` and is committed only now."""
    sql = """INSERT INTO notification (id, user_id, document_id, kind, key, data, urgent, created_at, deliver_at,
             published_at) VALUES (:i, :u, :d, 'task_co', :k, '{}', false, :at, :at, :at)"""
    found = uuid4()
    with http.container.sessions.begin() as session:
        values = {"i": found, "u": http.district.user_id(user), "d": document, "k": str(found), "at": at}
        session.execute(text(sql), values)
    http.container.waker.wake()
    return str(found)


def tell(http: Http, **fields: Any) -> UUID:
    document = assigned(http.district, **fields)
    http.container.waker.wake()
    return document


def test_a_notification_comes_as_it_is_published_and_the_count_follows(http: Http, server: str) -> None:
    tell(http)
    with streaming(server, http.token("ngansach2")) as stream:
        assert stream.unread() == 1
        document = tell(http, subject="Về việc báo cáo")
        told = stream.told()
        assert stream.unread() == 2
        listed = http.get("ngansach2", "/notifications").json()["items"]
        assert told.data == next(i for i in listed if i["document"]["id"] == str(document))
        http.post("ngansach2", "/notifications/read-all")
        assert stream.unread() == 0


def test_a_stream_resumes_without_loss_and_without_repeat(http: Http, clock: Clock, server: str) -> None:
    with streaming(server, http.token("ngansach2")) as stream:
        stream.unread()
        first = tell(http)
        last = stream.told()
        assert last.data["document"]["id"] == str(first)
    second, third = tell(http), tell(http)  # at the very same instant by the clock
    delayed = late(http, "ngansach2", second, START - timedelta(minutes=3))
    with streaming(server, http.token("ngansach2"), last.id) as stream:
        events = [stream.told() for _ in range(3)]
        assert stream.unread() == 4
        assert events[0].data["id"] == delayed
        assert {e.data["document"]["id"] for e in events[1:]} == {str(second), str(third)}
    clock.pass_time(minutes=1)
    with streaming(server, http.token("ngansach2"), events[1].id) as stream:
        assert stream.told().data == events[2].data
        assert stream.unread() == 4
        fourth = tell(http)
        assert stream.told().data["document"]["id"] == str(fourth)


def test_an_id_of_nothing_begins_anew(http: Http, server: str) -> None:
    tell(http)
    for strange in ("abc", str(uuid4()), "-" * 36, f"{uuid4()}~99~zz"):
        with streaming(server, http.token("ngansach2"), strange) as stream:
            assert stream.unread() == 1


def test_what_a_person_may_not_see_is_not_streamed(http: Http, server: str) -> None:
    secret = http.district.enter(secrecy=2)
    with streaming(server, http.token("ngansach2")) as stream:
        stream.unread()
        late(http, "ngansach2", secret, START)
        shown = tell(http)
        assert stream.told().data["document"]["id"] == str(shown)
        assert stream.unread() == 1


def test_several_at_once_come_as_one(http: Http, server: str) -> None:
    documents = [http.district.enter() for _ in range(3)]
    with streaming(server, http.token("chutich")) as stream:
        stream.unread()
        with http.container.sessions.begin() as session:
            for document in documents:
                session.execute(WAITING, {"d": document, "u": http.district.user_id("chutich"), "now": START})
        with http.container.sessions.begin() as session:
            notices.pass_on(session, http.container.pictures, START, mail=False)
        http.container.waker.wake()
        told = stream.told()
        assert (told.data["kind"], told.data["count"]) == ("collected", 3)
        assert stream.unread() == 1


WAITING = text(
    """INSERT INTO notification (id, user_id, document_id, kind, key, data, urgent, created_at, deliver_at)
       VALUES (gen_random_uuid(), :u, :d, 'deadline_notify', CAST(:d AS text), '{}', false, :now, :now)"""
)


def test_a_stream_ends_when_its_token_is_revoked(http: Http, server: str) -> None:
    token = http.token("ngansach2")
    with streaming(server, token) as stream:
        stream.unread()
        user = http.district.user_id("ngansach2")
        (row,) = http.district.query("SELECT id FROM api_token WHERE user_id = :u", u=user)
        with http.container.sessions.begin() as session:
            revoke_token(session, row["id"], user, START)
        tell(http)
        assert stream.ends()


def test_a_stream_ends_when_its_token_expires_though_nothing_happens(http: Http, clock: Clock, server: str) -> None:
    with streaming(server, http.token("ngansach2")) as stream:
        stream.unread()
        clock.pass_time(hours=13)
        assert stream.ends()


def test_a_stream_wants_a_token_and_the_right_scope(http: Http, server: str) -> None:
    assert httpx.get(server + PATH).status_code == 401
    with http.container.sessions.begin() as session:
        user = http.district.user_id("ngansach2")
        token, _ = issue_token(session, user, START, scopes=frozenset({"intake:write"}))
    assert httpx.get(server + PATH, headers={"Authorization": f"Bearer {token}"}).status_code == 403


def test_streams_share_one_connection_and_hold_none_while_they_wait(http: Http, server: str) -> None:
    pool = http.container.settings.database_pool
    with ExitStack() as stack:
        open_ones = [stack.enter_context(streaming(server, http.token("ngansach2"))) for _ in range(pool + 10)]
        for stream in open_ones:
            stream.unread()
        assert http.get("ngansach2", "/inbox").status_code == 200
        until(lambda: connections(http, "application_name = 'docflow-streams'") == 1)
        until(lambda: connections(http, "state LIKE 'idle in transaction%'") == 0)
        tell(http)
        assert len({stream.told().id for stream in open_ones}) == 1
    until(lambda: connections(http, "application_name = 'docflow-streams'") == 0)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def connections(http: Http, which: str) -> int:
    sql = f"SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND {which}"
    return int(http.district.query(sql)[0]["n"])


def test_a_reader_who_reads_nothing_keeps_nobody_waiting(http: Http, server: str) -> None:
    host, port = server.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as idle:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        token = http.token("ngansach2")
        idle.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        with streaming(server, token) as stream:
            stream.unread()
            for _ in range(20):
                tell(http)
            seen = set()
            while len(seen) < 20:
                found = stream.next()
                seen |= {found.data["id"]} if found.name == "notification" else set()


def test_a_quiet_stream_gives_signs_of_life(http: Http, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notification_stream, "HEARTBEAT", 0.05)
    with streaming(server, http.token("ngansach2")) as stream:
        stream.unread()
        until(lambda: stream.comments >= 3)


def test_a_server_that_is_told_to_stop_ends_its_streams(http: Http, clock: Clock) -> None:
    clock.now = datetime.now(UTC)
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "docflow.api.serve:app_from_environment", "--factory"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    with subprocess.Popen(command, env=environment(http.container.settings), cwd=os.getcwd()) as process:
        try:
            until_ready(f"http://127.0.0.1:{port}")
            with streaming(f"http://127.0.0.1:{port}", http.token("ngansach2")) as stream:
                stream.unread()
                process.send_signal(signal.SIGTERM)
                assert stream.ends()
                process.wait(timeout=10)
        finally:
            process.kill()
