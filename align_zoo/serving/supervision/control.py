"""The control socket, over which the operator sends orders to a running service.

The Unix socket is in the service's folder, which only the service's user may enter, and is named by
the gRPC port. Each connection carries one order: a line of JSON there, a line of JSON back.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from align_zoo.checkpoint.folder import local_checkpoint
from align_zoo.errors import AlignZooError
from align_zoo.serving.supervision.run_folder import RunFolder, run_folders
from align_zoo.serving.triton.command import absolute_model

__all__ = ["control_socket", "reload"]

_LONGEST_ORDER = 2**16
_CREDENTIALS = struct.Struct("3i")
"""The layout of ``ucred`` in <linux/socket.h>: process, user, group."""


@asynccontextmanager
async def control_socket(
    folder: RunFolder, port: int, reload: Callable[..., Awaitable[str]]
) -> AsyncIterator[None]:
    """Accept orders for the service on gRPC port ``port``, until the end of the block.

    Args:
        folder: the service's folder.
        port: the gRPC port, which names the socket.
        reload: called with ``model`` and ``revision``; returns the line to print, or raises
            AlignZooError.
    """
    tasks: set[asyncio.Task[None]] = set()

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            answer = await _answer(reader, reload)
            with suppress(ConnectionError):  # the caller has gone; the order is carried out
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except asyncio.CancelledError:
            pass  # the service ends (see below); the caller sees the closed connection
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_unix_server(
        on_connection, folder.path / _name(port), limit=_LONGEST_ORDER
    )
    try:
        yield
    finally:
        server.close()
        waiting = list(tasks)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def reload(port: int, model: str | None, revision: str | None) -> str:
    """Have the service on gRPC port ``port`` serve another checkpoint, and return its answer.

    Args:
        port: the gRPC port of a service on this machine, of the same user.
        model: a hub id, a folder, "align_tiny" or "align_emoji"; None for the served model.
        revision: the branch, tag or commit of a hub id.

    Raises:
        AlignZooError: this user has no such service, or more than one, or the service could not
            load the checkpoint; the message says why.
    """
    if model:
        local_checkpoint(model)  # raises for a misspelt name
        model = absolute_model(model)  # the service has another working directory
    with _connection(port) as caller:
        order = json.dumps({"model": model, "revision": revision})
        caller.sendall(order.encode() + b"\n")
        with caller.makefile("rb") as file:
            line = file.readline()
    if not line:
        raise AlignZooError("the service ended before it had answered; see its log")
    answer = json.loads(line)
    if not answer["done"]:
        raise AlignZooError(answer["message"])
    return str(answer["message"])


def _connection(port: int) -> socket.socket:
    found = [caller for folder in run_folders() if (caller := _caller(folder / _name(port)))]
    if len(found) == 1:
        return found[0]
    owners = " and ".join(str(_owner(caller)) for caller in found)
    for caller in found:
        caller.close()
    if found:
        raise AlignZooError(
            f"several services have gRPC port {port}, at different addresses (processes {owners}): "
            "start them with different ports, or each with a TMPDIR of its own"
        )
    raise AlignZooError(
        f"no `align-zoo serve` of this user has gRPC port {port}: give its port with --grpc-port, "
        "and its TMPDIR if it has one of its own"
    )


def _caller(path: Path) -> socket.socket | None:
    caller = socket.socket(socket.AF_UNIX)
    try:
        caller.connect(str(path))
    except OSError:  # another service's folder, or a dead one's
        caller.close()
        return None
    return caller


def _owner(caller: socket.socket) -> int:
    """Return the id of the process that listens at the other end."""
    credentials = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, _, _ = _CREDENTIALS.unpack(credentials)
    return int(pid)


def _name(port: int) -> str:
    return f"{port}.sock"


async def _answer(
    reader: asyncio.StreamReader, reload: Callable[..., Awaitable[str]]
) -> dict[str, Any]:
    try:
        order = json.loads(await reader.readline())
        message = await reload(model=order["model"], revision=order["revision"])
    except (ValueError, KeyError, TypeError):
        return {"done": False, "message": "the service does not understand this order"}
    except AlignZooError as error:
        return {"done": False, "message": str(error)}
    return {"done": True, "message": message}
