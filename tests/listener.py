"""Another system: a real HTTP server that is told by webhook, and answers as a test wants it to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Heard:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Listener:
    """``answers`` are the next statuses, 200 when there are none left; ``hold`` lets no answer out until it is set."""

    answers: list[int] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    drip: bool = False
    location: str = ""


@contextmanager
def listening() -> Iterator[Listener]:
    listener = Listener()
    listener.hold.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            listener.heard.append(Heard(self.path, dict(self.headers), body))
            if listener.drip:
                self._drip()
                return
            listener.hold.wait(30)
            self.send_response(listener.answers.pop(0) if listener.answers else 200)
            if listener.location:
                self.send_header("Location", listener.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _drip(self) -> None:
            """An answer that never ends, a byte at a time."""
            try:
                while not listener.hold.wait(0.05):
                    self.wfile.write(b"H")
                    self.wfile.flush()
            except OSError:
                return

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    listener.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield listener
    finally:
        listener.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()
