"""Puts the parts together, once a process."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from docflow.adapters.inspect.render import LimitedInspector
from docflow.adapters.mail.parse import LimitedMailParser
from docflow.adapters.mail.send import SmtpMailer
from docflow.adapters.signing.authority import DemoAuthority
from docflow.adapters.signing.pades import PadesSigner
from docflow.adapters.storage import S3ObjectStore
from docflow.db.engine import make_engine, make_sessions
from docflow.db.wake import Waker
from docflow.domain.errors import Unavailable
from docflow.services.pictures import Pictures
from docflow.services.ports import Inspector, Mailer, MailParser, ObjectStore, Signer
from docflow.services.sign import KeyRing
from docflow.settings import Settings


def now_utc() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Container:
    """Everything an edge needs. Heavy parts are made when first used, so that each process pays for its own."""

    settings: Settings
    engine: Engine
    sessions: sessionmaker[Session]
    pictures: Pictures
    waker: Waker
    clock: Callable[[], datetime] = now_utc

    @cached_property
    def store(self) -> ObjectStore:
        s = self.settings
        store = S3ObjectStore(
            s.s3_endpoint,
            s.s3_access_key.get_secret_value(),
            s.s3_secret_key.get_secret_value(),
            s.s3_bucket,
            s.s3_secure,
        )
        store.ensure_bucket()
        return store

    @cached_property
    def inspector(self) -> Inspector:
        return LimitedInspector()

    @cached_property
    def parser(self) -> MailParser:
        return LimitedMailParser()

    @cached_property
    def authority(self) -> DemoAuthority:
        return DemoAuthority(self.settings.data_dir / "keys")

    @property
    def keys(self) -> KeyRing:
        return self.authority

    @cached_property
    def signer(self) -> Signer:
        return PadesSigner([self.authority.root_certificate])

    @cached_property
    def mailer(self) -> Mailer:
        if not self.settings.smtp_url:
            raise Unavailable("No mail server is set. Set DOCFLOW_SMTP_URL, for example smtp://user:password@host:587.")
        return SmtpMailer(self.settings.smtp_url)

    def close(self) -> None:
        self.waker.stop()
        self.engine.dispose()


def build(settings: Settings | None = None, *, name: str = "docflow") -> Container:
    """Raises Unavailable where a setting that everything needs is missing."""
    settings = settings or Settings()
    if not settings.database_url:
        raise Unavailable("No database is set. Set DOCFLOW_DATABASE_URL, or start everything with 'docflow up'.")
    engine = make_engine(settings.database_url, pool_size=settings.database_pool, name=name)
    return Container(settings, engine, make_sessions(engine), Pictures(), Waker(engine))
