"""What an engine is asked for, how it shares a machine out, and what it says before it starts."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from align_zoo.checkpoint.folder import EMBEDDED
from align_zoo.cli import app
from align_zoo.collection import ray_cluster, ray_engine
from align_zoo.collection.embedder import EncoderEmbedder
from align_zoo.collection.engines import in_process
from align_zoo.errors import AlignZooError, InvalidInput
from align_zoo.runtime.machine import cores


def test_a_silent_ray_is_given_up(collection, images, monkeypatch):
    monkeypatch.setattr(ray_engine, "_CONNECT_SECONDS", 0.0)
    with pytest.raises(AlignZooError, match="Ray at this machine does not answer within 0 s"):
        collection.add(images, workers=1)


def test_a_failed_start_tells_rays_reason(tmp_path, monkeypatch):
    def init(**options):
        raise RuntimeError("\nno room for sockets\nand much more")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    monkeypatch.setattr(os, "environ", {})
    setup = SimpleNamespace(address=None, workers=1, temporary=str(tmp_path))
    with pytest.raises(AlignZooError, match=r"^Ray cannot be started: no room for sockets$"):
        ray_cluster.join_cluster(setup)


def test_the_missing_extra_is_named(collection, images, monkeypatch):
    monkeypatch.setattr(ray_engine.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AlignZooError, match=r"workers need ray: run `pip install .*ray\]"):
        collection.add(images, workers=2)


NODES = {
    "one": [{"CPU": 8.0}],
    "three": [{"CPU": 16.0}, {"CPU": 6.0}, {"CPU": 0.0}],
    "small": [{"CPU": 2.0}, {"CPU": 8.0}],
    "gpus": [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0, "GPU": 1.0}],
}


@pytest.mark.parametrize(
    ("nodes", "workers", "size"),
    [
        ("one", None, (2, 4, 4, 0)),
        ("one", 3, (3, 2, 2, 0)),
        ("one", 16, (16, 1, 0.5, 0)),
        ("three", None, (5, 4, 4, 0)),
        ("three", 2, (2, 6, 6, 0)),
        ("small", None, (5, 2, 2, 0)),
        ("gpus", None, (3, None, 1, 1)),
        ("gpus", 2, (2, None, 1, 1)),
        ("gpus", 6, (6, None, 0.5, 0.5)),
    ],
)
def test_a_clusters_cores_are_shared_out(nodes, workers, size):
    there = [{"Alive": True, "Resources": each} for each in NODES[nodes]]
    there.append({"Alive": False, "Resources": {"CPU": 100.0}})
    ray = SimpleNamespace(nodes=lambda: there)
    assert ray_cluster.share_out(SimpleNamespace(workers=workers, address="auto"), ray) == size


def test_workers_on_this_machine_share_its_cores():
    ray = SimpleNamespace(nodes=lambda: [{"Alive": True, "Resources": {"CPU": 2.0}}])
    setup = SimpleNamespace(workers=2, address=None)
    assert ray_cluster.share_out(setup, ray) == (2, max(1, cores() // 2), 1, 0)


@pytest.mark.parametrize(
    "command",
    [["index", "c"], ["index", "c", "--rebuild"], ["embed", "-o", "out"]],
    ids=["index", "rebuild", "embed"],
)
def test_commands_name_workers_and_cluster(collection, images, tmp_path, monkeypatch, command):
    asked = []

    def engine(workers, address):
        asked.append((workers, address))
        return in_process

    monkeypatch.setattr(ray_engine, "RayEngine", engine)
    monkeypatch.chdir(tmp_path)
    (images / "broken.jpg").write_bytes(b"rubbish")
    name, *others = [str(collection.where) if word == "c" else word for word in command]
    options = ["--workers=3", "--ray=auto", "--model=align_tiny"]
    done = CliRunner().invoke(app, [name, str(images), *others, *options])
    assert (done.exit_code, set(asked)) == (2, {(3, "auto")})


def test_a_folder_is_known_in_every_process(tmp_path, monkeypatch, embedder):
    shutil.copytree(EMBEDDED["align_tiny"], tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    make = pickle.dumps(EncoderEmbedder("model").elsewhere())
    monkeypatch.chdir("/")
    assert pickle.loads(make)(1).fingerprint == embedder.fingerprint


def test_workers_are_at_least_one(collection, images):
    with pytest.raises(InvalidInput, match="workers is 0, not a whole number above 0"):
        collection.add(images, workers=0)
