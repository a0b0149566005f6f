"""The align-zoo command: arguments in, exit code out; the work is done elsewhere."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Optional

import typer

from align_zoo import __version__
from align_zoo.errors import AlignZooError, to_install
from align_zoo.evaluation.command import evaluate
from align_zoo.serving.model.settings import DEFAULT_MODEL
from align_zoo.training.command import finetune

__all__ = ["app"]

app = typer.Typer(
    help="ALIGN as timm models, and behind a real tritonserver.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


_TOKEN_FILE = "ALIGN_ZOO_TOKEN_FILE"


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"align-zoo {__version__}")
        raise typer.Exit()


@app.callback()
def _before_any_command(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell it and exit."),
    ] = False,
) -> None:
    pass


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except AlignZooError as error:
        typer.echo(f"align-zoo: {error}", err=True)
        raise typer.Exit(1) from None


@contextmanager
def _imports_of(command: str) -> Iterator[None]:
    """Name the package that is not installed, and what brings it."""
    try:
        yield
    except ImportError as error:
        raise AlignZooError(f"{command} needs {error.name}: {to_install('.[server]')}") from error


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
    listen: Annotated[
        str, typer.Option(help="Address of gRPC and HTTP; beyond loopback with TLS or --insecure.")
    ] = "127.0.0.1",
    grpc_port: Annotated[int, typer.Option(min=1, max=65535)] = 8001,
    http_port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    metrics_listen: Annotated[
        str, typer.Option(help="Address of /metrics and /healthz: without TLS and token.")
    ] = "127.0.0.1",
    metrics_port: Annotated[int, typer.Option(min=1, max=65535)] = 8002,
    tls_cert: Annotated[
        Optional[Path], typer.Option(help="The server's certificate chain, PEM.")
    ] = None,
    tls_key: Annotated[Optional[Path], typer.Option(help="Its key, PEM.")] = None,
    tls_client_ca: Annotated[
        Optional[Path], typer.Option(help="Callers must show a certificate of these authorities.")
    ] = None,
    token_file: Annotated[
        Optional[Path],
        typer.Option(envvar=_TOKEN_FILE, help="Bearer tokens, one a line: calls must carry one."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Callers from other machines without TLS.")
    ] = False,
    queue_size: Annotated[
        int, typer.Option(min=0, help="Requests of a model that may wait; more are refused.")
    ] = 1000,
    queue_seconds: Annotated[
        float, typer.Option(min=0.0, help="How long one may wait; what would longer is refused.")
    ] = 20.0,
    restart_limit: Annotated[
        int, typer.Option(min=1, help="Failures without a healthy minute until it gives up.")
    ] = 5,
    repository: Annotated[
        Optional[Path],
        typer.Option(help="Model repository; ./model_repository or the shipped one by default."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show all that tritonserver prints as it starts.")
    ] = False,
) -> None:
    """Serve ALIGN in the foreground, through faults; SIGTERM ends it when all is answered."""
    with _one_line_errors():
        with _imports_of("serving"):
            from align_zoo.serving.gateway.options import GatewayOptions
            from align_zoo.serving.serve import serve as run
            from align_zoo.serving.triton.command import ServeOptions
        options = ServeOptions(
            model=model,
            revision=revision,
            runtime=runtime,
            dtype=dtype,
            repository=repository,
            verbose=verbose,
            extra=flags or [],
        )
        gateway = GatewayOptions(
            listen=listen,
            grpc_port=grpc_port,
            http_port=http_port,
            metrics_listen=metrics_listen,
            metrics_port=metrics_port,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls_client_ca=tls_client_ca,
            token_file=token_file,
            insecure=insecure,
            queue_size=queue_size,
            queue_seconds=queue_seconds,
        )
        raise typer.Exit(run(options, gateway, limit=restart_limit))


@app.command()
def reload(
    model: Annotated[
        Optional[str],
        typer.Option(help="A hub id, a folder, or align_tiny; else the served one, read again."),
    ] = None,
    revision: Annotated[
        Optional[str], typer.Option(help="Branch, tag or commit of a hub id.")
    ] = None,
    grpc_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Of the service on this machine.")
    ] = 8001,
) -> None:
    """Put another checkpoint into a running service: exit 0 once it serves, else 1 and why."""
    from align_zoo.serving.supervision.control import reload as order

    with _one_line_errors():
        typer.echo(order(grpc_port, model, revision))


@app.command()
def probe(
    url: Annotated[str, typer.Argument(help="The server's gRPC address.")] = "localhost:8001",
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds for each answer.")] = 10.0,
    tls_ca: Annotated[
        Optional[Path], typer.Option(help="The server's authorities, PEM: encrypts.")
    ] = None,
    tls_cert: Annotated[
        Optional[Path], typer.Option(help="One's own certificate, for mutual TLS.")
    ] = None,
    tls_key: Annotated[Optional[Path], typer.Option(help="Its key, PEM.")] = None,
    token_file: Annotated[
        Optional[Path], typer.Option(envvar=_TOKEN_FILE, help="Its first line is the token.")
    ] = None,
) -> None:
    """Ask both models for one real inference: exit 0 if they answer, else 1 and why."""
    from align_zoo.serving import probe as health
    from align_zoo.serving.credentials import Access

    with _one_line_errors():
        access = Access(tls_ca=tls_ca, tls_cert=tls_cert, tls_key=tls_key, token_file=token_file)
        well, why = health.explain(health.probe(url, timeout=timeout, access=access))
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
    with _one_line_errors():
        with _imports_of("a benchmark"):
            from rich.console import Console

            from align_zoo.serving.tools import bench as benchmark
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
    # As Ctrl-C does: unwind, so that the server is stopped, too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with _one_line_errors():
        with _imports_of("the demo"):
            from rich.console import Console

            from align_zoo.serving.tools.demo import run_demo
        run_demo(Console())


@app.command()
def export(
    model: Annotated[str, typer.Argument(help='A hub id, a folder, or "align_tiny".')],
    revision: Annotated[
        Optional[str], typer.Option(help="Branch, tag or commit of a hub id.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Try what was refused or failed before.")
    ] = False,
) -> None:
    """Export a checkpoint for ONNX Runtime ahead of time: exit 1 if it will run slowly, and why."""
    from align_zoo.runtime.load import export_checkpoint

    with _one_line_errors():
        typer.echo(export_checkpoint(model, revision=revision, again=again))


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="A hub id, a folder or align_tiny.")],
    target: Annotated[Path, typer.Argument(help="The folder to write.")],
    to: Annotated[str, typer.Option(help="hf (transformers' format) or timm (a folder a tower).")],
) -> None:
    """Write a checkpoint in Hugging Face's ALIGN format, or as timm's folders."""
    from align_zoo.formats.convert import convert as write

    with _one_line_errors():
        write(source, target, to)
    typer.echo(f"{target}: written")


app.command()(_one_line_errors()(evaluate))
app.command()(finetune)
