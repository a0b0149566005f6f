"""The packages come from npm, and only with the pinned hash."""

import base64
import hashlib
import io
import json
import tarfile

import pytest

from align_zoo.emoji.packages import STYLES, Package
from align_zoo.errors import AlignZooError


def archive(folder, content):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        info = tarfile.TarInfo("package/icons.json")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    (folder / "some-icons-1.0.0.tgz").write_bytes(file.getvalue())
    return "sha512-" + base64.b64encode(hashlib.sha512(file.getvalue()).digest()).decode()


def package(integrity):
    return Package("@some/icons", "1.0.0", integrity, "MIT", "Somebody")


def test_a_file_of_a_package_is_read(tmp_path):
    known = package(archive(tmp_path, json.dumps({"icons": {}}).encode()))
    assert known.read("icons.json", tmp_path) == {"icons": {}}
    assert known.read("chars.json", tmp_path) == {}


def test_another_hash_is_refused(tmp_path):
    archive(tmp_path, b"{}")
    with pytest.raises(AlignZooError, match="not sha512-aaaa; delete the file"):
        package("sha512-aaaa").read("icons.json", tmp_path)


def test_without_npm_the_error_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AlignZooError, match="npm, which is not installed"):
        package("sha512-aaaa").read("icons.json", tmp_path)


def test_an_error_of_npm_is_told(tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho no such package >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AlignZooError, match="does not fetch @some/icons: no such package"):
        package("sha512-aaaa").read("icons.json", tmp_path / "new")


def test_no_set_is_share_alike():
    assert {each.licence for each in STYLES.values()} <= {"Apache-2.0", "CC-BY-4.0", "MIT"}
