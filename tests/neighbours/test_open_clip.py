"""A model of ours is a model for open_clip's zero-shot builder and for CLIP_benchmark."""

from __future__ import annotations

import csv
from argparse import Namespace
from itertools import product

import numpy as np
import open_clip
import open_clip_train.zero_shot
import pytest
import torch
from clip_benchmark.metrics import zeroshot_classification, zeroshot_retrieval
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder

import align_zoo
from align_zoo.evaluation.run import EvaluateOptions, evaluate
from align_zoo.inputs.prompts import TEMPLATE_SETS
from align_zoo.tiny.concepts import COLOURS, SHAPES, Meaning
from align_zoo.tiny.images import draw_image
from align_zoo.zero_shot.classifier import zero_shot_weights

PAIRS = list(product(COLOURS, SHAPES))


@pytest.fixture(scope="module")
def tiny():
    return align_zoo.create_align("align_tiny")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """36 classes of some images, a few of them misfiled: not all can be found."""
    root = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(5)
    for i, (copy, (colour, shape)) in enumerate(product(range(3), PAIRS)):
        where = PAIRS[(i + 10) % 36] if copy and i % 5 == 0 else (colour, shape)
        path = root / "_".join(where) / f"{copy}-{i}.png"
        path.parent.mkdir(exist_ok=True)
        draw_image(Meaning(colour, shape=shape), rng).save(path)
    return root


class Captioned(Dataset):
    """Images, each with all its captions, as CLIP_benchmark's data sets give them."""

    def __init__(self, root, captions, transform):
        self.root, self.captions, self.transform = root, list(captions.items()), transform

    def __len__(self):
        return len(self.captions)

    def __getitem__(self, index):
        name, texts = self.captions[index]
        return self.transform(Image.open(self.root / name)), texts


def as_batch(items):
    return torch.stack([image for image, _ in items]), [texts for _, texts in items]


@pytest.mark.parametrize("templates", TEMPLATE_SETS.values(), ids=TEMPLATE_SETS)
def test_open_clips_builder_gives_our_weights(tiny, templates):
    model, _, tokenizer = tiny
    names = [f"{colour} {shape}" for colour, shape in PAIRS]
    theirs = open_clip.build_zero_shot_classifier(model, tokenizer, names, templates)
    ours = zero_shot_weights(model, tokenizer, names, templates)
    assert (theirs[:, 0] - theirs[:, 1]).abs().max() > 0.01
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_open_clip_evaluation_reads_our_output(tiny, folder):
    model, transform, tokenizer = tiny
    data = ImageFolder(folder, transform=transform)
    names = [entry.replace("_", " ") for entry in data.classes]
    weights = zero_shot_weights(model, tokenizer, names)
    given = Namespace(device="cpu", precision="fp32", batch_size=25)
    top1, top5 = open_clip_train.zero_shot.run(model, weights, DataLoader(data, 25), given)
    with torch.inference_mode():
        images = torch.stack([image for image, _ in data])
        ranks = (model.encode_image(images, normalize=True) @ weights).argsort(1, descending=True)
    hits = ranks == torch.tensor(data.targets)[:, None]
    assert 0.7 < top1 < 0.95
    assert top1 == pytest.approx(float(hits[:, :1].any(1).float().mean()))
    assert top5 == pytest.approx(float(hits[:, :5].any(1).float().mean()))


def test_forward_pass_suits_the_coming_open_clip(tiny):
    """Since 4.2 its zero-shot builder asks the model itself, and takes a tuple's second."""
    model, _, tokenizer = tiny
    tokens = tokenizer(["a red star", "the digit three"])
    with torch.inference_mode():
        output = model(text=tokens)
        assert torch.equal(output[1], model.encode_text(tokens, normalize=True))
    assert not isinstance(output, dict)
    assert model.visual is model.image
    assert not any(name.startswith("visual") for name in model.state_dict())


@pytest.mark.parametrize("name", ["none", "photo", "imagenet"])
def test_clip_benchmark_measures_the_accuracy_that_we_measure(tiny, folder, tmp_path, name):
    model, transform, tokenizer = tiny
    data = ImageFolder(folder, transform=transform)
    theirs = zeroshot_classification.evaluate(
        model,
        DataLoader(data, batch_size=25),
        tokenizer,
        [entry.replace("_", " ") for entry in data.classes],
        [template.replace("{}", "{c}") for template in TEMPLATE_SETS[name]],
        device="cpu",
        amp=False,
    )
    ours = evaluate(EvaluateOptions(data=folder, model="align_tiny", out=tmp_path, templates=name))
    assert 0.7 < theirs["acc1"] < 0.95
    assert theirs["acc5"] < 1
    assert theirs["acc1"] != pytest.approx(theirs["mean_per_class_recall"])
    assert ours["top1"] == pytest.approx(theirs["acc1"])
    assert ours["top5"] == pytest.approx(theirs["acc5"])
    assert ours["mean_class_recall"] == pytest.approx(theirs["mean_per_class_recall"])


def test_clip_benchmark_measures_the_recalls_that_we_measure(tiny, folder, tmp_path):
    model, transform, tokenizer = tiny
    captions = {}
    for i, (colour, shape) in enumerate(PAIRS):
        forms = ("a {} {}", "a photo of a {} {}", "there is one {} {}")[: 1 + i % 3]
        # Half of the images swap captions with a neighbour: some answers must be wrong.
        said = PAIRS[i ^ 1] if i % 4 < 2 else (colour, shape)
        captions[f"{colour}_{shape}/0-{i}.png"] = [form.format(*said) for form in forms]
    loader = DataLoader(Captioned(folder, captions, transform), 16, collate_fn=as_batch)
    theirs = zeroshot_retrieval.evaluate(
        model, loader, tokenizer, device="cpu", amp=False, recall_k_list=[1, 5, 10]
    )
    path = tmp_path / "captions.csv"
    with path.open("w", newline="") as file:
        rows = [(name, text) for name, texts in captions.items() for text in texts]
        csv.writer(file).writerows([("image", "caption"), *rows])
    ours = evaluate(EvaluateOptions(data=path, model="align_tiny", out=tmp_path, images=folder))
    assert 0.3 < theirs["image_retrieval_recall@1"] < 1
    for k in (1, 5, 10):
        expected = theirs[f"image_retrieval_recall@{k}"], theirs[f"text_retrieval_recall@{k}"]
        got = ours["text_to_image"][f"R@{k}"], ours["image_to_text"][f"R@{k}"]
        assert got == pytest.approx(expected)
