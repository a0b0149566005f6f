"""An interrupted evaluation goes on where it was."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from align_zoo.evaluation.embeddings import SHARD, embed_files
from align_zoo.evaluation.run import EvaluateOptions, evaluate


@pytest.fixture(scope="module")
def files(shapes):
    found = sorted(shapes.rglob("*.png"))
    assert SHARD < len(found) < 2 * SHARD
    return found


@pytest.fixture(scope="module")
def expected(tiny, files):
    """Each image by itself, without a folder."""
    from PIL import Image

    with torch.inference_mode():
        rows = [
            tiny.align.encode_image(tiny.transform(Image.open(file))[None], normalize=True)
            for file in files
        ]
    return torch.cat(rows)


@contextmanager
def counting(model, interrupt_at=None):
    """The number of images that the tower sees; Ctrl-C when it sees so many."""
    seen = []

    def watch(tower, inputs):
        seen.append(len(inputs[0]))
        if interrupt_at is not None and sum(seen) > interrupt_at:
            raise KeyboardInterrupt

    handle = model.align.image.register_forward_pre_hook(watch)
    try:
        yield seen
    finally:
        handle.remove()


def embed(model, files, folder):
    return embed_files(model, files, folder, batch_size=32)


def test_embeddings_equal_the_models(tiny, files, expected, tmp_path):
    got = embed(tiny, files, tmp_path)
    torch.testing.assert_close(got.vectors, expected, atol=1e-6, rtol=0)
    assert got.sound == list(range(len(files)))
    assert not got.broken


def test_after_an_interruption_only_the_rest_is_done(tiny, files, expected, tmp_path):
    with counting(tiny, interrupt_at=SHARD + 40), pytest.raises(KeyboardInterrupt):
        embed(tiny, files, tmp_path)
    with counting(tiny) as seen:
        got = embed(tiny, files, tmp_path)
    assert seen == [32, 32, 32, 8]
    assert sum(seen) == len(files) - SHARD
    torch.testing.assert_close(got.vectors, expected, atol=1e-6, rtol=0)


def test_second_run_embeds_nothing(tiny, files, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no")
    some = [broken, *files, broken, tmp_path / "absent.png"]
    first = embed(tiny, some, tmp_path / "kept")
    with counting(tiny) as seen:
        second = embed(tiny, some, tmp_path / "kept")
    assert not seen
    assert torch.equal(first.vectors, second.vectors)
    assert first.broken == second.broken
    assert list(first.broken) == [0, len(files) + 1, len(files) + 2]
    assert second.sound == list(range(1, len(files) + 1))


def test_shard_of_broken_files_is_kept(tiny, files, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no")
    some = [broken] * SHARD + files[:3]
    for expected in ([3], []):
        with counting(tiny) as seen:
            got = embed(tiny, some, tmp_path / "kept")
        assert seen == expected
        assert got.sound == [SHARD, SHARD + 1, SHARD + 2]
        assert len(got.vectors) == 3


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_unreadable_file_is_retried_by_the_next_run(tiny, files, tmp_path, monkeypatch, code):
    read = Path.read_bytes

    def refuse_one(path):
        if path == files[2]:
            raise OSError(code, os.strerror(code))
        return read(path)

    with monkeypatch.context() as system:
        system.setattr(Path, "read_bytes", refuse_one)
        first = embed(tiny, files[:4], tmp_path)
    assert first.broken == {2: os.strerror(code)}
    second = embed(tiny, files[:4], tmp_path)
    assert second.sound == [0, 1, 2, 3]


@pytest.mark.parametrize("what", ["size", "time", "path"])
def test_changed_file_is_embedded_again(tiny, files, tmp_path, what):
    copies = []
    for i, file in enumerate(files):
        copies.append(tmp_path / f"{i}.png")
        copies[-1].write_bytes(file.read_bytes())
    before = embed(tiny, copies, tmp_path / "kept")
    last, changed = copies[-1], copies[-1].stat().st_mtime_ns
    if what == "size":
        last.write_bytes(files[0].read_bytes())
        os.utime(last, ns=(changed, changed))
    elif what == "time":
        os.utime(last, ns=(changed, changed + 1000))
    else:
        copies[-1] = last.rename(tmp_path / "renamed.png")
    with counting(tiny) as seen:
        after = embed(tiny, copies, tmp_path / "kept")
    assert sum(seen) == len(files) - SHARD
    assert torch.equal(after.vectors[:SHARD], before.vectors[:SHARD])
    expected = before.vectors[0 if what == "size" else -1]
    torch.testing.assert_close(after.vectors[-1], expected, atol=1e-6, rtol=0)


def test_other_checkpoint_reuses_no_embeddings(tiny, files, tmp_path):
    embed(tiny, files, tmp_path)
    with counting(tiny) as seen:
        embed(replace(tiny, fingerprint="another"), files, tmp_path)
    assert sum(seen) == len(files)


@pytest.mark.parametrize("damage", [b"", b"rubbish", None], ids=["empty", "rubbish", "cut"])
def test_damaged_shard_is_made_again(tiny, files, expected, tmp_path, damage):
    embed(tiny, files, tmp_path)
    shard = next(tmp_path.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-100] if damage is None else damage)
    with counting(tiny) as seen:
        got = embed(tiny, files, tmp_path)
    assert sum(seen) in (SHARD, len(files) - SHARD)
    torch.testing.assert_close(got.vectors, expected, atol=1e-6, rtol=0)


def test_resumed_report_equals_that_of_one_run(shapes, tmp_path):
    options = EvaluateOptions(data=shapes, model="align_tiny", out=tmp_path / "one")
    report = evaluate(options)
    shards = sorted((tmp_path / "one" / "embeddings").iterdir())
    assert len(shards) == 2
    (tmp_path / "two" / "embeddings").mkdir(parents=True)
    kept = Path(tmp_path / "two" / "embeddings" / shards[0].name)
    kept.write_bytes(shards[0].read_bytes())
    changed = kept.stat().st_mtime_ns
    assert evaluate(replace(options, out=tmp_path / "two")) == report
    assert kept.stat().st_mtime_ns == changed
    files = {path.name: path.read_bytes() for path in (tmp_path / "one").glob("*.*")}
    assert set(files) == {"report.json", "confusion.png"}
    assert files["report.json"] == (tmp_path / "two" / "report.json").read_bytes()
