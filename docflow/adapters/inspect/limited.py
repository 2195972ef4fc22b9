"""A worker module in a process of its own, ended by the clock; its other limits it sets itself, before it reads."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "TESSDATA_PREFIX")


def run(
    module: str,
    arguments: Sequence[str | Path],
    *,
    seconds: float,
    answer: IO[bytes] | None = None,
    more: Mapping[str, str] | None = None,
) -> int:
    """Its exit status, negative for a signal; paths are given whole. What it prints goes to ``answer``: a file, not a
    pipe, so that what a hostile worker writes is bounded by its limit on file size and cannot block anyone.

    Raises TimeoutError where it had to be killed after so many ``seconds``.
    """
    # -B: a limit on file size would cut off the bytecode it caches, and break the module for everybody after it.
    given = [str(one.resolve()) if isinstance(one, Path) else one for one in arguments]
    process = subprocess.Popen(
        [sys.executable, "-I", "-B", "-m", module, *given],
        stdin=subprocess.DEVNULL,
        stdout=answer or subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ} | dict(more or {}),
        start_new_session=True,
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"it took more than {seconds:g} seconds") from error
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
