"""sentence-transformers opens an ALIGN folder as it is, and we open what it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from environments import environment, run

import align_zoo
from align_zoo.checkpoint.folder import EMBEDDED
from align_zoo.formats.save import save_hf

VERSION = "6.2.0"
SAMPLE = EMBEDDED["align_tiny"].parent / "samples" / "red-star.png"
TEXTS = ["a red star", "the digit three and 4"]
# It resizes by torchvision, we by Pillow.
WITHIN = {"text": 1e-6, "image": 1e-4}


@pytest.fixture(scope="module", params=["embedded", "saved"])
def opened(request, tmp_path_factory) -> tuple[dict, Path, dict[str, str]]:
    """What it makes of align_tiny, the folder that it has written, and what it refuses."""
    folder, target = EMBEDDED["align_tiny"], tmp_path_factory.mktemp("target")
    if request.param == "saved":
        model, transform, tokenizer = align_zoo.create_align(folder)
        folder = tmp_path_factory.mktemp("saved")
        save_hf(model, folder, transform=transform, tokenizer=tokenizer)
    python = environment("sentence-transformers", [f"sentence-transformers=={VERSION}"])
    said = run(python, "sentence_transformers_answers.py", SAMPLE, folder, target)
    assert said["version"] == VERSION
    return dict(np.load(target / "arrays.npz")), target / "copy", said["mixed"]


def unit_vectors(folder: Path) -> dict[str, np.ndarray]:
    encoder = align_zoo.load_encoder(folder, runtime="torch", device="cpu")
    return {"image": encoder.embed_images([SAMPLE]), "text": encoder.embed_texts(TEXTS)}


@pytest.mark.parametrize("tower", WITHIN)
def test_sentence_transformers_opens_our_folder_with_equal_answers(opened, tower):
    expected = unit_vectors(EMBEDDED["align_tiny"])[tower]
    np.testing.assert_allclose(opened[0][tower], expected, rtol=0, atol=WITHIN[tower])


@pytest.mark.parametrize("tower", WITHIN)
def test_sentence_transformers_folder_opens_here_with_equal_answers(opened, tower):
    expected = unit_vectors(EMBEDDED["align_tiny"])[tower]
    np.testing.assert_allclose(unit_vectors(opened[1])[tower], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["PIL image", "path"])
def test_mixed_list_is_refused(opened, kind):
    assert "Encode each modality separately" in opened[2][kind]
