"""Both distributions have one version: that of git's tags, wherever they are built."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import align_client
import align_zoo

ROOT = Path(__file__).parents[1]
FILES = ["pyproject.toml", "client/pyproject.toml", ".git_archival.txt", ".gitattributes"]
COMMIT = r"\+g[0-9a-f]{7,}"


def run(*command: object, cwd: Path) -> str:
    """Return what a command prints; git asks neither the user's settings nor a folder above."""
    hidden = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CEILING_DIRECTORIES": str(cwd.parent)}
    names = {
        f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    env = {**os.environ, **hidden, **names}
    done = subprocess.run(
        [str(each) for each in command], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def built(folder: Path) -> str:
    """Return the version that both distributions in this folder are built with."""
    found = {
        run(sys.executable, "-m", "hatchling", "version", cwd=project)
        for project in (folder, folder / "client")
    }
    assert len(found) == 1
    return found.pop()


def commit(folder: Path, tag: str = "") -> None:
    run("git", "commit", "-q", "--allow-empty", "-m", "x", cwd=folder)
    if tag:
        run("git", "tag", "-m", tag, tag, cwd=folder)


@pytest.fixture
def folder(tmp_path) -> Path:
    """What builds read of a checkout, without git."""
    for name in FILES:
        target = tmp_path / "checkout" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    return tmp_path / "checkout"


@pytest.fixture
def checkout(folder) -> Path:
    """The same with git and one commit, and without a tag."""
    run("git", "init", "-q", cwd=folder)
    run("git", "add", ".", cwd=folder)
    commit(folder)
    return folder


@pytest.mark.parametrize(
    ("tags", "pattern"),
    [
        ([], rf"0\.1\.dev1{COMMIT}"),
        (["v1.2.0"], r"1\.2\.0"),
        (["v1.2.0", ""], rf"1\.2\.1\.dev1{COMMIT}"),
        (["v1.2.0rc1"], r"1\.2\.0rc1"),
        (["v1.2.0", "v1.3.0"], r"1\.3\.0"),
    ],
    ids=["no tag", "a tag", "after a tag", "a candidate", "the newest of two"],
)
def test_version_is_that_of_the_tags(checkout, tags, pattern):
    for tag in tags:
        commit(checkout, tag)
    assert re.fullmatch(pattern, built(checkout))


def test_shallow_clone_without_tags_has_a_version(checkout, tmp_path):
    commit(checkout, "v1.2.0")
    commit(checkout)
    clone = tmp_path / "clone"
    run("git", "clone", "-q", "--depth=1", "--no-tags", checkout.as_uri(), clone, cwd=tmp_path)
    assert re.fullmatch(rf"0\.1\.dev1{COMMIT}", built(clone))


def test_archive_of_a_tag_has_its_version(checkout, tmp_path):
    commit(checkout, "v1.2.0")
    run("git", "archive", "--prefix=archive/", "--output=../a.tar", "HEAD", cwd=checkout)
    shutil.unpack_archive(tmp_path / "a.tar", tmp_path)
    assert built(tmp_path / "archive") == "1.2.0"


def test_copy_without_git_says_unknown(folder):
    assert built(folder) == "0.0"


def test_modules_say_the_installed_version():
    assert align_zoo.__version__ == version("align-zoo")
    assert align_client.__version__ == version("align-client")
    assert align_zoo.__version__ == align_client.__version__
