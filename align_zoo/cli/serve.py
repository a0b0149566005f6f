"""The commands about a server: ``serve``, ``reload``, ``probe``, ``bench`` and ``demo``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from align_zoo.cli.options import SearchedCollection, needs_collection
from align_zoo.cli.shared import (
    CHECKPOINT,
    TOKEN_FILE,
    Revision,
    ServedModel,
    ServedRevision,
    needs,
    one_line_errors,
)
from align_zoo.serving.model.settings import DEFAULT_MODEL

__all__ = ["bench", "demo", "probe", "reload", "serve"]

_ServerUrl = Annotated[str, typer.Argument(help="gRPC address of the server, as host:port.")]


@one_line_errors()
def serve(
    flags: Annotated[
        Optional[list[str]],
        typer.Argument(metavar="-- TRITON_FLAGS", help="Further flags for tritonserver."),
    ] = None,
    model: ServedModel = DEFAULT_MODEL,
    revision: ServedRevision = None,
    runtime: Annotated[
        str,
        typer.Option(envvar="ALIGN_ZOO_RUNTIME", help="onnx, torch, or auto (the fastest)."),
    ] = "auto",
    dtype: Annotated[
        str,
        typer.Option(
            envvar="ALIGN_ZOO_DTYPE",
            help="float32, bfloat16, float16, or auto (float32 on a CPU, 16 bits on a GPU).",
        ),
    ] = "auto",
    listen: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address for gRPC and HTTP. An address beyond loopback needs TLS or --insecure.",
        ),
    ] = "127.0.0.1",
    grpc_port: Annotated[
        int, typer.Option(min=1, max=65535, metavar="PORT", help="Port for gRPC.")
    ] = 8001,
    http_port: Annotated[
        int, typer.Option(min=1, max=65535, metavar="PORT", help="Port for HTTP.")
    ] = 8000,
    metrics_listen: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address for /metrics and /healthz, which have neither TLS nor a token.",
        ),
    ] = "127.0.0.1",
    metrics_port: Annotated[
        int,
        typer.Option(min=1, max=65535, metavar="PORT", help="Port for /metrics and /healthz."),
    ] = 8002,
    tls_cert: Annotated[
        Optional[Path],
        typer.Option(metavar="FILE", help="The server's certificate chain, PEM."),
    ] = None,
    tls_key: Annotated[
        Optional[Path], typer.Option(metavar="FILE", help="The key of --tls-cert, PEM.")
    ] = None,
    tls_client_ca: Annotated[
        Optional[Path],
        typer.Option(
            metavar="FILE",
            help="Require callers to show a certificate from these authorities, PEM.",
        ),
    ] = None,
    token_file: Annotated[
        Optional[Path],
        typer.Option(
            envvar=TOKEN_FILE,
            metavar="FILE",
            help="Bearer tokens, one per line. Every call must carry one of the tokens.",
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Accept callers from other machines without TLS.")
    ] = False,
    queue_size: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="REQUESTS",
            help="Requests per model that may wait. Further requests are refused.",
        ),
    ] = 1000,
    queue_seconds: Annotated[
        float,
        typer.Option(
            min=0.0,
            metavar="SECONDS",
            help="Longest wait of a request. A request that would wait longer is refused.",
        ),
    ] = 20.0,
    restart_limit: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="FAILURES",
            help="Give up after so many failures without a healthy minute between them.",
        ),
    ] = 5,
    repository: Annotated[
        Optional[Path],
        typer.Option(
            metavar="FOLDER",
            help="Model repository. The default is ./model_repository or the shipped repository.",
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show all output of tritonserver during its start.")
    ] = False,
    page: Annotated[
        bool, typer.Option("--page", help="Serve the page for people on the port of HTTP, too.")
    ] = False,
    collection: SearchedCollection = None,
) -> None:
    """Serve ALIGN in the foreground, and keep the service up through faults.

    SIGTERM ends the service when all requests are answered.
    """
    with needs("serving"):
        from align_zoo.serving.gateway.options import GatewayOptions
        from align_zoo.serving.serve import serve as run
        from align_zoo.serving.triton.command import ServeOptions
        from align_zoo.web.site import site
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
    with needs_collection():
        beside = site(page=page, model=model, collection=collection)
    raise typer.Exit(run(options, gateway, limit=restart_limit, site=beside))


@one_line_errors()
def reload(
    model: Annotated[
        Optional[str],
        typer.Option(
            metavar="CHECKPOINT",
            help=f"{CHECKPOINT} The default is the served checkpoint, read again.",
        ),
    ] = None,
    revision: Revision = None,
    grpc_port: Annotated[
        int,
        typer.Option(
            min=1, max=65535, metavar="PORT", help="gRPC port of the service on this machine."
        ),
    ] = 8001,
) -> None:
    """Load another checkpoint, or the served one again, into a running service.

    Exit with 0 once the checkpoint is served. Otherwise exit with 1 and print the reason.
    """
    from align_zoo.serving.supervision.control import reload as order

    typer.echo(order(grpc_port, model, revision))


@one_line_errors()
def probe(
    url: _ServerUrl = "localhost:8001",
    timeout: Annotated[
        float, typer.Option(min=0.001, metavar="SECONDS", help="Longest wait for each answer.")
    ] = 10.0,
    tls_ca: Annotated[
        Optional[Path],
        typer.Option(
            metavar="FILE",
            help="Use TLS, and trust servers with a certificate from these authorities, PEM.",
        ),
    ] = None,
    tls_cert: Annotated[
        Optional[Path],
        typer.Option(metavar="FILE", help="The caller's own certificate for mutual TLS, PEM."),
    ] = None,
    tls_key: Annotated[
        Optional[Path], typer.Option(metavar="FILE", help="The key of --tls-cert, PEM.")
    ] = None,
    token_file: Annotated[
        Optional[Path],
        typer.Option(
            envvar=TOKEN_FILE, metavar="FILE", help="File whose first line is the bearer token."
        ),
    ] = None,
) -> None:
    """Request one real inference from each of the two models.

    Exit with 0 if both models answer. Otherwise exit with 1 and print the reason.
    """
    from align_zoo.serving import probe as health
    from align_zoo.serving.credentials import Access

    access = Access(tls_ca=tls_ca, tls_cert=tls_cert, tls_key=tls_key, token_file=token_file)
    well, why = health.explain(health.probe(url, timeout=timeout, access=access))
    typer.echo(f"{url}: {why}")
    raise typer.Exit(0 if well else 1)


@one_line_errors()
def bench(
    url: _ServerUrl = "localhost:8001",
    images: Annotated[
        Optional[Path],
        typer.Option(
            metavar="FOLDER",
            help="Folder of images to send. The default is shipped and drawn images.",
        ),
    ] = None,
    concurrency: Annotated[
        Optional[list[int]],
        typer.Option(
            min=1,
            metavar="CALLERS",
            help="Callers at the same time. May be repeated; 1, 4 and 16 by default.",
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.01, metavar="SECONDS", help="Duration of each measurement.")
    ] = 5.0,
    json: Annotated[
        Optional[Path], typer.Option(metavar="FILE", help="JSON file to write the report to.")
    ] = None,
) -> None:
    """Measure a running server with align-client.

    Exit with 1 if the server fails or an answer is wrong.
    """
    with needs("a benchmark"):
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


@one_line_errors()
def demo() -> None:
    """Classify emoji by a server on align_emoji, and search a collection of them."""
    # As Ctrl-C does: unwind, so that the server is stopped, too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with needs("the demo"):
        from rich.console import Console

        from align_zoo.serving.tools.demo import run_demo
    console = Console()
    run_demo(console)
    with needs("a collection", extra=".[collection]", missing=ModuleNotFoundError):
        from align_zoo.collection.demo import run_collection_demo
    run_collection_demo(console)
