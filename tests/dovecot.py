"""The real mail server of the tests."""

import os
from pathlib import Path

import pytest

from docflow.bench import dovecot
from docflow.bench.dovecot import PASSWORD, MailAccount

__all__ = ["PASSWORD", "Dovecot", "MailAccount", "require_dovecot"]


def require_dovecot() -> None:
    """Skips the test where it is not installed, except in CI, where that is a fault."""
    if not dovecot.installed():
        why = "Dovecot is not installed: apt-get install dovecot-imapd dovecot-lmtpd"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)


class Dovecot(dovecot.Dovecot):
    def __init__(self, more: str = "", certificate: Path | None = None, key: Path | None = None) -> None:
        require_dovecot()
        super().__init__(more, certificate, key)
