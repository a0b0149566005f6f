"""``align-zoo finetune``: what it writes, what it logs, what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from captioned import draw_pairs, log_of, losses_of, run, weights_of, write_csv
from PIL import Image
from transformers import AlignModel, AutoTokenizer, EfficientNetImageProcessorPil
from webdataset import ShardWriter

import align_zoo
from align_zoo.evaluation.ranks import recall
from align_zoo.evaluation.retrieval import retrieve
from align_zoo.tiny.evaluate import EMBEDDED
from align_zoo.towers.dual_encoder import Align
from align_zoo.training.finetune import open_pairs


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    """A CSV in which every image has two captions."""
    folder = tmp_path_factory.mktemp("held_out")
    draw_pairs(folder, 12, seed=9)
    rows = [(f"{i}.png", f"{caption} {i}") for caption in ("red star", "ring") for i in range(12)]
    return write_csv(folder / "pairs.csv", rows)


@pytest.fixture(scope="module")
def trained(pairs_csv, held_out, tmp_path_factory):
    """The folder that 20 steps make."""
    out = tmp_path_factory.mktemp("trained") / "out"
    options = ["--steps", "20", "--log-every", "5", "--eval-every", "10", "--workers", "2"]
    result = run(pairs_csv, out, *options, "--eval-data", str(held_out))
    assert result.exit_code == 0, result.output
    return out


def test_the_loss_goes_down(trained):
    losses = losses_of(trained)
    assert len(losses) == 4
    assert losses[-1] < 0.8 * losses[0]


def test_transformers_reproduces_the_embeddings_of_the_folder(trained, pairs_csv):
    theirs, found = AlignModel.from_pretrained(trained, output_loading_info=True)
    assert not any(found.values()), found
    processor = EfficientNetImageProcessorPil.from_pretrained(trained)
    words = AutoTokenizer.from_pretrained(trained)
    model, transform, tokenizer = align_zoo.create_align(trained)
    before = align_zoo.create_align("align_tiny")[0]
    images = [Image.open(path).convert("RGB") for path in pairs_csv.parent.glob("?.png")]
    texts = ["a red star", "something else"]
    pixels = torch.stack([transform(image) for image in images])
    with torch.inference_mode():
        expected = theirs.eval()(
            **processor(images, return_tensors="pt"),
            **words(texts, padding=True, return_tensors="pt"),
        )
        got = model(pixels, tokenizer(texts))
        was = before(pixels, tokenizer(texts))
    assert len(images) == 10
    torch.testing.assert_close(got.image_embeds, expected.image_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(got.text_embeds, expected.text_embeds, atol=1e-5, rtol=0)
    # Training changed both by far more than the tolerance.
    for one, other in ((got.image_embeds, was.image_embeds), (got.text_embeds, was.text_embeds)):
        assert (one - other).norm(dim=1).min() > 1e-2


def test_finished_training_keeps_its_log_only(trained):
    assert [path.name for path in (trained / "training").iterdir()] == ["log.jsonl"]
    assert not list(trained.glob(".*"))


def test_log_has_losses_and_retrieval(trained):
    log = log_of(trained)
    assert [line["step"] for line in log if "loss" in line] == [5, 10, 15, 20]
    assert [line["step"] for line in log if "text_to_image_R@1" in line] == [0, 10, 20]
    assert all(line["seconds"] >= 0 for line in log)
    rates = [line["learning_rate"] for line in log if "loss" in line]
    assert rates == sorted(rates, reverse=True)


def test_logged_retrieval_is_that_of_the_folder(trained, held_out):
    model, transform, tokenizer = align_zoo.create_align(trained)
    pairs = open_pairs(held_out)
    captions = tokenizer([pairs.read(i).caption for i in range(24)])
    pixels = [transform(Image.open(held_out.parent / f"{i}.png")) for i in range(12)]
    with torch.inference_mode():
        images = model.encode_image(torch.stack(pixels), normalize=True)
        texts = model.encode_text(captions, normalize=True)
    ranks = retrieve(images, texts, [*range(12)] * 2)
    last = log_of(trained)[-1]
    for k in (1, 5, 10):
        assert last[f"text_to_image_R@{k}"] == pytest.approx(recall(ranks.images, k, 12))
        assert last[f"image_to_text_R@{k}"] == pytest.approx(recall(ranks.texts, k, 24))


def test_shards_and_csv_train_alike(pairs_csv, tmp_path):
    pairs = open_pairs(pairs_csv)
    with ShardWriter(str(tmp_path / "%02d.tar"), maxcount=10, verbose=0) as writer:
        for i in range(len(pairs)):
            pair = pairs.read(i)
            writer.write({"__key__": f"{i:02d}", "png": pair.image, "txt": pair.caption})
    assert run(pairs_csv, tmp_path / "one", "--steps", "3").exit_code == 0
    assert run(tmp_path / "{00..02}.tar", tmp_path / "other", "--steps", "3").exit_code == 0
    one, other = weights_of(tmp_path / "one"), weights_of(tmp_path / "other")
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("given", [[], ["--epochs", "2"]])
def test_epoch_has_a_step_per_whole_batch(pairs_csv, tmp_path, given):
    assert run(pairs_csv, tmp_path, *given, "--log-every", "1").exit_code == 0
    assert log_of(tmp_path)[-1]["step"] == (6 if given else 3)


@pytest.mark.parametrize(("frozen", "kept"), [("image", "vision_model."), ("text", "text_model.e")])
def test_a_frozen_tower_keeps_its_weights(pairs_csv, tmp_path, frozen, kept):
    assert run(pairs_csv, tmp_path, "--steps", "2", "--freeze", frozen).exit_code == 0
    before, after = weights_of(EMBEDDED), weights_of(tmp_path)
    for name, weight in before.items():
        if name.startswith(kept):
            assert torch.equal(after[name], weight), name
    other = "text_projection.weight" if frozen == "image" else _STEM
    assert not torch.equal(after[other], before[other])


_STEM = "vision_model.embeddings.convolution.weight"
_STATISTICS = "vision_model.embeddings.batchnorm.running_mean"


@pytest.mark.parametrize(("given", "moves"), [([], False), (["--batch-norm", "train"], True)])
def test_batch_norms_statistics_move_only_if_asked_for(pairs_csv, tmp_path, given, moves):
    assert run(pairs_csv, tmp_path, "--steps", "2", *given).exit_code == 0
    before, after = weights_of(EMBEDDED), weights_of(tmp_path)
    assert torch.equal(after[_STATISTICS], before[_STATISTICS]) != moves
    assert not torch.equal(after[_STEM], before[_STEM])


def test_bfloat16_training_writes_float32_weights(pairs_csv, tmp_path):
    first = ["--steps", "4", "--log-every", "1"]
    assert run(pairs_csv, tmp_path / "full", *first).exit_code == 0
    precision = ["--mixed-precision", "bf16"]
    assert run(pairs_csv, tmp_path / "half", *first, *precision).exit_code == 0
    full, half = losses_of(tmp_path / "full"), losses_of(tmp_path / "half")
    assert half != full
    assert half == pytest.approx(full, rel=0.1)
    types = {weight.dtype for weight in weights_of(tmp_path / "half").values()}
    assert types == {torch.float32, torch.int64}  # BatchNorm counts batches


def test_gradient_checkpointing_trains_alike(pairs_csv, tmp_path):
    for name, given in (("plain", []), ("checkpointed", ["--grad-checkpointing"])):
        options = ["--steps", "3", "--log-every", "1", *given]
        assert run(pairs_csv, tmp_path / name, *options).exit_code == 0
    plain, checkpointed = losses_of(tmp_path / "plain"), losses_of(tmp_path / "checkpointed")
    assert checkpointed == pytest.approx(plain, rel=1e-4)


def test_broken_images_are_logged_and_left_out(pairs_csv, tmp_path):
    (tmp_path / "broken.png").write_bytes(pairs_csv.with_name("0.png").read_bytes()[:60])
    rows = [(str(pairs_csv.with_name(f"{i}.png")), f"number {i}") for i in range(7)]
    data = write_csv(tmp_path / "pairs.csv", [*rows, ("broken.png", "broken")])
    assert run(data, tmp_path / "out", "--steps", "2", "--log-every", "1").exit_code == 0
    named = [line["broken"] for line in log_of(tmp_path / "out") if "broken" in line]
    assert len(named) == 2
    assert all("pairs.csv line 9 (broken.png)" in each for each in named)


@pytest.mark.parametrize("place", ["--data", "--eval-data"])
def test_strict_refuses_a_broken_image(pairs_csv, tmp_path, place):
    (tmp_path / "broken.png").write_bytes(b"no image")
    rows = [(str(pairs_csv.with_name(f"{i}.png")), f"number {i}") for i in range(7)]
    data = write_csv(tmp_path / "pairs.csv", [*rows, ("broken.png", "broken")])
    result = run(pairs_csv, tmp_path / "out", "--steps", "1", "--strict", place, str(data))
    assert result.exit_code == 1
    said = result.output.splitlines()[-1]
    assert "pairs.csv line 9 (broken.png)" in said
    assert said.endswith("without --strict it is left out")


@pytest.fixture
def shard_with_faults(pairs_csv, tmp_path):
    """Pairs, one of them broken, and a text without an image."""
    pairs = open_pairs(pairs_csv)
    with ShardWriter(str(tmp_path / "%02d.tar"), maxcount=99, verbose=0) as writer:
        for i in range(8):
            pair = pairs.read(i)
            content = b"no image" if i == 3 else pair.image
            writer.write({"__key__": f"{i:02d}", "png": content, "txt": pair.caption})
        writer.write({"__key__": "08", "txt": "text alone"})
    return tmp_path / "00.tar"


def test_summary_has_loss_omissions_and_next_step(shard_with_faults, held_out, tmp_path):
    out = tmp_path / "out"
    options = ["--steps", "3", "--log-every", "1", "--eval-data", str(held_out)]
    result = run(shard_with_faults, out, *options)
    assert result.exit_code == 0, result.output
    losses = losses_of(out)
    said = result.stdout.splitlines()
    assert said[0] == f"{shard_with_faults}: left out 1 sample with no image (00.tar sample 08)"
    assert said[-4:] == [
        f"trained 3 steps on 8 pairs: loss {losses[0]:.4f} at first, {losses[-1]:.4f} at last",
        f"left out: 1 samples that are no pair, 1 broken pairs; see {out}/training/log.jsonl",
        f"written to {out}",
        f"next: align-zoo evaluate {held_out} --model {out}",
    ]
    first = log_of(out)[0]
    assert (first["step"], first["data"]) == (0, str(shard_with_faults))
    assert first["left_out"] == "1 sample with no image (00.tar sample 08)"


def test_summary_without_held_out_pairs_names_the_server(pairs_csv, tmp_path):
    out = tmp_path / "a b"
    said = run(pairs_csv, out, "--steps", "1").stdout.splitlines()
    assert said[-1] == f"next: align-zoo serve --model '{out}'"
    assert not any("left out" in line for line in said)


def test_strict_refuses_a_sample_that_is_no_pair(shard_with_faults, tmp_path):
    result = run(shard_with_faults, tmp_path / "out", "--strict")
    assert result.exit_code == 1
    assert "00.tar: sample 08 has no image" in result.output
    assert not (tmp_path / "out").exists()


def test_loss_that_is_not_finite_ends_training(pairs_csv, tmp_path):
    result = run(pairs_csv, tmp_path, "--steps", "9", "--learning-rate", "1e30")
    assert result.exit_code == 1
    assert "a smaller --learning-rate" in result.output
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--model", "no/such/folder"], "no/such/folder does not exist"),
        (["--model", "some/align", "--revision", ".."], "'..' is no branch, tag or commit of some"),
        (["--data", "absent.csv"], "absent.csv does not exist"),
        (["--eval-data", "absent.csv"], "absent.csv does not exist"),
        (["--batch-size", "25"], "24 pairs, fewer than one batch of 25"),
        (["--steps", "2", "--epochs", "2"], "--steps and --epochs exclude each other"),
        (["--learning-rate", "0"], "--learning-rate is 0.0"),
        (["--mixed-precision", "fp16"], "--mixed-precision fp16"),
        (["--resume"], "nothing to resume"),
    ],
)
def test_impossible_request_fails_before_writing(pairs_csv, tmp_path, given, named):
    result = run(pairs_csv, tmp_path / "out", *given)
    assert result.exit_code == 1
    assert named in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").rglob("*.json*"))


def test_missing_package_is_named(pairs_csv, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    for name in ("finetune", "accelerator"):
        monkeypatch.delitem(sys.modules, f"align_zoo.training.{name}", raising=False)
    result = run(pairs_csv, tmp_path)
    assert result.exit_code == 1
    assert "training needs accelerate: run `pip install '.[train]'`" in result.output


def test_device_out_of_memory_names_the_way_out(pairs_csv, tmp_path, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(Align, "forward", full)
    said = run(pairs_csv, tmp_path, "--steps", "1").output.splitlines()[-1]
    assert said.startswith("align-zoo: the device has no room for --batch-size 8; choose a smaller")
    assert said.endswith("20.00 GiB.")


def test_folder_with_other_files_is_refused(pairs_csv, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    result = run(pairs_csv, tmp_path, "--steps", "1")
    assert result.exit_code == 1
    assert "other files already (thesis.txt)" in result.output


def test_a_file_is_no_folder_to_write_to(pairs_csv, tmp_path):
    out = tmp_path / "out"
    out.touch()
    assert f"{out} is a file" in run(pairs_csv, out).output


def test_a_checkpoint_of_another_shape_can_be_trained(pairs_csv, tmp_path):
    from checkpoints import lively_model, save_checkpoint, small_config

    small = {"crop_size": {"height": 75, "width": 75}, "size": {"height": 90, "width": 90}}
    folder = save_checkpoint(lively_model(small_config()), tmp_path / "small", preprocessor=small)
    out: Path = tmp_path / "out"
    assert run(pairs_csv, out, "--model", str(folder), "--steps", "2").exit_code == 0
    assert AlignModel.from_pretrained(out).config.projection_dim == 96
