"""Retrieval on held-out pairs: equal captions, and broken images."""

from __future__ import annotations

import pytest
import torch
from captioned import log_of, run, write_csv

import align_zoo
from align_zoo.training.finetune import open_pairs
from align_zoo.training.retrieval import HeldOutPairs


@pytest.fixture(scope="module")
def tiny():
    return align_zoo.create_align("align_tiny")


def measure(path, tiny, batch_size=32):
    model, transform, tokenizer = tiny
    held_out = HeldOutPairs(
        open_pairs(path), transform, tokenizer, batch_size=batch_size, on_broken=print
    )
    with torch.inference_mode():
        return held_out.measure(model)


def test_equal_captions_match_across_batches(pairs_csv, tmp_path, tiny):
    # Two captions in turn, among others that are longer: each batch pads them differently.
    captions = ["a star", "a ring", "a photo of a blue ring that is there to be long" + " so" * 9]
    rows = [(str(pairs_csv.with_name(f"{i}.png")), captions[(i * i) % 3]) for i in range(24)]
    data = write_csv(tmp_path / "pairs.csv", rows)
    found = [measure(data, tiny, batch_size) for batch_size in (1, 2, 5, 24)]
    assert all(each == found[0] for each in found)
    # A caption of one image never stands before the same of another.
    assert found[0]["image_to_text_R@1"] == 0


def test_recall_is_none_with_fewer_items_than_places(pairs_csv, tmp_path, tiny):
    rows = [(str(pairs_csv.with_name("0.png")), f"a shape {i // 2}") for i in range(6)]
    found = measure(write_csv(tmp_path / "pairs.csv", rows), tiny)
    assert (found["text_to_image_R@1"], found["text_to_image_R@5"]) == (1, None)
    assert (found["image_to_text_R@5"], found["image_to_text_R@10"]) == (1, None)


def test_equal_captions_match_despite_rounding(pairs_csv, tmp_path, tiny, monkeypatch):
    model, random = tiny[0], torch.Generator().manual_seed(0)
    encode = model.encode_text

    def rounded(tokens, **options):
        rows = encode(tokens, **options)
        return rows + 1e-6 * torch.randn(rows.shape, generator=random)

    monkeypatch.setattr(model, "encode_text", rounded)
    rows = [(str(pairs_csv.with_name(f"{i}.png")), "a shape") for i in range(8)]
    found = measure(write_csv(tmp_path / "pairs.csv", rows), tiny)
    assert found["image_to_text_R@1"] == found["image_to_text_R@5"] == 0


def test_the_order_of_the_rows_changes_no_measure(pairs_csv, tmp_path, tiny):
    rows = []
    for line in pairs_csv.read_text().splitlines()[1:]:
        name, caption = line.split(",")
        path = str(pairs_csv.with_name(name))
        rows += [(path, caption), (path, f"the {caption.split()[1]} thing")]
    found = [
        measure(write_csv(tmp_path / f"{i}.csv", some), tiny)
        for i, some in enumerate((rows, rows[::2] + rows[1::2]))
    ]
    assert found[0] == found[1]
    assert 0 < found[0]["text_to_image_R@1"] < 1


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes(b"no image")
    return str(path)


def train(pairs_csv, held_out, out):
    options = ["--steps", "2", "--eval-every", "1", "--batch-size", "2"]
    return run(pairs_csv, out, *options, "--eval-data", str(held_out))


def test_broken_image_is_left_out_and_named_once(pairs_csv, tmp_path, broken):
    sound = [(str(pairs_csv.with_name(f"{i}.png")), f"picture {i}") for i in range(5)]
    # In batches of two, one has broken images alone.
    held_out = write_csv(tmp_path / "held_out.csv", [(broken, "a"), (broken, "b"), *sound])
    assert train(pairs_csv, held_out, tmp_path / "out").exit_code == 0
    log = log_of(tmp_path / "out")
    named = [(line["step"], line["broken"]) for line in log if "broken" in line]
    assert [step for step, _ in named] == [0, 0]
    assert all(f"held_out.csv line {2 + i} (" in named[i][1] for i in range(2))
    measured = [line for line in log if "text_to_image_R@5" in line]
    assert [line["step"] for line in measured] == [0, 1, 2]
    assert all(line["text_to_image_R@5"] == 1 for line in measured)


def test_no_readable_held_out_image_ends_training(pairs_csv, tmp_path, broken):
    held_out = write_csv(tmp_path / "held_out.csv", [(broken, f"{i}") for i in range(5)])
    done = train(pairs_csv, held_out, tmp_path / "out")
    assert done.exit_code == 1
    assert "all 5 held-out images are broken; the log names each" in done.output
    assert len([line for line in log_of(tmp_path / "out") if "broken" in line]) == 5
