"""``align-zoo finetune`` as a module: ``accelerate launch -m align_zoo.training ...``."""

import typer

from align_zoo.cli.data import finetune

if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(finetune)
    app()
