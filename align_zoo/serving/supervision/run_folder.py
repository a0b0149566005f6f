"""The place of one running service: a folder for sockets, and names in /dev/shm.

The folder is locked as long as its owner lives, which distinguishes it from the leftovers of a
killed service. systemd-tmpfiles leaves locked folders alone, too.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import stat
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path

from align_zoo.errors import AlignZooError
from align_zoo.serving.triton.process import remove_shared_memory
from align_zoo.serving.triton.processes import triton_processes

__all__ = ["RunFolder", "remove_dead", "run_folders"]

_NAME = re.compile(r"align-zoo-run-[0-9a-f]{12}")
_LONGEST = 107 - len("/999999/metrics")
"""The most bytes of the folder's path: Linux allows 107 bytes for a socket's path."""


class RunFolder:
    """A new folder that only the user may enter; a ``with`` block removes the folder at its end.

    >>> with RunFolder() as folder:
    ...     print(folder.path)

    Raises:
        AlignZooError: the path of the temporary folder is too long for sockets.
    """

    def __init__(self) -> None:
        name = f"align-zoo-run-{uuid.uuid4().hex[:12]}"
        self.path = Path(tempfile.gettempdir()).absolute() / name
        if len(os.fsencode(self.path)) > _LONGEST:
            raise AlignZooError(
                f"{self.path.parent} is too long a path for sockets; set TMPDIR to a shorter one"
            )
        # Renamed only when locked: else another start could take the folder for a leftover.
        draft = Path(tempfile.mkdtemp(prefix="align-zoo-draft-"))
        self._lock = os.open(draft, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        draft.rename(self.path)

    def shm_prefix(self, number: int) -> str:
        """Return the prefix of the names in /dev/shm of the backend with this number."""
        return f"{_shm_prefix(self.path)}{number}_"

    def remove(self) -> None:
        """Remove the folder, its processes and its shared memory."""
        _remove(self.path)
        os.close(self._lock)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def run_folders() -> list[Path]:
    """Find the folders of all this user's services, living or dead, in the temporary folder."""
    found = Path(tempfile.gettempdir()).absolute().glob("align-zoo-run-*")
    return [path for path in found if _NAME.fullmatch(path.name) and _is_own(path)]


def remove_dead() -> list[str]:
    """Remove the leftovers of this user's killed services: processes, sockets and shared memory.

    Returns:
        The names of the removed folders.
    """
    return [folder.name for folder in run_folders() if _remove_if_dead(folder)]


def _is_own(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:  # it has gone meanwhile
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


def _remove_if_dead(folder: Path) -> bool:
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # another start was faster
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # its owner lives
        return False
    else:
        _remove(folder)
        return True
    finally:
        os.close(lock)


def _remove(folder: Path) -> None:
    prefix = _shm_prefix(folder)
    # A model's process that was stopped has not noticed that its server is gone.
    for pid in triton_processes(prefix):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    remove_shared_memory(prefix)
    shutil.rmtree(folder, ignore_errors=True)


def _shm_prefix(folder: Path) -> str:
    return f"align_zoo_{folder.name.rpartition('-')[2]}_"
