"""Files that appear whole or not at all, however many processes write them at once."""

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
    """Yield a new path beside ``path`` to write a file to, which then takes the place of ``path``.

    Of several processes that do so the last one's file stays, and is whole. If the writing fails,
    ``path`` is what it was. A link keeps leading to its file; and what is there and is no regular
    file, such as ``/dev/stdout``, is written to itself.
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
    """Wait until a folder is on the disk with all that is in it."""
    for path in (*folder.rglob("*"), folder):
        flush(path)


def flush(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk.

    To be done before something older is removed: else a loss of power could take both.

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
            raise  # these say that the file system has no such thing
    finally:
        os.close(handle)


_held: set[int] = set()
"""Locks of this process. A fork would hold them for as long as the child lives."""


def _let_go() -> None:
    for handle in _held:
        os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


@contextmanager
def alone_in(folder: Path) -> Iterator[bool]:
    """Keep other processes from writing to a folder meanwhile, if they ask by this function, too.

    Yields:
        Whether it is so; False where the system has no such lock.

    Raises:
        BlockingIOError: another process writes to the folder, or another part of this one.
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
