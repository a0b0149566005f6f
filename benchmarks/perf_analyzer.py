"""Installs NVIDIA's own load generator, and runs it against a Triton server."""

from __future__ import annotations

import base64
import csv
import ctypes.util
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from benchmarks.peers import PeerUnavailable
from benchmarks.peers.environment import BUILD

__all__ = ["Load", "measure", "run"]

# The last wheel that has the binary and runs with Debian 12's glibc.
_CLIENT = "tritonclient==2.50.0"
_PLATFORM = "manylinux1_x86_64"
_WINDOWS = 3
"""perf_analyzer reports when three windows in a row agree."""


@dataclass(frozen=True)
class Load:
    """The figures of a constant number of requests under way."""

    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    """The failed requests: 0, because perf_analyzer gives no figures after an error."""


def measure(url: str, model: str, input_name: str, items: list[bytes], concurrency: int) -> Load:
    """Ask ``model`` at gRPC ``url`` for one item a request, in three windows.

    Args:
        url: the server's address, such as "localhost:8001".
        model: the name of a model that takes BYTES [1].
        input_name: the name of the model's only input.
        items: the items to send in turn.
        concurrency: the requests under way at any time.

    Raises:
        PeerUnavailable: perf_analyzer cannot be installed.
        RuntimeError: perf_analyzer gives no figures, as after a failed request; the message has
            its own words.
    """
    with tempfile.TemporaryDirectory(prefix="bench-perf-") as place:
        report = Path(place) / "report.csv"
        done = run(url, model, input_name, items, concurrency, "-f", report)
        if done.returncode or not report.is_file():
            raise RuntimeError(f"perf_analyzer: {(done.stderr or done.stdout).strip()[-1000:]}")
        return parse(report.read_text())


def run(
    url: str,
    model: str,
    input_name: str,
    items: Sequence[bytes],
    concurrency: int,
    *options: str | Path,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Ask as ``measure`` does, with further options; return perf_analyzer's output.

    Raises:
        PeerUnavailable: perf_analyzer cannot be installed.
        subprocess.TimeoutExpired: perf_analyzer has not ended within ``timeout`` seconds.
    """
    binary, libraries = _installed()
    with tempfile.TemporaryDirectory(prefix="bench-perf-") as place:
        data = Path(place) / "data.json"
        data.write_text(input_data(input_name, items))
        return subprocess.run(
            [
                binary,
                *("-u", url, "-i", "grpc", "-m", model),
                *("--input-data", data, "--shape", f"{input_name}:1"),
                *("--concurrency-range", str(concurrency)),
                # Windows by count, because a slow model answers no batch within seconds.
                *("--measurement-mode", "count_windows"),
                *("--measurement-request-count", str(max(8, 2 * concurrency))),
                # Any spread of the windows is accepted: our table shows the spread.
                *("--stability-percentage", "999", "--max-trials", str(_WINDOWS)),
                *options,
            ],
            env=_environment(libraries),
            text=True,
            capture_output=True,
            timeout=timeout,
        )


def input_data(input_name: str, items: Sequence[bytes]) -> str:
    """Make the file of --input-data: a request for each item, a BYTES tensor in base64."""
    tensors = [len(item).to_bytes(4, "little") + item for item in items]
    encoded = [base64.b64encode(tensor).decode() for tensor in tensors]
    return json.dumps(
        {"data": [{input_name: {"content": {"b64": each}, "shape": [1]}} for each in encoded]}
    )


def parse(report: str) -> Load:
    """Read the figures of a CSV report of one concurrency."""
    (row,) = csv.DictReader(report.splitlines())
    return Load(
        per_second=float(row["Inferences/Second"]),
        p50_ms=float(row["p50 latency"]) / 1000,
        p99_ms=float(row["p99 latency"]) / 1000,
        errors=0,
    )


def _environment(libraries: Path) -> dict[str, str]:
    others = os.environ.get("LD_LIBRARY_PATH")
    path = os.pathsep.join([str(libraries), *([others] if others else [])])
    # A proxy in the environment is not for servers on this machine.
    return {**os.environ, "LD_LIBRARY_PATH": path, "no_grpc_proxy": "127.0.0.1,localhost"}


def _installed() -> tuple[Path, Path]:
    """Return the binary and the folder of its libraries, and fetch both the first time."""
    folder = BUILD / "perf_analyzer"
    BUILD.mkdir(exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.is_dir():
            print(f"fetching perf_analyzer into {folder} (once) ...", flush=True)
            with tempfile.TemporaryDirectory(dir=BUILD, prefix=".perf-") as draft:
                _fetch(Path(draft))
                shutil.rmtree(Path(draft) / "fetched")
                Path(draft).rename(folder)  # whole or not at all
                Path(draft).mkdir()  # for the context manager to remove
    return folder / "perf_analyzer", folder / "libraries"


def _fetch(folder: Path) -> None:
    fetched, libraries = folder / "fetched", folder / "libraries"
    fetched.mkdir()
    libraries.mkdir()
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    _call(
        [*download, "--only-binary=:all:", "--platform", _PLATFORM, "--dest", fetched, _CLIENT],
        fetched,
    )
    (wheel,) = fetched.glob("*.whl")
    binary = folder / "perf_analyzer"
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith("/bin/perf_analyzer"))
        binary.write_bytes(archive.read(name))
    binary.chmod(0o755)
    if not ctypes.util.find_library("b64"):
        _call(["apt-get", "download", "libb64-0d"], fetched)
        (package,) = fetched.glob("*.deb")
        _call(["dpkg", "-x", package, fetched / "libb64"], fetched)
        for library in (fetched / "libb64").rglob("libb64.so*"):
            shutil.copy(library, libraries, follow_symlinks=True)
    (libraries / "libcudart.so.12").symlink_to(_cudart())
    _call([binary, "--version"], fetched, _environment(libraries))


def _cudart() -> Path:
    """Find the CUDA runtime, which the server's wheel has under a longer name."""
    spec = importlib.util.find_spec("pytriton")
    for package in (spec.submodule_search_locations or ()) if spec else ():
        for library in (Path(package).parent / "nvidia_pytriton.libs").glob("libcudart-*.so.12*"):
            return library
    raise PeerUnavailable(
        "perf_analyzer needs libcudart.so.12, which nvidia-pytriton carries; run `make setup`"
    )


def _call(command: list[str | Path], place: Path, env: dict[str, str] | None = None) -> None:
    try:
        done = subprocess.run(command, cwd=place, env=env, text=True, capture_output=True)
    except OSError as error:
        raise PeerUnavailable(f"perf_analyzer cannot be had: {command[0]}: {error}") from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip()[-500:]
        raise PeerUnavailable(f"perf_analyzer cannot be had: {command[0]} said: {words}")
