"""A Ray of this machine alone or a running cluster, shared out among workers."""

from __future__ import annotations

import math
import os
import secrets
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

from align_zoo.collection.ray_engine import Setup
from align_zoo.errors import AlignZooError
from align_zoo.runtime.machine import cores

__all__ = ["WorkerSize", "join_cluster", "share_out"]

_CORES_A_WORKER = 4
"""Fewer would take the memory of more checkpoints, more would wait for each other."""
_REACH_SECONDS = 10.0
_OBJECT_STORE = 300 << 20
_LONGEST_REASON = 300


class WorkerSize(NamedTuple):
    """How many workers there are, and what each takes of the cluster."""

    workers: int
    threads: int | None
    cpus: float
    gpus: float

    def __str__(self) -> str:
        return f"{self.cpus:g} CPU" + (f" and {self.gpus:g} GPU" if self.gpus else "")


def join_cluster(setup: Setup) -> Any:
    """Start Ray on this machine, or join a cluster; return the module.

    Raises:
        AlignZooError: it is not possible.
    """
    if setup.address is None:
        # Read when ray is imported. Ray's servers listen on all addresses: hence the token.
        os.environ.update(
            RAY_USAGE_STATS_ENABLED="0",
            RAY_AUTH_MODE="token",
            RAY_AUTH_TOKEN=secrets.token_hex(32),
            RAY_ENABLE_UV_RUN_RUNTIME_ENV="0",
            RAY_worker_niceness="0",  # this run has no other work; 15 would give way to all else
        )
    import ray

    try:
        if setup.address is None:
            ray.init(
                address="local",
                num_cpus=setup.workers or 1,
                include_dashboard=False,
                log_to_driver=False,
                object_store_memory=_OBJECT_STORE,
                _node_ip_address="127.0.0.2",  # 127.0.0.1 would become the machine's own
                _temp_dir=setup.temporary,
            )
        else:
            _reach(setup.address)
            ray.init(address=setup.address, log_to_driver=False)
    except Exception as error:  # of many kinds, with many lines
        if setup.address is None:
            raise AlignZooError(f"Ray cannot be started: {_first_line(error)}") from error
        raise AlignZooError(
            f"{setup.address} cannot be joined: {_first_line(error)}; RAY_AUTH_TOKEN, Python and "
            "ray must be the cluster's, and this machine one of its own"
        ) from error
    return ray


def _reach(address: str) -> None:
    """Try a host and port, which Ray itself would do for minutes.

    Raises:
        OSError: nobody listens there.
    """
    host, _, port = address.rpartition(":")
    if "://" not in address and port.isdigit():
        socket.create_connection((host, int(port)), _REACH_SECONDS).close()


def share_out(setup: Setup, ray: Any) -> WorkerSize:
    """Share the cluster's GPUs or cores out among the workers.

    Raises:
        AlignZooError: the cluster has neither.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    if gpus:
        workers = setup.workers or gpus
        share = 1 / math.ceil(workers / gpus)
        return WorkerSize(workers, None, share, math.floor(share * 1e4) / 1e4)
    if setup.address is None:
        workers = setup.workers or 1
        return WorkerSize(workers, max(1, cores() // workers), 1, 0)
    cpus = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
    if not cpus:
        raise AlignZooError(f"the cluster at {setup.address} has neither CPUs nor GPUs")
    if setup.workers is None:
        threads = min(_CORES_A_WORKER, *cpus)
        return WorkerSize(sum(each // threads for each in cpus), threads, threads, 0)
    threads = max(1, min(*cpus, sum(cpus) // setup.workers))
    if setup.workers <= sum(cpus):
        return WorkerSize(setup.workers, threads, threads, 0)
    return WorkerSize(setup.workers, 1, math.floor(sum(cpus) / setup.workers * 100) / 100, 0)


def _first_line(error: Exception) -> str:
    lines: Iterator[str] = filter(None, (line.strip() for line in str(error).splitlines()))
    return next(lines, type(error).__name__)[:_LONGEST_REASON]
