"""The schema on an empty database: up, compared with the models, one step down, up again.

``python -m docflow.local.schema_check`` from the repository's root; it fails when a migration does.
"""

import tempfile
from pathlib import Path

from alembic.config import Config

from alembic import command
from docflow.local.postgres import LocalPostgres


def check_schema(url: str, ini: Path) -> None:
    """Raises alembic's CommandError when models and migrations differ."""
    config = Config(str(ini))
    config.attributes["url"] = url
    command.upgrade(config, "head")
    command.check(config)
    command.downgrade(config, "-1")
    command.upgrade(config, "head")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="docflow-schema-") as folder:
        server = LocalPostgres(Path(folder) / "postgres")
        server.start()
        try:
            check_schema(server.url(), Path("alembic.ini"))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
