"""Prints how far our answers are from transformers': `python tests/support/parity_report.py`.

The same comparisons stand as tests in test_parity.py, test_preprocess.py and
test_config_variations.py.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from checkpoints import PREPROCESSOR, lively_model, save_checkpoint, small_config, with_same_padding
from parity import SHAPES, SIZES, TEXTS, photo, processor, relative_error
from transformers import AlignConfig, AlignModel
from transformers.image_utils import load_image
from variations import HONOURED
from variations import compare as compare_row

import align_zoo
from align_zoo.inputs.preprocess import AlignTransform


@torch.inference_mode()
def compare(name: str, config: AlignConfig, size: int) -> None:
    """One row an image size: relative errors of embeddings, absolute ones of logits."""
    theirs: AlignModel = lively_model(config, seed=1, size=size)
    with tempfile.TemporaryDirectory() as folder:
        model, _, tokenizer = align_zoo.create_align(save_checkpoint(theirs, Path(folder)))
        same = with_same_padding(align_zoo.create_align(folder)[0].image)
    tokens = tokenizer(TEXTS)
    for side in SIZES:
        images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(side))
        expected, got = theirs(pixel_values=images, **tokens), model(images, tokens)
        raw = theirs.get_image_features(images).pooler_output
        text = theirs.get_text_features(**tokens).pooler_output
        print(
            f"| {name} | {side} "
            f"| {relative_error(model.encode_image(images), raw):.1e} "
            f"| {relative_error(model.encode_text(tokens), text):.1e} "
            f"| {(got.logits_per_image - expected.logits_per_image).abs().max():.1e} "
            f"| {relative_error(same(images), raw):.1e} |",
            flush=True,
        )


def main() -> None:
    """The three tables."""
    print("| weights | size | image | text | logits | image if padded 'same' |")
    print("|---|---|---|---|---|---|")
    compare("base", AlignConfig(), 289)
    compare("small", small_config(), 75)
    transform, reference = AlignTransform.from_dict(PREPROCESSOR), processor()
    modes = ["RGB", "L", "RGBA", "P", "CMYK"]
    worst = max(
        float(
            (
                transform(image)
                - reference(load_image(image), return_tensors="pt")["pixel_values"][0]
            )
            .abs()
            .max()
        )
        for image in (photo(*shape, mode) for shape in SHAPES for mode in modes)
    )
    print(f"\ntransform: at most {worst:.1e} over {len(SHAPES)} shapes x {len(modes)} modes")

    print("\n| field | value | image | text |")
    print("|---|---|---|---|")
    for row in HONOURED:
        with tempfile.TemporaryDirectory() as folder:
            got = compare_row(row, Path(folder))
        print(f"| {row.name} | {row.value} | {got.image:.1e} | {got.text:.1e} |", flush=True)


if __name__ == "__main__":
    main()
