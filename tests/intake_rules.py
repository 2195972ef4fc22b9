"""A newer configuration of how letters come in."""

from typing import Any

from docflow.adapters import config_files
from docflow.domain.configuration import Configuration
from docflow.services import configuration
from tests.conftest import ROOT, District


def apply_intake(district: District, **changes: Any) -> None:
    """The shipped configuration with these fields of config/intake.yaml."""
    shipped = config_files.load(ROOT / "config").model_dump(mode="json")
    shipped["intake"] |= changes
    changed = Configuration.model_validate(shipped)
    with district.container.sessions.begin() as session:
        configuration.apply(session, changed, config_files.digest(changed), district.container.clock())
