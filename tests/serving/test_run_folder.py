"""The folder of a running service: what a killed one left is removed, a living one's is not."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from align_zoo import AlignZooError
from align_zoo.serving.supervision.run_folder import RunFolder, remove_dead, run_folders

SHARED_MEMORY = Path("/dev/shm")
KILLED = """
import os, sys
from pathlib import Path
from align_zoo.serving.supervision.run_folder import RunFolder
folder = RunFolder()
(folder.path / "1").mkdir()
Path("/dev/shm", folder.shm_prefix(1) + "left").touch()
print(folder.path, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.fixture(autouse=True)
def temporary(monkeypatch):
    """A temporary folder of the test's own."""
    with tempfile.TemporaryDirectory(prefix="zoo") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def killed():
    """The folder of a process that was killed."""
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True)
    return Path(done.stdout.strip())


def left_by(folder):
    return list(SHARED_MEMORY.glob(f"align_zoo_{folder.name.removeprefix('align-zoo-run-')}*"))


def test_run_folder_is_private():
    with RunFolder() as folder:
        assert folder.path.stat().st_mode & 0o777 == 0o700


def test_leftovers_of_killed_owner_are_removed():
    folder = killed()
    assert folder.is_dir()
    assert left_by(folder)
    assert remove_dead() == [folder.name]
    assert not folder.exists()
    assert not left_by(folder)


def test_a_living_owner_s_is_not_touched():
    with RunFolder() as folder:
        memory = SHARED_MEMORY / f"{folder.shm_prefix(1)}used"
        memory.touch()
        assert remove_dead() == []
        assert folder.path.is_dir()
        assert memory.exists()
    assert not folder.path.exists()
    assert not memory.exists()


@pytest.mark.parametrize("name", ["align-zoo-run-notes", "align-zoo-run-0123456789abc", "other"])
def test_similar_folder_is_not_touched(temporary, name):
    (temporary / name).mkdir()
    assert remove_dead() == []
    assert (temporary / name).is_dir()


def test_a_link_is_not_followed(temporary, tmp_path):
    (tmp_path / "file").touch()
    (temporary / "align-zoo-run-0123456789ab").symlink_to(tmp_path)
    assert run_folders() == []
    assert remove_dead() == []
    assert (tmp_path / "file").exists()


def test_a_path_too_long_for_sockets_is_named(temporary, monkeypatch):
    long = temporary / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with pytest.raises(AlignZooError, match=r"x is too long a path for sockets; set TMPDIR"):
        RunFolder()
    assert list(long.iterdir()) == []
