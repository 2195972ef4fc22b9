"""``python -m docflow.cli``: how the supervised processes are started."""

from docflow.cli.main import app

app(prog_name="docflow")
