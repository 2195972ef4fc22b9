"""The schema in a database: bring it to the newest migration, say whether it is there."""

from pathlib import Path

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

import docflow
from alembic import command
from docflow.domain.errors import Unavailable


def migrations() -> Path:
    """Beside the package in a checkout, inside it where it was installed."""
    package = Path(docflow.__file__).parent
    for folder in (package / "alembic", package.parent / "alembic"):
        if (folder / "env.py").exists():
            return folder
    raise Unavailable(
        "The migrations are missing from this installation. Install docflow from its wheel or a checkout."
    )


def _config(url: str = "") -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations()).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def upgrade(url: str) -> None:
    command.upgrade(_config(url), "head")


def standing(engine: Engine) -> tuple[str | None, str | None]:
    """The revision the database is at, and the newest one."""
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    return current, ScriptDirectory.from_config(_config()).get_current_head()
