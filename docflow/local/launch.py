"""Become another program: drop privileges, arrange to die with the parent, exec.

Run as a script by path, with the standard library only, because ``preexec_fn`` is unsafe beside threads.
Arguments: parent's pid, signal at the parent's death, ``uid:gid`` or ``-``, program, its arguments.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def _drop_privileges(account: str) -> None:
    if account == "-":
        return
    uid, gid = (int(part) for part in account.split(":"))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _die_with_parent(parent: int, death_signal: int) -> None:
    """After the change of user, which would clear the wish."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit("the parent is gone already")


def main() -> None:
    parent, death_signal, account, *program = sys.argv[1:]
    _drop_privileges(account)
    _die_with_parent(int(parent), int(death_signal))
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
