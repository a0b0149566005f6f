"""Sound checkpoints of any maker run on the fast path, on processors of either kind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import FEW_BLOCKS, save_checkpoint, small_config
from makers import MAKERS, photographs
from processors import KINDS, as_processor

import align_zoo

TEXTS = ["cat", "a photo of a big red bus"]
TUNED = "a fine-tuned align_tiny"

EMBED = """
import json, sys
import numpy as np
import align_zoo
folders, pixels = sys.argv[2:], np.load(sys.argv[1])
answers = {}
for folder in folders:
    encoder = align_zoo.load_encoder(folder, device="cpu")
    rows = encoder.embed_pixels(pixels), encoder.embed_texts(["cat", "a photo of a big red bus"])
    answers[folder] = encoder.explanation, *(each.tolist() for each in rows)
print(json.dumps(answers))
"""


def tuned(folder: Path) -> Path:
    """align_tiny after some steps on noise, which move every weight."""
    model, transform, tokenizer = align_zoo.create_align("align_tiny")
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    tokens = tokenizer(["a red star", "a blue ring", "the digit 3", "a green square"])
    model.train()
    for _ in range(3):
        optimizer.zero_grad()
        model(photographs(4, 49), tokens, return_loss=True).loss.backward()
        optimizer.step()
    align_zoo.save_hf(model.eval(), folder, transform=transform, tokenizer=tokenizer)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A checkpoint of each maker."""
    home, config = tmp_path_factory.mktemp("makers"), small_config(FEW_BLOCKS)
    made = {n: save_checkpoint(make(config, 75), home / n) for n, make in MAKERS.items()}
    return {**made, TUNED: tuned(home / "tuned")}


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Images that no export was compared on."""
    torch.manual_seed(77)
    return photographs(3, 75).numpy()


@pytest.fixture(scope="module", params=KINDS)
def answers(request, folders, pixels, tmp_path_factory) -> dict[str, list]:
    """By folder what a process on this kind of processor says and embeds."""
    scratch = tmp_path_factory.mktemp("processor")
    np.save(scratch / "pixels.npy", pixels)
    command = [sys.executable, "-c", EMBED, scratch / "pixels.npy", *folders.values()]
    environment = as_processor(request.param, scratch)
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("maker", [*MAKERS, TUNED])
def test_every_maker_gets_the_fast_path(maker, answers, folders, pixels):
    explanation, images, texts = answers[str(folders[maker])]
    assert explanation.startswith("onnx ") and "as long as" not in explanation
    model, _, tokenizer = align_zoo.create_align(folders[maker])
    with torch.inference_mode():
        expected = model.encode_image(torch.from_numpy(pixels), normalize=True)
        expected_texts = model.encode_text(tokenizer(TEXTS), normalize=True)
    np.testing.assert_allclose(images, expected, atol=1e-4)
    np.testing.assert_allclose(texts, expected_texts, atol=1e-5)


def test_each_kind_of_processor_has_its_own_layout(answers, folders):
    from align_zoo.checkpoint.folder import open_checkpoint
    from align_zoo.runtime.onnx.manifest import export_folder
    from align_zoo.runtime.onnx.nchwc import layouts

    made = [
        {layout.name for layout in layouts(export_folder(open_checkpoint(f).fingerprint))}
        for f in folders.values()
    ]
    assert all(each == made[0] for each in made)
    assert 1 <= len(made[0]) <= len(KINDS)
