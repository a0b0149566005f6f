"""Folders that we write open in old and new transformers with equal answers, and theirs in ours."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from environments import environment, run
from PIL import Image

import align_zoo
from align_zoo.checkpoint.folder import EMBEDDED
from align_zoo.formats.save import save_hf

SAMPLE = EMBEDDED["align_tiny"].parent / "samples" / "red-star.png"
TEXTS = ["a red star", "the digit three and 4"]

# The first with ALIGN, the first and the last that cannot read an image processor in
# processor_config.json, the last 4, and the newest. Before 5 the hub client needs requests.
_HUB = ("huggingface_hub==0.36.0", "requests==2.32.5", "charset_normalizer==3.4.4")
VERSIONS = {
    "4.27.0": ("tokenizers==0.13.3", *_HUB),
    "4.41.2": ("tokenizers==0.19.1", *_HUB),
    "4.55.4": ("tokenizers==0.21.4", *_HUB),
    "4.57.6": ("tokenizers==0.22.1", *_HUB),
    "5.24.0": ("tokenizers==0.23.3",),
}
NEWEST = "5.24.0"
FOLDERS = ["embedded", "saved", "saved over another", "converted from the newest"]
THEIRS = "the newest's own"


class Read(NamedTuple):
    """What one version made of one folder."""

    folder: Path
    error: str | None
    target: Path

    def arrays(self) -> dict[str, np.ndarray]:
        assert self.error is None
        return dict(np.load(self.target / "arrays.npz"))


def read(version: str, folders: list[Path], room: Path) -> list[Read]:
    """By one process of that version: most of its time is the import."""
    python = environment(
        f"transformers-{version}", [f"transformers=={version}", *VERSIONS[version]]
    )
    targets = [room / str(number) for number in range(len(folders))]
    for target in targets:
        target.mkdir()
    pairs = [each for pair in zip(folders, targets, strict=True) for each in pair]
    said = run(python, "transformers_answers.py", SAMPLE, *pairs)
    assert said["version"] == version
    return [
        Read(folder, said["errors"].get(str(folder)), target)
        for folder, target in zip(folders, targets, strict=True)
    ]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """align_tiny as it is shipped, and as we write it."""
    embedded, room = EMBEDDED["align_tiny"], tmp_path_factory.mktemp("folders")
    (newest,) = read(NEWEST, [embedded], tmp_path_factory.mktemp("newest"))
    theirs = newest.target / "copy"
    assert newest.error is None and (theirs / "processor_config.json").is_file()
    sources = dict(zip(FOLDERS, [embedded, embedded, embedded, theirs], strict=True))
    found = {"embedded": embedded, THEIRS: theirs}
    for name in FOLDERS[1:]:
        found[name] = room / name.replace(" ", "-")
        if name == "saved over another":
            found[name].mkdir()
            (found[name] / "processor_config.json").write_text('{"image_processor": {}}')
        model, transform, tokenizer = align_zoo.create_align(sources[name])
        save_hf(model, found[name], transform=transform, tokenizer=tokenizer)
    return found


@pytest.fixture(scope="module", params=VERSIONS)
def neighbour(request, folders, tmp_path_factory) -> tuple[str, dict[str, Read]]:
    """A version, and what it made of each folder."""
    results = read(request.param, list(folders.values()), tmp_path_factory.mktemp("read"))
    return request.param, dict(zip(folders, results, strict=True))


@torch.inference_mode()
def ours(folder: Path, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Ours; the towers on the pixels of the neighbour's processor."""
    model, transform, tokenizer = align_zoo.create_align(folder)
    tokens = tokenizer(TEXTS)
    out = model(torch.from_numpy(pixels), tokens)
    return {
        "input_ids": tokens["input_ids"].numpy(),
        "pixels": transform(Image.open(SAMPLE))[None].numpy(),
        "image": out.image_embeds.numpy(),
        "text": out.text_embeds.numpy(),
        "logits": out.logits_per_image.numpy(),
    }


def check_equal(version: str, theirs: dict, folder: Path) -> None:
    expected = ours(folder, theirs["pixels"])
    np.testing.assert_array_equal(theirs["input_ids"], expected["input_ids"])
    # Since 5 images are resized by torchvision, before by Pillow as we do.
    within = 1e-6 if version.startswith("4.") else 0.02
    np.testing.assert_allclose(theirs["pixels"], expected["pixels"], rtol=0, atol=within)
    for name in ("image", "text", "logits"):
        np.testing.assert_allclose(theirs[name], expected[name], rtol=1e-4, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("name", FOLDERS)
def test_our_folder_opens_in_every_version(neighbour, name):
    version, results = neighbour
    check_equal(version, results[name].arrays(), results[name].folder)


def test_folder_of_newest_opens_in_few_versions(neighbour):
    """Else it would not have to be converted."""
    version, results = neighbour
    opens = results[THEIRS].error is None
    assert opens == (version not in ("4.27.0", "4.41.2", "4.55.4")), results[THEIRS].error


def test_folder_of_every_version_opens_here(neighbour):
    version, results = neighbour
    check_equal(version, results["embedded"].arrays(), results["embedded"].target / "copy")
