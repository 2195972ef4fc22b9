"""A real mail server for the tests of a module, and a mailbox for each test."""

from collections.abc import Iterator

import pytest

from tests.dovecot import Dovecot, MailAccount
from tests.mail_office import boxes


@pytest.fixture(scope="module")
def server() -> Iterator[Dovecot]:
    with Dovecot() as server:
        yield server


@pytest.fixture
def account(server: Dovecot) -> MailAccount:
    return server.account()


@pytest.fixture
def box(account: MailAccount) -> MailAccount:
    return account


@pytest.fixture(autouse=True)
def _leave_boxes() -> Iterator[None]:
    yield
    while boxes:
        boxes.pop().leave()
