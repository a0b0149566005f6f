"""``python -m align_zoo``: the align-zoo command."""

from align_zoo.cli import app

app(prog_name="python -m align_zoo")
