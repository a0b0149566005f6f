"""Exporting happens once, whole or not at all, and what is damaged is made again."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import PREPROCESSOR, lively_model, save_checkpoint, small_config
from waiting import wait_until

import align_zoo
from align_zoo.checkpoint.folder import open_checkpoint
from align_zoo.runtime.load import export_checkpoint
from align_zoo.runtime.onnx import manifest as exported
from align_zoo.runtime.onnx.manifest import export_folder

TEXTS = ["cat", "a photo of a dog"]


def test_the_second_load_finds_what_the_first_exported(checkpoint, folder, exports):
    encoder = align_zoo.load_encoder(checkpoint, runtime="onnx")
    encoder.embed_texts(TEXTS)
    encoder.embed_pixels(np.zeros((1, 3, 75, 75), np.float32))
    assert exports == []
    files = {"export.json", "image.onnx", "references.npz", "text.onnx", "tokenizer.json"}
    assert {file.name for file in folder.iterdir() if file.is_file()} == files


def damage_image(folder: Path) -> None:
    content = bytearray((folder / "image.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "image.onnx").write_bytes(content)


def rewrite(folder: Path, **values: object) -> None:
    manifest = folder / "export.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **values}))


DAMAGES = {
    "one bit": damage_image,
    "cut": lambda folder: (folder / "text.onnx").write_bytes(b"rubbish"),
    "missing": lambda folder: (folder / "image.onnx").unlink(),
    "tokenizer": lambda folder: (folder / "tokenizer.json").write_text("{}"),
    "references": lambda folder: (folder / "references.npz").write_bytes(b"rubbish"),
    "manifest": lambda folder: (folder / "export.json").write_text("{"),
    "no manifest": lambda folder: (folder / "export.json").unlink(),
    "fields": lambda folder: (folder / "export.json").write_text('{"fingerprint": "x"}'),
    "an older version": lambda folder: rewrite(folder, version=0),
    "no digests": lambda folder: rewrite(folder, sha256={}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_noticed(folder, damage):
    files = ("image.onnx", "text.onnx", "tokenizer.json", "references.npz")
    exported.open_exported(folder, *files)
    damage(folder)
    with pytest.raises(align_zoo.CheckpointError, match=re.escape(str(folder))):
        exported.open_exported(folder, *files)


# A damaged text.onnx: see the link to it below.
@pytest.mark.parametrize("damaged", ["image.onnx", "tokenizer.json"])
def test_a_damaged_export_is_made_again(checkpoint, without_layout, exports, damaged):
    folder = without_layout
    expected = align_zoo.load_encoder(checkpoint, runtime="torch").embed_texts(TEXTS)
    (folder / damaged).write_bytes(b"rubbish")
    encoder = align_zoo.load_encoder(checkpoint, runtime="onnx")
    encoder.embed_pixels(np.zeros((1, 3, 75, 75), np.float32))
    np.testing.assert_allclose(encoder.embed_texts(TEXTS), expected, atol=1e-5)
    assert exports == [folder]
    assert encoder.runtime == "onnx"


def test_export_with_other_answers_falls_back_to_torch(checkpoint, own_cache, wrong_graph):
    with pytest.raises(align_zoo.CheckpointError, match=r"image.onnx: .* differ from PyTorch's"):
        align_zoo.load_encoder(checkpoint, runtime="onnx")
    exports = own_cache / "align-zoo" / "exports"
    assert [file.name for file in exports.iterdir() if file.is_dir()] == []
    encoder = align_zoo.load_encoder(checkpoint)
    assert encoder.runtime == "torch"
    assert "differ from PyTorch's" in encoder.reason


def test_failed_export_is_named_and_torch_serves(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def unknown(*args, **kwargs):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(torch.onnx, "export", unknown)
    with pytest.raises(align_zoo.CheckpointError, match=r"RuntimeError: no such .*runtime='torch'"):
        align_zoo.load_encoder(checkpoint, runtime="onnx")
    encoder = align_zoo.load_encoder(checkpoint)
    assert encoder.runtime == "torch"
    assert "the export failed" in encoder.reason and "no such operator" in encoder.reason


WITHOUT_A_PACKAGE = """
import sys
import align_zoo
for package in sys.argv[2:]:
    sys.modules[package] = None  # as if it were not installed
    try:
        align_zoo.load_encoder(sys.argv[1], runtime="onnx")
    except align_zoo.AlignZooError as error:
        print(error)
    print(align_zoo.load_encoder(sys.argv[1]).explanation)
    del sys.modules[package]
"""


def test_missing_package_is_named_and_torch_serves(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    packages = ["onnxruntime", "onnx", "onnx_ir", "onnxscript"]  # as they are imported
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_PACKAGE, str(checkpoint), *packages],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    for package, refused, explained in zip(packages, told[::2], told[1::2], strict=True):
        reason = f"(import of {package} halted; None in sys.modules)"
        assert reason in refused and "pip install '.[onnx]'" in refused
        assert explained.startswith("torch (float32 on cpu, threads: ") and reason in explained


def test_tower_is_compared_at_sides_it_accepts(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    smallest = {**PREPROCESSOR, "size": 32, "crop_size": 32}
    model = lively_model(small_config({"depth_coefficient": 0.3}), seed=3)
    folder = save_checkpoint(model, tmp_path / "small", preprocessor=smallest)
    encoder = align_zoo.load_encoder(folder, runtime="onnx")
    pixels = np.random.default_rng(0).standard_normal((2, 3, 32, 32), dtype=np.float32)
    expected = align_zoo.load_encoder(folder, runtime="torch").embed_pixels(pixels)
    np.testing.assert_allclose(encoder.embed_pixels(pixels), expected, atol=1e-5)


def test_a_cache_that_cannot_be_written_is_named(checkpoint, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(align_zoo.CheckpointError, match="XDG_CACHE_HOME"):
        align_zoo.load_encoder(checkpoint, runtime="onnx")


def test_missing_home_is_named_and_torch_serves(checkpoint, monkeypatch):
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(align_zoo.InvalidInput, match="set XDG_CACHE_HOME"):
        align_zoo.load_encoder(checkpoint, runtime="onnx")
    encoder = align_zoo.load_encoder(checkpoint)
    assert encoder.runtime == "torch"
    assert "XDG_CACHE_HOME" in encoder.reason


def test_link_to_a_damaged_export_is_replaced(checkpoint, folder, exports):
    elsewhere = folder.rename(folder.parent / "elsewhere")
    folder.symlink_to(elsewhere)
    (folder / "text.onnx").write_bytes(b"rubbish")
    expected = align_zoo.load_encoder(checkpoint, runtime="torch").embed_texts(TEXTS)
    encoder = align_zoo.load_encoder(checkpoint, runtime="onnx")
    np.testing.assert_allclose(encoder.embed_texts(TEXTS), expected, atol=1e-5)
    assert exports == [folder] and encoder.runtime == "onnx"
    assert not folder.is_symlink()
    assert (elsewhere / "text.onnx").read_bytes() == b"rubbish"


def test_another_checkpoint_has_another_export(checkpoint, folder, tmp_path):
    other = Path(tmp_path / "other")
    model, transform, tokenizer = align_zoo.create_align(checkpoint)
    with torch.no_grad():
        model.text.head.bias += 1
    align_zoo.save_hf(model, other, transform=transform, tokenizer=tokenizer)
    one = align_zoo.load_encoder(checkpoint, runtime="onnx")
    two = align_zoo.load_encoder(other, runtime="onnx")
    assert one.fingerprint != two.fingerprint
    assert not np.allclose(one.embed_texts(TEXTS), two.embed_texts(TEXTS))


WITHOUT_TORCH = """
import sys
import align_zoo
encoder = align_zoo.load_encoder(sys.argv[1])
encoder.embed_texts(["cat"])
encoder.embed_images([sys.argv[2]])
print(encoder.runtime, [name for name in ("torch", "transformers", "timm") if name in sys.modules])
"""


def test_an_exported_checkpoint_runs_without_torch(checkpoint, folder):
    image = Path(align_zoo.__file__).parent / "assets" / "samples" / "red-star.png"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(checkpoint), str(image)],
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "onnx []", done.stderr


LOADING = "import sys, align_zoo; align_zoo.load_encoder(sys.argv[1], runtime='onnx')"


def test_killed_exports_draft_is_cleared_by_the_next(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = export_folder(open_checkpoint(checkpoint).fingerprint)
    killed = subprocess.Popen(
        [sys.executable, "-c", LOADING, str(checkpoint)], stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: any(folder.parent.glob(".draft-*")))
    finally:
        killed.kill()
        killed.wait()
    assert not folder.exists()
    export_checkpoint(checkpoint)
    assert {each.name for each in folder.parent.iterdir()} == {folder.name, f"{folder.name}.lock"}


def test_processes_that_start_together_export_once(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    both = [
        subprocess.Popen(
            [sys.executable, "-c", LOADING, str(checkpoint)], stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    errors = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert sum("this happens once" in error for error in errors) == 1
    exported.open_exported(
        export_folder(open_checkpoint(checkpoint).fingerprint), "image.onnx", "text.onnx"
    )
