"""A real SMTP server that makes trouble by script: the name of a mailbox says what befalls the mail that goes there.

``ok-…`` is taken; ``no-…`` refused; ``content-…`` refused once it was read; ``later-…`` deferred twice, ``never-…``
always; ``slow-…`` taken after a while; ``cut-…`` cut off before the mail once; ``gone-…`` taken twice without an
answer, then with one; ``mute-…`` never answered though taken; ``twice-…`` passed on twice. Reports say later that
``there-…``, ``mute-…`` and ``twice-…`` arrived and that ``back-…`` came back. Every so many a sender meets a server
that closes.
"""

import asyncio
import threading
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass
from email import message_from_bytes, policy
from typing import Literal, Self

from tests.correspondence import bounce

Befell = Literal["taken", "taken unanswered", "refused", "deferred", "cut off"]
CLOSING_EVERY = 41
SLOW = 0.3
REPORTED = {"there": "delivered", "mute": "delivered", "twice": "delivered", "back": "failed"}
_MOST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Transaction:
    """What the server did with one attempt to hand it a mail; ``message_id`` is empty where it never saw the mail."""

    recipient: str
    befell: Befell
    message_id: str = ""
    sender: str = ""

    @property
    def kind(self) -> str:
        return self.recipient.partition("-")[0]


class TroubleSink:
    """A context manager; it listens in a thread of its own. ``log`` holds all transactions in order, ``passed_on`` the
    Message-IDs that recipients got, ``reports`` the raw mails that it has to send back."""

    def __init__(self) -> None:
        self.log: list[Transaction] = []
        self.passed_on: list[str] = []
        self.reports: list[bytes] = []
        self.connections = 0
        self.tries: Counter[str] = Counter()
        self._reported: set[str] = set()
        self._mails = 0
        self._started: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="trouble-sink", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = self._started.result(timeout=30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(timeout=30)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, limit=_MOST)
        self._started.set_result(server.sockets[0].getsockname()[1])
        await self._over.wait()
        server.close()
        for writer in self._clients.values():
            writer.transport.abort()
        await asyncio.gather(*self._clients, return_exceptions=True)
        await server.wait_closed()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        me = asyncio.current_task()
        assert me is not None, "each client is a task"
        self._clients[me] = writer
        try:
            await _Conversation(self, reader, writer).hold()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()
            self._clients.pop(me)

    def closes_now(self) -> bool:
        self._mails += 1
        return self._mails % CLOSING_EVERY == 0

    def write_down(self, done: Transaction) -> None:
        self.log.append(done)
        if done.befell.startswith("taken"):
            self.passed_on += [done.message_id] * (2 if done.kind == "twice" else 1)
            self._report(done)

    def _report(self, done: Transaction) -> None:
        action = REPORTED.get(done.kind)
        if action is None or done.message_id in self._reported:
            return
        self._reported.add(done.message_id)
        for copy in range(2 if done.kind == "twice" else 1):
            number = 10 * len(self.log) + copy
            self.reports.append(bounce(to=done.sender, recipient=done.recipient, action=action, number=number))


class _Conversation:
    """One connection."""

    def __init__(self, sink: TroubleSink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._sink, self._reader, self._writer = sink, reader, writer
        self._sender = self._recipient = ""

    async def hold(self) -> None:
        await self._say("220 trouble")
        open_ = True
        while open_:
            line = (await self._reader.readuntil(b"\r\n")).decode().strip()
            verb = line[:4].upper()
            if verb == "EHLO":
                await self._say("250-trouble\r\n250-SIZE 50000000\r\n250 DSN")
            elif verb == "MAIL":
                open_ = await self._mail(line)
            elif verb == "RCPT":
                await self._rcpt(line)
            elif verb == "DATA":
                open_ = await self._data()
            else:
                await self._say("221 bye" if verb == "QUIT" else "250 ok")
                open_ = verb != "QUIT"

    async def _mail(self, line: str) -> bool:
        if self._sink.closes_now():
            await self._say("421 closing, come back")
            return False
        self._sender = line.partition("<")[2].partition(">")[0]
        await self._say("250 ok")
        return True

    async def _rcpt(self, line: str) -> None:
        self._recipient = line.partition("<")[2].partition(">")[0]
        self._sink.tries[self._recipient] += 1
        kind, tries = self._recipient.partition("-")[0], self._sink.tries[self._recipient]
        if kind == "no":
            await self._end("refused", "550 5.1.1 no such mailbox")
        elif kind == "never" or (kind == "later" and tries <= 2):
            await self._end("deferred", "451 4.7.1 try again later")
        else:
            await self._say("250 ok")

    async def _data(self) -> bool:
        kind, tries = self._recipient.partition("-")[0], self._sink.tries[self._recipient]
        if kind == "cut" and tries == 1:
            self._note("cut off")
            return False
        await self._say("354 go on")
        raw = await self._reader.readuntil(b"\r\n.\r\n")
        message_id = str(message_from_bytes(raw, policy=policy.default)["Message-ID"])
        if kind == "content":
            await self._end("refused", "554 5.6.0 not this")
            return True
        await asyncio.sleep(SLOW if kind == "slow" else 0)
        if kind == "mute" or (kind == "gone" and tries <= 2):
            self._note("taken unanswered", message_id)
            return False
        await self._end("taken", "250 2.0.0 taken", message_id)
        return True

    async def _end(self, befell: Befell, answer: str, message_id: str = "") -> None:
        self._note(befell, message_id)
        await self._say(answer)

    def _note(self, befell: Befell, message_id: str = "") -> None:
        self._sink.write_down(Transaction(self._recipient, befell, message_id, self._sender))

    async def _say(self, answer: str) -> None:
        self._writer.write(answer.encode() + b"\r\n")
        await self._writer.drain()
