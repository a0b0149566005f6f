"""`make release` refuses what is no release, and lists what its distributions need."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from release import __main__ as release
from release import bill

ROOT = Path(__file__).parents[2]
TAG = ["tag", "-a", "v1.2.0", "-m", "x"]


def git(*arguments: str) -> None:
    names = ["-c", "user.name=x", "-c", "user.email=x", "-c", "tag.gpgSign=false"]
    subprocess.run(["git", *names, *arguments], check=True)


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """The working directory: two small projects, with git, at version 1.2.0 but for the tag."""
    for name in ["pyproject.toml", "client/pyproject.toml", *release.NAMES_THE_VERSION]:
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    for name in release.NAMES_THE_VERSION:
        text = (tmp_path / name).read_text("utf-8")
        (tmp_path / name).write_text(text.replace("0.1.0", "1.2.0"), "utf-8")
    for folder in ("align_zoo", "client/align_client"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("")
        (tmp_path / folder).parent.joinpath("README.md").write_text("x")
    text = "## [Unreleased]\n\n## [1.2.0] - 2026-11-30\n\n- A thing.\n"
    (tmp_path / "CHANGELOG.md").write_text(text)
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    commit()
    return tmp_path


def commit() -> None:
    git("add", ".")
    git("commit", "-q", "--allow-empty", "-m", "x")


def test_tagged_commit_is_a_release(checkout):
    git(*TAG)
    assert release.check_commit(rehearse=False) == "1.2.0"


def test_rehearsal_needs_no_tag(checkout):
    assert release.check_commit(rehearse=True) is None


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (None, None, "this commit has no tag: git tag -a"),
        ("README.md", "y", "there are uncommitted changes: git status"),
        ("CHANGELOG.md", "## [Unreleased]\n\n- A thing.\n", r"there is no section \[1.2.0\]"),
        ("CITATION.cff", "version: 1.1.0\n", "CITATION.cff names version 1.1.0, the tag 1.2.0"),
    ],
    ids=["no tag", "an edit", "no section", "another version"],
)
def test_what_is_no_release_is_refused(checkout, name, text, reason):
    if name:
        (checkout / name).write_text(text)
    if name and name != "README.md":
        commit()
    if name:
        git(*TAG)
    with pytest.raises(release.Refused, match=reason):
        release.check_commit(rehearse=False)


def test_tag_of_an_earlier_commit_is_not_enough(checkout):
    git(*TAG)
    commit()
    with pytest.raises(release.Refused, match="this commit has no tag"):
        release.check_commit(rehearse=False)


def test_two_builds_are_equal(checkout):
    git(*TAG)
    assert sorted(release.build_twice()) == [
        "align_client-1.2.0-py3-none-any.whl",
        "align_client-1.2.0.tar.gz",
        "align_zoo-1.2.0-py3-none-any.whl",
        "align_zoo-1.2.0.tar.gz",
    ]


def test_builds_that_differ_are_refused(checkout):
    """A wheel that carries the umask of its build."""
    hook = "import os\nfrom hatchling.builders.hooks.plugin.interface import BuildHookInterface\n"
    hook += "class Hook(BuildHookInterface):\n    def initialize(self, version, build_data):\n"
    hook += "        mask = os.umask(0)\n        os.umask(mask)\n"
    hook += "        open('align_zoo/__init__.py', 'w').write(str(mask))\n"
    (checkout / "hatch_build.py").write_text(hook)
    with (checkout / "pyproject.toml").open("a") as file:
        file.write("\n[tool.hatch.build.targets.wheel.hooks.custom]\n")
    commit()
    git(*TAG)
    with pytest.raises(release.Refused, match=r"two builds of one commit differ: align_zoo.*\.whl"):
        release.build_twice()


@pytest.fixture(scope="module")
def environment() -> bill.Environment:
    return bill.Environment()


def test_bill_lists_what_the_client_needs(environment):
    text = environment.bill("align-client", "1.2.0")
    assert bill.faults(text) is None
    content = json.loads(text)
    root, *_ = content["dependencies"]
    assert content["metadata"]["component"]["purl"] == "pkg:pypi/align-client@1.2.0"
    direct = {ref.partition("==")[0] for ref in root["dependsOn"]}
    assert direct == {"grpcio", "numpy", "pillow", "tritonclient"}
    assert {"protobuf"} < {each["name"] for each in content["components"]} - direct


def test_bill_names_the_licence_of_each_package(environment):
    """But of those whose metadata name none, which pyproject.toml lists with the reason."""
    content = json.loads(environment.bill("align-zoo", "1.2.0"))
    nameless = [each["name"] for each in content["components"] if not each.get("licenses")]
    assert nameless == ["cuda-toolkit", "resvg_py"]


def test_bill_has_no_tool_of_development(environment):
    packages = environment.needed("align-zoo").keys()
    assert {"torch", "timm", "aiohttp", "lancedb"} <= packages
    assert not {"pytest", "build", "cyclonedx-bom", "fiftyone"} & packages


def test_extra_not_asked_for_is_no_dependency(environment):
    needed = environment.needed("align-zoo")
    assert "brotli" not in needed["aiohttp"]
    assert "multidict" in needed["aiohttp"]


def test_document_of_another_kind_is_no_bill(environment):
    text = environment.bill("align-client", "1.2.0")
    assert bill.faults(text.replace('"bomFormat": "CycloneDX"', '"bomFormat": "SPDX"'))


def test_bill_of_what_is_not_installed_is_refused():
    environment = bill.Environment(sys.executable, "fiftyone")
    with pytest.raises(release.Refused, match="no bill of align-zoo: fiftyone is not installed"):
        release.bill_of(environment, "align-zoo", "1.2.0")


def test_licence_that_is_not_listed_is_refused(checkout, capfd):
    text = (checkout / "pyproject.toml").read_text("utf-8")
    (checkout / "pyproject.toml").write_text(text.replace("\nMIT;\\\n", "\n"), "utf-8")
    with pytest.raises(release.Refused, match="a dependency's licence is not allowed"):
        release.check_licences(sys.executable, quiet=True)
    assert "license MIT not in allow-only" in capfd.readouterr().err
