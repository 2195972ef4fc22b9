"""A real mail server to measure and test with: Debian's Dovecot, unprivileged, in a folder and on ports of its own."""

import grp
import itertools
import os
import pwd
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from imapclient import IMAPClient

DOVECOT = shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PASSWORD = "mat-khau-hop-thu"
_numbers = itertools.count()
_PATIENCE = 20.0

CONFIGURATION = """
base_dir = {folder}/base
state_dir = {folder}/state
log_path = {folder}/log
instance_name = {name}
protocols = imap lmtp
listen = 127.0.0.1
disable_plaintext_auth = no
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
mail_uid = {user}
mail_gid = {group}
mail_location = maildir:{folder}/mail/%u
auth_mechanisms = plain login
auth_failure_delay = 0
mail_fsync = never
ssl = {ssl}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={folder}/home/%u
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
{more}
"""


def installed() -> bool:
    return DOVECOT is not None


class Dovecot:
    """``more`` is added to its configuration; ``certificate`` and ``key`` turn TLS on."""

    def __init__(self, more: str = "", certificate: Path | None = None, key: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dovecot-"))
        self.folder.chmod(0o755)  # an unprivileged user has to get through
        self.imap, self.imaps, self.lmtp = _free_ports(3)
        self._process: subprocess.Popen[bytes] | None = None
        account = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        for name in ("mail", "home"):
            (self.folder / name).mkdir()
            os.chown(self.folder / name, account.pw_uid, account.pw_gid)
        tls = f"yes\nssl_cert = <{certificate}\nssl_key = <{key}" if certificate else "no"
        facts: dict[str, Any] = {
            "folder": self.folder,
            "name": self.folder.name,
            "user": account.pw_name,
            "group": _group(account.pw_gid),
            "password": PASSWORD,
            "imap": self.imap,
            "imaps": self.imaps if certificate else 0,
            "lmtp": self.lmtp,
            "ssl": tls,
            "more": more,
        }
        (self.folder / "dovecot.conf").write_text(CONFIGURATION.format(**facts))

    @property
    def log(self) -> str:
        file = self.folder / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def start(self) -> None:
        assert DOVECOT is not None
        command = [DOVECOT, "-F", "-c", str(self.folder / "dovecot.conf")]
        self._process = subprocess.Popen(command, start_new_session=True)
        end = time.monotonic() + _PATIENCE
        while not _answers(self.imap):
            if time.monotonic() > end or self._process.poll() is not None:
                self.stop()
                raise AssertionError(f"Dovecot did not start: {self.log}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Its connections break off."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            self._process.wait(_PATIENCE)
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # those that still serve somebody
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def account(self) -> "MailAccount":
        """A mailbox of its own for each test."""
        return MailAccount(self, f"vanthu{next(_numbers)}")


@dataclass(frozen=True)
class MailAccount:
    """Somebody else's look at a mailbox: people, their programs, and the server that delivers."""

    server: Dovecot
    user: str

    @property
    def url(self) -> str:
        return f"imap://{self.user}@127.0.0.1:{self.server.imap}/INBOX"

    @property
    def whole_url(self) -> str:
        """With the password, as DOCFLOW_IMAP_URL has it."""
        return f"imap://{self.user}:{PASSWORD}@127.0.0.1:{self.server.imap}/INBOX"

    @contextmanager
    def client(self) -> Iterator[IMAPClient]:
        with IMAPClient("127.0.0.1", self.server.imap, ssl=False) as client:
            client.login(self.user, PASSWORD)
            yield client

    def put(self, raw: bytes, folder: str = "INBOX", *, at: datetime | None = None) -> None:
        with self.client() as client:
            client.append(folder, raw, msg_time=at)

    def deliver(self, raw: bytes) -> None:
        """As the agency's mail server does, over LMTP."""
        with smtplib.LMTP("127.0.0.1", self.server.lmtp) as lmtp:
            lmtp.sendmail("so@tinh.example", [self.user], raw)

    def mails(self, folder: str = "INBOX") -> dict[int, bytes]:
        """What lies in it, by UID."""
        with self.client() as client:
            if not client.folder_exists(folder):
                return {}
            client.select_folder(folder, readonly=True)
            return {uid: facts[b"BODY[]"] for uid, facts in client.fetch(client.search(), ["BODY.PEEK[]"]).items()}

    def flags(self, folder: str = "INBOX") -> list[set[bytes]]:
        with self.client() as client:
            client.select_folder(folder, readonly=True)
            return [set(flags) - {b"\\Recent"} for flags in client.get_flags(client.search()).values()]

    def remake(self, folder: str = "INBOX") -> None:
        """Remove the folder behind the server's back: the next one has another UIDVALIDITY and the same UIDs."""
        path = self.server.folder / "mail" / self.user
        shutil.rmtree(path if folder == "INBOX" else path / f".{folder}")


def _group(number: int) -> str:
    return grp.getgrgid(number).gr_name


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as greeted:
            return greeted.recv(4) == b"* OK"
    except OSError:
        return False
