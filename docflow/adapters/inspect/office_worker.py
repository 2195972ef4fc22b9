"""Becomes LibreOffice on one untrusted document, under hard limits and without a network; started by
``LibreOffice`` only.

``python -m docflow.adapters.inspect.office_worker LIMITS PROGRAM PROFILE FILTER SOURCE FOLDER``
"""

import ctypes
import json
import os
import sys
from pathlib import Path

from docflow.adapters.inspect.render_worker import limit_myself

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


def leave_network() -> None:
    """A network of its own, in which nobody is; kernels that do not allow it leave what the profile forbids."""
    libc = ctypes.CDLL(None, use_errno=True)
    for flags in (CLONE_NEWNET, CLONE_NEWUSER | CLONE_NEWNET):
        if libc.unshare(flags) == 0:
            return


def main(arguments: list[str]) -> None:
    limits, program, profile, filter_name, source, folder = arguments
    limit_myself(json.loads(limits))
    leave_network()
    os.execv(
        program,
        [
            program,
            "--headless",
            "--norestore",
            "--nolockcheck",
            "--nodefault",
            f"-env:UserInstallation={Path(profile).as_uri()}",
            f"--infilter={filter_name}",
            "--convert-to",
            "pdf",
            "--outdir",
            folder,
            source,
        ],
    )


if __name__ == "__main__":
    main(sys.argv[1:])
