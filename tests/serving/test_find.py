"""Finding a server, and preparing what the wheel's needs, outside site-packages."""

import os
import shutil
import stat
import sys
from pathlib import Path

import pytest

from align_zoo import AlignZooError
from align_zoo.serving.triton import find
from align_zoo.serving.triton.find import (
    Wheel,
    backend_folder,
    find_tritonserver,
    python_environment,
)


@pytest.fixture
def wheel():
    return find_tritonserver().wheel


@pytest.fixture
def small_wheel(tmp_path):
    """A wheel's layout, with stubs for this Python only."""
    root = tmp_path / "wheel"
    version = "{}.{}".format(*sys.version_info)
    for name in ("backends/python/libtriton_python.so", f"python_backend_stubs/{version}/stub"):
        (root / name).parent.mkdir(parents=True)
    (root / "backends/python/libtriton_python.so").touch()
    (root / f"python_backend_stubs/{version}/triton_python_backend_stub").touch()
    return Wheel(root, "1.2.3")


def test_a_server_on_path_comes_first(tmp_path, monkeypatch):
    binary = tmp_path / "tritonserver"
    binary.touch()
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_tritonserver()
    assert found.binary == binary
    assert found.wheel is None


@pytest.mark.triton
def test_the_wheel_is_found_without_importing_it():
    assert find_tritonserver().wheel is not None
    assert "pytriton" not in sys.modules


def test_no_server_says_how_to_get_one(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(find, "_find_wheel", lambda: None)
    with pytest.raises(AlignZooError, match=r"pip install '\.\[server\]'"):
        find_tritonserver()


@pytest.mark.triton
def test_backend_folder_is_links_in_the_cache(wheel, tmp_path):
    folder = backend_folder(wheel, tmp_path)
    assert folder.is_relative_to(tmp_path)
    names = {file.name for file in (folder / "python").iterdir()}
    assert names >= {
        "libtriton_python.so",
        "triton_python_backend_stub",
        "triton_python_backend_utils.py",
    }
    assert all(file.is_symlink() and file.exists() for file in (folder / "python").iterdir())


def test_nothing_is_written_into_the_wheel(small_wheel, tmp_path):
    before = sorted(small_wheel.root.rglob("*"))
    backend_folder(small_wheel, tmp_path / "cache")
    assert sorted(small_wheel.root.rglob("*")) == before


def test_the_backend_folder_is_made_once(small_wheel, tmp_path):
    first = backend_folder(small_wheel, tmp_path)
    made = first.stat().st_ino
    assert backend_folder(small_wheel, tmp_path) == first
    assert first.stat().st_ino == made
    assert list(first.parent.iterdir()) == [first]


def test_second_process_reuses_the_folder(small_wheel, tmp_path, monkeypatch):
    first = backend_folder(small_wheel, tmp_path)
    stub = next((small_wheel.root / "python_backend_stubs").rglob("triton_python_backend_stub"))
    find._link(small_wheel, stub, first)  # as if both had found no folder
    assert list(first.parent.iterdir()) == [first]


def test_two_wheels_have_two_folders(small_wheel, tmp_path):
    other = Wheel(tmp_path / "other", small_wheel.version)
    shutil.copytree(small_wheel.root, other.root)
    assert backend_folder(small_wheel, tmp_path) != backend_folder(other, tmp_path)


def test_a_python_without_stub_is_named(tmp_path):
    with pytest.raises(AlignZooError, match=r"no Python backend for Python 3\.\d+"):
        backend_folder(Wheel(tmp_path, "1.2.3"), tmp_path)


def test_a_cache_that_cannot_be_written_is_named(small_wheel, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AlignZooError, match=r"file/backends cannot be written .* XDG_CACHE_HOME"):
        backend_folder(small_wheel, tmp_path / "file")


def test_the_stub_finds_this_pythons_packages():
    env = python_environment({"PATH": "/usr/bin", "LD_LIBRARY_PATH": "/opt/lib"})
    assert env["PATH"].split(os.pathsep) == [str(Path(sys.executable).parent), "/usr/bin"]
    assert env["LD_LIBRARY_PATH"].endswith("/opt/lib")


@pytest.mark.parametrize("env", [{}, {"PATH": "", "LD_LIBRARY_PATH": ""}], ids=["absent", "empty"])
def test_without_path_stub_finds_only_system_programs(env):
    changed = python_environment(env)
    assert changed["PATH"] == os.pathsep.join([str(Path(sys.executable).parent), os.defpath])
    assert "" not in changed.get("LD_LIBRARY_PATH", "no").split(os.pathsep)
