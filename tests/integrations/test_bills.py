"""Each adapter's environment has a bill of its own, and its licences are allowed by name."""

from __future__ import annotations

import json
import shutil

import pytest
from environments import ADAPTERS, ROOT, adapter, pins
from packaging.utils import canonicalize_name

from release import __main__ as release
from release.bill import Environment


@pytest.mark.parametrize("extra", ADAPTERS)
def test_bill_lists_every_package_that_is_tried(extra):
    content = json.loads(Environment(adapter(extra), extra).bill("align-zoo", "1.2.0"))
    assert content["metadata"]["component"]["description"] == f"installed as align-zoo[{extra}]"
    listed = {canonicalize_name(each["name"]): each["version"] for each in content["components"]}
    assert len(listed) == len(content["components"])
    assert "torch" in listed
    for name, version in (pin.split("==") for pin in pins(extra)):
        assert listed[canonicalize_name(name)] == version


def test_licence_of_another_version_is_judged_again(tmp_path, monkeypatch, capfd):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    text = (tmp_path / "pyproject.toml").read_text("utf-8").replace("paramiko:5", "paramiko:4")
    (tmp_path / "pyproject.toml").write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(release.Refused, match="a dependency's licence is not allowed"):
        release.check_licences(adapter("fiftyone"), quiet=True)
    assert "for package paramiko" in capfd.readouterr().err
