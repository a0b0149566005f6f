"""Build and check what is uploaded, and say what is left to a person."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from environments import ADAPTERS, adapter

from release import bill, changelog

PROJECTS = {"align-zoo": ".", "align-client": "client"}
NAMES_THE_VERSION = {
    "CITATION.cff": r"^version: (\S+)$",
    "deploy/README.md": r"align-zoo:(\d[\w.]*)",
    "deploy/kubernetes.yaml": r"image: align-zoo:(\S+)",
}
LEFT = """
left to a person:
    git push origin HEAD v{version}
    pipx run twine upload {folder}/*.whl {folder}/*.tar.gz
    and on the tag's page: the section [{version}] of CHANGELOG.md, the bills, SHA256SUMS
"""


class Refused(Exception):
    """There is no release of this commit yet; the message says what is missing."""


def main() -> int:
    """Run the command in the checkout that is the working directory; return its exit code."""
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument("--rehearse", action="store_true", help="a commit without a tag will do")
    parser.add_argument("--tested", action="store_true", help="CI was green: do not run .ci/run")
    chosen = parser.parse_args()
    try:
        tag = check_commit(chosen.rehearse)
        if not chosen.rehearse and not chosen.tested:
            _run(".ci/run", failed=".ci/run failed")
        folder = collect(build_twice())
    except Refused as reason:
        print(f"make release: {reason}", file=sys.stderr)
        return 1
    if not chosen.rehearse:
        print(LEFT.format(version=tag, folder=folder))
    return 0


def check_commit(rehearse: bool) -> str | None:
    """Return the version whose tag is at the present commit.

    Raises:
        Refused: there is none, or the files do not fit the tags.
    """
    tags = {tag.removeprefix("v") for tag in _git("tag", "--list", "v[0-9]*").split()}
    here = _git("tag", "--list", "v[0-9]*", "--points-at", "HEAD", "--sort=-v:refname").split()
    tag = here[0].removeprefix("v") if here else None
    if tag is None and not rehearse:
        raise Refused("this commit has no tag: git tag -a v1.2.0 -m 'align-zoo 1.2.0'")
    found = changelog.faults(Path("CHANGELOG.md").read_text("utf-8"), tags, tag)
    if found:
        raise Refused(f"CHANGELOG.md: {'; '.join(found)}")
    if tag is None or rehearse:
        return tag
    if _git("status", "--porcelain"):
        raise Refused("there are uncommitted changes: git status")
    for name, pattern in NAMES_THE_VERSION.items():
        versions = {*re.findall(pattern, Path(name).read_text("utf-8"), re.MULTILINE)}
        if versions != {tag}:
            raise Refused(f"{name} names version {', '.join(sorted(versions))}, the tag {tag}")
    return tag


def build_twice() -> dict[str, bytes]:
    """Return wheels and sdists by their names, built from two clones at two places.

    Raises:
        Refused: the two builds differ.
    """
    with tempfile.TemporaryDirectory() as folder:
        first = _build(Path(folder, "one"), umask=0o022, zone="UTC")
        second = _build(Path(folder, "another", "place"), umask=0o077, zone="Asia/Tokyo")
    differ = [name for name in sorted(first | second) if first.get(name) != second.get(name)]
    if differ:
        raise Refused(f"two builds of one commit differ: {', '.join(differ)}")
    print(f"built twice, equal bit for bit: {', '.join(sorted(first))}", flush=True)
    return first


def _build(folder: Path, umask: int, zone: str) -> dict[str, bytes]:
    epoch = _git("log", "-1", "--format=%ct")
    env = {**os.environ, "SOURCE_DATE_EPOCH": epoch, "TZ": zone}
    clone, dist = folder / "clone", folder / "dist"
    commands = [["git", "clone", "--quiet", ".", clone]]
    for project in PROJECTS.values():
        build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", dist]
        commands.append([*build, clone / project])
    for command in commands:
        done = subprocess.run(
            command, env=env, umask=umask, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode:
            raise Refused(f"no build: {done.stdout.decode()}")
    return {path.name: path.read_bytes() for path in dist.iterdir()}


def collect(files: dict[str, bytes]) -> Path:
    """Write distributions, their bills and all sums to a folder of dist/; return the folder.

    Raises:
        Refused: a bill is not valid, or a licence not allowed.
    """
    version = next(name.split("-")[1] for name in files if name.endswith(".whl"))
    check_licences(sys.executable)
    environment = bill.Environment()
    for name in PROJECTS:
        files[f"{name}-{version}.cdx.json"] = bill_of(environment, name, version)
    for extra in ADAPTERS:
        python = adapter(extra)
        check_licences(python, quiet=True)
        environment = bill.Environment(python, extra)
        files[f"align-zoo-{extra}-{version}.cdx.json"] = bill_of(environment, "align-zoo", version)
    sums = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    files["SHA256SUMS"] = "".join(sums).encode()
    folder = Path("dist", version)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    print(f"{folder}/SHA256SUMS:\n{''.join(sums)}", end="", flush=True)
    return folder


def check_licences(python: Path | str, quiet: bool = False) -> None:
    """Compare the licences of all packages of an environment with the allowed ones.

    Raises:
        Refused: one is not allowed.
    """
    command = [sys.executable, "-m", "piplicenses", "--with-system", "--summary"]
    allowed = "pyproject.toml lists the allowed ones under [tool.pip-licenses]"
    failed = f"a dependency's licence is not allowed; {allowed}"
    _run(*command, f"--python={python}", failed=failed, quiet=quiet)


def bill_of(environment: bill.Environment, name: str, version: str) -> bytes:
    """Return the bill of a distribution in an environment.

    Raises:
        Refused: a package is missing there, or the bill is not valid.
    """
    try:
        text = environment.bill(name, version)
    except LookupError as reason:
        raise Refused(f"no bill of {name}: {reason.args[0]}") from reason
    if fault := bill.faults(text):
        raise Refused(f"the bill of {name} is not CycloneDX: {fault}")
    return text.encode()


def _run(*command: str, failed: str, quiet: bool = False) -> None:
    if subprocess.run(command, stdout=subprocess.DEVNULL if quiet else None).returncode:
        raise Refused(failed)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise Refused(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
