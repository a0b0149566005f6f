"""Writes files that appear whole or not at all, also if several processes write at once."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

__all__ = ["alone_in", "flush", "flush_all", "replacing"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a new path beside ``path`` to write a file to, which then replaces ``path``.

    If several processes write, the last process's file stays, and is whole. If the writing fails,
    ``path`` is unchanged. A link keeps leading to its file. A path that is no regular file, such as
    ``/dev/stdout``, is written to directly.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        yield path
        return
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        yield part
        flush(part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def flush_all(folder: Path) -> None:
    """Wait until a folder and all its content are on the disk."""
    for path in (*folder.rglob("*"), folder):
        flush(path)


def flush(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk.

    Call this before older files are removed; otherwise a loss of power could take both.

    Raises:
        OSError: the disk is full, or broken.
    """
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise  # the three errors above say that the file system does not support fsync
    finally:
        os.close(handle)


_held: set[int] = set()
"""The locks of this process. A forked child would hold the locks for as long as it lives."""


def _let_go() -> None:
    for handle in _held:
        os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


@contextmanager
def alone_in(folder: Path) -> Iterator[bool]:
    """Lock a folder against other processes that call this function, too.

    Yields:
        Whether the folder is locked; False if the system has no such lock.

    Raises:
        BlockingIOError: another process, or another part of this process, has the lock.
    """
    with ExitStack() as held:
        try:
            import fcntl  # not on Windows

            handle = os.open(folder, os.O_RDONLY)
            _held.add(handle)
            held.callback(_release, handle)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except (ImportError, OSError):
            alone = False
        else:
            alone = True
        yield alone


def _release(handle: int) -> None:
    if handle in _held:  # not in a fork
        _held.discard(handle)
        os.close(handle)
