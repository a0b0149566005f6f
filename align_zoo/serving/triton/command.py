"""The options of a tritonserver, and the command line and the environment made from them."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from align_zoo.checkpoint.paths import at_home
from align_zoo.errors import AlignZooError
from align_zoo.runtime.machine import with_huge_pages
from align_zoo.serving.model.settings import DEFAULT_MODEL
from align_zoo.serving.triton.find import TritonServer, backend_folder, python_environment

__all__ = [
    "ServeOptions",
    "absolute_model",
    "command",
    "default_repository",
    "environment",
    "repository_of",
    "tcp_ports",
    "unix_sockets",
]

_PATH = re.compile(
    r"--([\w-]+-(file|directory|repository|store|cert|key)|trace-config[= ]\w+,file)"
)
"""The names of tritonserver's flags whose values are paths."""
_FOLDERS = ("XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE")
"""The environment variables that name folders for the models' processes."""


def default_repository() -> Path:
    """Return ``./model_repository`` if that folder exists, else the repository in align-zoo."""
    here = Path("model_repository")
    return here if here.is_dir() else Path(__file__).parents[1] / "model_repository"


@dataclass(frozen=True)
class ServeOptions:
    """The checkpoint to serve, the runtime, and the addresses.

    >>> options = ServeOptions("align_tiny", runtime="onnx").on_free_ports()
    """

    model: str = DEFAULT_MODEL
    revision: str | None = None
    runtime: str = "auto"
    """"onnx", "torch" or "auto", as ``align_zoo.load_encoder`` takes it."""
    dtype: str = "auto"
    """"float32", "bfloat16", "float16" or "auto", as ``align_zoo.load_encoder`` takes it."""
    host: str = "127.0.0.1"
    """The address of a bare Triton, as the three ports; a service listens on its gateway's."""
    grpc_port: int = 8001
    http_port: int = 8000
    metrics_port: int = 8002
    repository: Path | None = None
    verbose: bool = False
    """Whether a service also prints the lines that tritonserver prints at every start."""
    extra: Sequence[str] = ()
    """Further flags of tritonserver."""

    def on_free_ports(self) -> ServeOptions:
        """Return the same options with three ports that are free now."""
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
            for each in sockets:
                each.bind((self.host, 0))
            grpc, http, metrics = (each.getsockname()[1] for each in sockets)
        return replace(self, grpc_port=grpc, http_port=http, metrics_port=metrics)


def repository_of(options: ServeOptions) -> Path:
    """Return the folder of the models, as an absolute path.

    The folder is also the server's working directory: a model's Python imports from its working
    directory first, and this folder holds the models' code anyway.

    Raises:
        AlignZooError: the folder does not exist.
    """
    repository = (options.repository or default_repository()).absolute()
    if not repository.is_dir():
        raise AlignZooError(f"there is no model repository at {repository}")
    return repository


def absolute_model(name: str) -> str:
    """Return a model's name that is valid in any working directory: a folder's absolute path.

    Raises:
        AlignZooError: the name is a folder's, and the folder cannot be opened.
    """
    from align_zoo.checkpoint.folder import EMBEDDED

    folder = at_home(name)
    try:
        return str(folder.absolute()) if name not in EMBEDDED and folder.is_dir() else name
    except OSError as error:
        raise AlignZooError(f"{name} cannot be opened: {error}") from error


def tcp_ports(options: ServeOptions) -> list[str]:
    """Return the flags that make tritonserver listen on the options' address and ports."""
    return [
        f"--grpc-address={options.host}",
        f"--grpc-port={options.grpc_port}",
        f"--http-address={options.host}",
        f"--http-port={options.http_port}",
        f"--metrics-address={options.host}",
        f"--metrics-port={options.metrics_port}",
    ]


def unix_sockets(folder: Path) -> list[str]:
    """Return the flags for Unix sockets ``grpc:1``, ``http`` and ``metrics`` in a folder."""
    names = ("grpc", "http", "metrics")
    # Triton appends the port to the first name, and demands a port for each.
    return [f"--{n}-address=unix:{folder / n}" for n in names] + [f"--{n}-port=1" for n in names]


def command(
    server: TritonServer, options: ServeOptions, addresses: Sequence[str], *, shm_prefix: str
) -> list[str]:
    """Return the command line that serves ``options``.

    Args:
        server: the server to start.
        options: the models to serve.
        addresses: the flags for the addresses where the server listens.
        shm_prefix: the beginning of the names of the server's files in /dev/shm.

    Raises:
        AlignZooError: there is no model repository, or this Python cannot be served, or the path
            of one of the two has a character with which Triton cannot start a model.
    """
    repository = repository_of(options)
    _refuse_odd(repository, "link the model repository to another place and name it: --repository")
    line = [
        str(server.binary.absolute()),
        f"--model-repository={repository}",
        "--disable-auto-complete-config",
        *addresses,
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        "--backend-config=python,shm-default-byte-size=16777216",
    ]
    if server.wheel:
        backend = backend_folder(server.wheel).absolute()
        _refuse_odd(backend, "let XDG_CACHE_HOME name another place")
        line.append(f"--backend-directory={backend}")
    return [*line, *_with_absolute_paths(options.extra)]


def _with_absolute_paths(flags: Sequence[str]) -> list[str]:
    """Return the flags with absolute paths: the server has another working directory."""
    changed, before = [], ""
    for word in flags:
        name, sign, value = word.rpartition("=")
        full_name = name if word.startswith("-") else f"{before} {name}".strip()
        is_path = _PATH.fullmatch(full_name) and "://" not in value
        changed.append(f"{name}{sign}{Path(value).absolute()}" if is_path else word)
        before = word
    return changed


def _refuse_odd(path: Path, way_out: str) -> None:
    """Reject a path from which Triton cannot start a model.

    Triton starts a model's process by a shell command without quotes, and the Python in that
    process imports by ASCII names alone.

    Raises:
        AlignZooError: the path has such a character; Triton would wait forever, or fail.
    """
    if odd := re.search(r"[^\w/.+,:@%=-]", str(path), re.ASCII):
        raise AlignZooError(
            f"Triton cannot start a model from {path}, because of the {odd[0]!r} in it: {way_out}"
        )


def environment(
    server: TritonServer, options: ServeOptions, env: Mapping[str, str]
) -> dict[str, str]:
    """Return ``env`` with the checkpoint to serve and the variables for running our Python.

    Raises:
        AlignZooError: this Python cannot be served.
    """
    changed = with_huge_pages(python_environment(env) if server.wheel else env)
    for name in _FOLDERS:
        if folder := env.get(name):
            changed[name] = str(at_home(folder).absolute())
    changed["ALIGN_ZOO_MODEL"] = absolute_model(options.model)
    # Empty: a revision in our own environment belongs to another model.
    changed["ALIGN_ZOO_REVISION"] = options.revision or ""
    changed["ALIGN_ZOO_RUNTIME"] = options.runtime
    changed["ALIGN_ZOO_DTYPE"] = options.dtype
    return changed
