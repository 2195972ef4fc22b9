"""Free TCP ports of the loopback address, below the range the kernel hands out by itself."""

import errno
import random
import socket
from collections.abc import Collection
from pathlib import Path

from docflow.domain.errors import Unavailable

HOST = "127.0.0.1"
_FIRST, _LAST = 12_000, 21_999
_ATTEMPTS = 400


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as failure:
            if failure.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def free_port(*, taken: Collection[int] = (), offsets: Collection[int] = (0,)) -> int:
    """A port p with every p + offset free, drawn at random so that neighbours starting at once rarely meet."""
    for _ in range(_ATTEMPTS):
        port = random.randint(_FIRST, _LAST)
        if port not in taken and all(is_free(port + offset) for offset in offsets):
            return port
    raise Unavailable(f"no free port between {_FIRST} and {_LAST}; stop what you do not need and start again")


def remembered_port(file: Path) -> int | None:
    """The port of the last start, if it is known and nobody else took it since."""
    try:
        port = int(file.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return port if is_free(port) else None
