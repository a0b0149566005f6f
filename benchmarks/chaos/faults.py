"""Faults of a running service under load: wrong answers, lost requests and recovery times."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import align_zoo
from align_client import AlignClient, AlignClientError
from align_zoo.serving.probe import explain, probe
from benchmarks.chaos.rows import ChaosRow
from tests.support.known import Known
from tests.support.rest_client import RestClient
from tests.support.service import Service, running_service, until
from tests.support.traffic import Traffic, Watch

__all__ = ["FAULTS", "Fault", "suffer"]

_PATIENCE = 60.0
_CALM = 3.0
"""The seconds of right answers after which a fault is over."""

TINY = Path(align_zoo.__file__).parent / "assets" / "align_tiny"


@dataclass(frozen=True)
class Stage:
    """The service that a fault affects."""

    service: Service
    checkpoint: Path
    """The served folder, a copy."""


@dataclass(frozen=True)
class Fault:
    """A fault of a service."""

    name: str
    do: Callable[[Stage], None]
    limit: float | None = 15.0
    """The seconds within which right answers must return."""
    may_lose: bool = False
    """Whether requests may end without an answer, because no process is left to answer."""
    wrapper: Sequence[str] = ()
    """The command that starts the service's command."""


def suffer(fault: Fault, requests: Sequence[Known], callers: int = 4) -> ChaosRow:
    """Cause a fault under the load of retrying clients, a quarter of them over HTTP.

    Args:
        fault: the fault.
        requests: the callers' requests, with at least an image and a text.
        callers: the number of callers.

    Raises:
        TimeoutError: right answers do not return within a minute.
    """
    watched = [_first(requests, str), _first(requests, bytes)]
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        checkpoint = shutil.copytree(TINY, scratch / "checkpoint")
        service = stack.enter_context(
            running_service(str(checkpoint), scratch / "log", wrapper=fault.wrapper)
        )
        client = stack.enter_context(AlignClient(service.url, timeout=_PATIENCE))
        rest = RestClient(service.http, timeout=_PATIENCE)
        traffic = stack.enter_context(Traffic(client, requests, callers, rest))
        watch = stack.enter_context(
            Watch(lambda: AlignClient(service.url, timeout=2, retries=False), watched)
        )
        until(lambda: watch.right_for(0.5), _PATIENCE, "right answers before the fault")
        begin = watch.reset()
        fault.do(Stage(service, checkpoint))
        until(lambda: watch.right_for(_CALM), _PATIENCE, f"right answers after: {fault.name}")
        seconds = watch.since - begin if watch.failed else 0.0
    return ChaosRow(
        what=fault.name,
        sent=traffic.sent,
        wrong=traffic.wrong,
        lost=sum(traffic.lost.values()),
        lost_allowed=fault.may_lose,
        seconds=seconds,
        limit=fault.limit,
        note="; ".join(traffic.lost)[:300],
    )


def _signal(number: int, whom: Callable[[Service], int]) -> Callable[[Stage], None]:
    return lambda stage: os.kill(whom(stage.service), number)


def _image_model(service: Service) -> int:
    return service.model_process("align_image")


def _text_model(service: Service) -> int:
    return service.model_process("align_text")


def _checkpoint_away(stage: Stage) -> None:
    """Remove the served folder, kill the server, and restore the folder after a failed start."""
    away = stage.checkpoint.with_name("away")
    stage.checkpoint.rename(away)
    os.kill(stage.service.tritonserver(), signal.SIGKILL)
    until(lambda: not stage.service.health().get("ready", True), _PATIENCE, "it is not ready")
    until(
        lambda: "does not exist" in stage.service.log.read_text(errors="replace"),
        _PATIENCE,
        "the missing folder is named",
    )
    away.rename(stage.checkpoint)


def _reload(*words: str, code: int) -> Callable[[Stage], None]:
    def do(stage: Stage) -> None:
        command = [str(Path(sys.executable).with_name("align-zoo")), "reload"]
        done = subprocess.run(
            [*command, f"--grpc-port={stage.service.grpc_port}", *words],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr

    return do


def _restart(stage: Stage) -> None:
    """Kill the service itself, and start it again as systemd does."""
    assert stage.service.process
    stage.service.process.kill()
    stage.service.process.wait()
    stage.service.start()


@contextmanager
def _full(path: Path) -> Iterator[None]:
    """Fill a file system with a file."""
    file = path / "align-zoo-chaos"
    try:
        with file.open("wb", buffering=0) as filling:
            block = bytes(1 << 20)
            try:
                while True:
                    filling.write(block)
            except OSError:
                pass
        yield
    finally:
        file.unlink(missing_ok=True)


def _full_shared_memory(stage: Stage) -> None:
    """Fill the service's own /dev/shm while large requests come, and free the space again."""
    own = Path(f"/proc/{stage.service.pids()[0]}/root/dev/shm")
    assert os.statvfs(own).f_blocks * os.statvfs(own).f_frsize <= _SHM_BYTES, "not its own"
    large = [f"{i} of many texts that do not fit into a full house" for i in range(2000)]
    with _full(own):
        with AlignClient(stage.service.url, timeout=10, retries=False) as client:
            threads = [
                threading.Thread(target=_ignore, args=(client, large[i::4])) for i in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        os.kill(_text_model(stage.service), signal.SIGKILL)  # no room to start again
        time.sleep(3)  # the fault's duration
    until(lambda: explain(probe(stage.service.url))[0], _PATIENCE, "it answers again")


def _ignore(client: AlignClient, texts: list[str]) -> None:
    with suppress(AlignClientError):
        client.embed_text(texts)


_SHM_BYTES = 256 << 20
_OWN_SHM = (
    "unshare",
    "--mount",
    "sh",
    "-c",
    f'mount -t tmpfs -o size={_SHM_BYTES} tmpfs /dev/shm && exec "$0" "$@"',
)

FAULTS = (
    Fault("text model's process killed", _signal(signal.SIGKILL, _text_model)),
    Fault("image model's process killed", _signal(signal.SIGKILL, _image_model)),
    Fault("tritonserver killed", _signal(signal.SIGKILL, Service.tritonserver)),
    Fault("text model's process stopped", _signal(signal.SIGSTOP, _text_model)),
    Fault("tritonserver stopped", _signal(signal.SIGSTOP, Service.tritonserver)),
    Fault("checkpoint deleted, server killed, checkpoint back", _checkpoint_away, limit=40.0),
    Fault("/dev/shm full, model's process killed", _full_shared_memory, wrapper=_OWN_SHM),
    Fault("reload", _reload(code=0), limit=0.0),
    Fault("reload of a checkpoint that is not there", _reload("--model=/nowhere", code=1), 0.0),
    Fault("align-zoo serve killed and started again", _restart),
)
"""The faults in the order of the table."""


def _first(requests: Sequence[Known], kind: type) -> Known:
    return next(
        each for each in requests if isinstance(each.item, kind) and each.vector is not None
    )
