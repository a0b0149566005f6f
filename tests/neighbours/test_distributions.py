"""Wheels and sdists of both distributions, used where there is no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from install_lines import ROOT

# It runs in an environment of its own.
TWINE = "twine==7.0.0"


def run(*command, **options) -> str:
    done = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, timeout=300, **options
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(checkout, tmp_path_factory) -> Path:
    """Both sdists, and both wheels made of them."""
    folder = tmp_path_factory.mktemp("dist")
    for project in (checkout, checkout / "client"):
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, project)
    return folder


def wheels(dist: Path) -> list[Path]:
    return sorted(dist.glob("*.whl"))


def environment_with(folder: Path, *projects: Path) -> Path:
    """The ``bin`` of an environment with these projects; their dependencies are the tests' own.

    Nothing of the checkout is there: an editable installation is a ``.pth``, which Python reads
    in an environment's own folder alone.
    """
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    packages = Path(run(python, "-c", "import site; print(*site.getsitepackages())").strip())
    (packages / "below.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    run(*pip, "install", "--quiet", "--no-deps", "--ignore-installed", *projects)
    return folder / "bin"


def test_the_descriptions_can_be_shown_by_an_index(uv, dist):
    files = sorted(dist.iterdir())
    assert len(files) == 4
    run(uv, "tool", "run", "--from", TWINE, "twine", "check", "--strict", *files)


@pytest.mark.parametrize(
    ("name", "package"), [("align_zoo", "align_zoo"), ("align_client", "client/align_client")]
)
def test_distributions_have_every_file_of_the_package(dist, name, package):
    source = ROOT / package
    files = [Path(at, f) for at, _, names in os.walk(source, followlinks=True) for f in names]
    wanted = {
        path.relative_to(source.parent).as_posix()
        for path in files
        if "__pycache__" not in path.parts
    }
    (wheel,) = dist.glob(f"{name}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {each for each in names if ".dist-info/" not in each} == wanted
    assert any(each.endswith(".dist-info/licenses/LICENSE") for each in names)
    (sdist,) = dist.glob(f"{name}-*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {each.name.partition("/")[2] for each in archive if each.isfile()}
    assert inside - wanted == {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
    assert wanted <= inside


def test_wheels_resolve_with_their_requirements(uv, empty, dist):
    client, library = wheels(dist)
    line = ["pip", "install", "--dry-run", "--python", empty, f"{library}[server]", client]
    subprocess.run([uv, *map(str, line)], check=True, timeout=300)


@pytest.mark.served
def test_the_demo_runs_from_the_wheels(dist, tmp_path):
    programs = environment_with(tmp_path / "clean", *wheels(dist))
    code = "import align_zoo, align_client; print(align_zoo.__file__, align_client.__file__)"
    for path in run(programs / "python", "-c", code, cwd=tmp_path).split():
        assert Path(path).is_relative_to(tmp_path)
    said = run(programs / "align-zoo", "demo", cwd=tmp_path)
    assert "the server is stopped." in said
    assert Path(said.split()[-1]).name == "search.png"
