"""Secrets made on this machine and kept beside the data they protect."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def kept(path: Path, make: Callable[[], str] = lambda: secrets.token_hex(32)) -> str:
    """The secret in ``path``, made on first use, readable by its owner only; complete or absent after a crash."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        value = make()
        write_private(path, value)
        return value


def write_private(path: Path, text: str) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
