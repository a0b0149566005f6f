"""The align-zoo command: arguments in, exit code out; the work is done elsewhere."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Optional

import typer

from align_zoo.errors import AlignZooError
from align_zoo.evaluation.command import evaluate
from align_zoo.serving.settings import DEFAULT_MODEL
from align_zoo.training.command import finetune

__all__ = ["app"]

app = typer.Typer(
    help="ALIGN as timm models, and behind a real tritonserver.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except AlignZooError as error:
        typer.echo(f"align-zoo: {error}", err=True)
        raise typer.Exit(1) from None


@app.command()
def serve(
    flags: Annotated[
        Optional[list[str]],
        typer.Argument(metavar="-- TRITON_FLAGS", help="Further flags of tritonserver."),
    ] = None,
    model: Annotated[
        str,
        typer.Option(envvar="ALIGN_ZOO_MODEL", help='A hub id, a folder, or "align_tiny".'),
    ] = DEFAULT_MODEL,
    revision: Annotated[
        Optional[str],
        typer.Option(envvar="ALIGN_ZOO_REVISION", help="Branch, tag or commit of a hub id."),
    ] = None,
    runtime: Annotated[
        str, typer.Option(envvar="ALIGN_ZOO_RUNTIME", help="onnx, torch or auto: what is fastest.")
    ] = "auto",
    dtype: Annotated[
        str,
        typer.Option(
            envvar="ALIGN_ZOO_DTYPE",
            help="float32, bfloat16, float16 or auto: float32 on a CPU, half of it on a GPU.",
        ),
    ] = "auto",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    grpc_port: Annotated[int, typer.Option(min=1, max=65535)] = 8001,
    http_port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    metrics_port: Annotated[int, typer.Option(min=1, max=65535)] = 8002,
    repository: Annotated[
        Optional[Path],
        typer.Option(help="Model repository; ./model_repository or the shipped one by default."),
    ] = None,
) -> None:
    """Run a tritonserver on ALIGN in the foreground; its exit code is ours."""
    from align_zoo.serving import launcher
    from align_zoo.serving.options import ServeOptions

    with _one_line_errors():
        options = ServeOptions(
            model=model,
            revision=revision,
            runtime=runtime,
            dtype=dtype,
            host=host,
            grpc_port=grpc_port,
            http_port=http_port,
            metrics_port=metrics_port,
            repository=repository,
            extra=flags or [],
        )
        raise typer.Exit(launcher.serve(options))


@app.command()
def probe(
    url: Annotated[str, typer.Argument(help="The server's gRPC address.")] = "localhost:8001",
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds for each answer.")] = 10.0,
) -> None:
    """Ask both models for one real inference: exit 0 if they answer, else 1 and why."""
    from align_zoo.serving import probe as health

    with _one_line_errors():
        well, why = health.explain(health.probe(url, timeout=timeout))
        typer.echo(f"{url}: {why}")
        raise typer.Exit(0 if well else 1)


@app.command()
def bench(
    url: Annotated[str, typer.Argument(help="The server's gRPC address.")] = "localhost:8001",
    images: Annotated[
        Optional[Path], typer.Option(help="Your pictures; else shipped and drawn ones.")
    ] = None,
    concurrency: Annotated[
        Optional[list[int]],
        typer.Option(min=1, help="Callers at once; may be repeated. 1, 4 and 16 by default."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.01, help="Of each measurement.")] = 5.0,
    json: Annotated[Optional[Path], typer.Option(help="JSON to write.")] = None,
) -> None:
    """Measure a running server with align-client: exit 1 if it fails or an answer is wrong."""
    from rich.console import Console

    from align_zoo.serving import bench as benchmark

    with _one_line_errors():
        options = benchmark.BenchOptions(
            url=url,
            images=images,
            concurrency=concurrency or (1, 4, 16),
            seconds=seconds,
            json=json,
        )
        raise typer.Exit(benchmark.bench(options, Console()))


@app.command()
def demo() -> None:
    """Start a server on align_tiny, classify the shipped pictures, stop it."""
    from rich.console import Console

    from align_zoo.serving.demo import run_demo

    # As Ctrl-C does: unwind, so that the server is stopped, too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with _one_line_errors():
        run_demo(Console())


@app.command()
def export(
    model: Annotated[str, typer.Argument(help='A hub id, a folder, or "align_tiny".')],
    revision: Annotated[
        Optional[str], typer.Option(help="Branch, tag or commit of a hub id.")
    ] = None,
) -> None:
    """Export a checkpoint for ONNX Runtime ahead of time; a server then finds it in the cache."""
    from align_zoo.runtime.load import export_checkpoint

    with _one_line_errors():
        typer.echo(export_checkpoint(model, revision=revision))


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="A hub id, a folder or align_tiny.")],
    target: Annotated[Path, typer.Argument(help="The folder to write.")],
    to: Annotated[str, typer.Option(help="hf (transformers' format) or timm (a folder a tower).")],
) -> None:
    """Write a checkpoint in Hugging Face's ALIGN format, or as timm's folders."""
    from align_zoo.conversion import convert as write

    with _one_line_errors():
        write(source, target, to)
    typer.echo(f"{target}: written")


app.command()(_one_line_errors()(evaluate))
app.command()(finetune)
