"""Migrations run as the owner, one at a time, and never wait long for a lock."""

import os

from sqlalchemy import create_engine, pool, text

from alembic import context
from docflow.db.base import Base
from docflow.db.models import Document  # noqa: F401 - fills the metadata

LOCK = 0x646F6366
"""Advisory lock: two migrating processes take turns."""


def run() -> None:
    url = context.config.attributes.get("url") or os.environ["DOCFLOW_DATABASE_URL"]
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.execute(text("SET lock_timeout = '10s'"))
        connection.execute(text("SET statement_timeout = '10min'"))
        connection.execute(text(f"SELECT pg_advisory_lock({LOCK})"))
        connection.commit()
        context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
    engine.dispose()


run()
