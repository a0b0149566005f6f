"""Zero-shot classification: class names to weights, and weights baked into a classifier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch.nn import functional as F
from transformers import BatchEncoding

from align_zoo.errors import InvalidInput
from align_zoo.inputs.prompts import PHOTO, check_classnames, fill, read_templates
from align_zoo.progress import progress_bar
from align_zoo.towers.dual_encoder import Align
from align_zoo.towers.image_tower import AlignImage

__all__ = ["bake_zero_shot", "zero_shot_weights"]

Tokenizer = Callable[[list[str]], BatchEncoding]


def zero_shot_weights(
    model: Align,
    tokenizer: Tokenizer,
    classnames: Sequence[str],
    templates: str | Sequence[str] = PHOTO,
    *,
    batch_size: int = 64,
    progress: bool = False,
) -> torch.Tensor:
    """Compute a unit vector for each class: ``image_embeds @ weights`` are the cosines [N, C].

    The ensemble of the CLIP paper (arXiv:2103.00020, section 3.1.4): each prompt's embedding is
    normalised, their mean over the templates is normalised again.

    Args:
        model: the model in eval mode, as ``create_align`` returns it.
        tokenizer: the model's tokenizer.
        classnames: C names.
        templates: a template with a ``{}`` for the class name, several templates, or the name of
            a set: "none", "photo" or "imagenet" (``TEMPLATE_SETS``).
        batch_size: prompts at a time; the answer does not depend on this number.
        progress: show a bar on stderr.

    Returns:
        [D, C], a column for each class, as in open_clip and CLIP_benchmark; on the model's
        device, without gradient.

    Raises:
        InvalidText: there is no class name or no template, a class name is blank or no string, or
            a template has not exactly one ``{}``. The message names the fault.
        InvalidInput: ``batch_size`` is below 1.
    """
    names, forms = check_classnames(classnames), read_templates(templates)
    prompts = [fill(form, name) for name in names for form in forms]
    embeds = embed_texts(model, tokenizer, prompts, batch_size=batch_size, progress=progress)
    # In float32, since a mean of 80 in half precision is a poor one.
    mean = embeds.float().view(len(names), len(forms), -1).mean(1)
    return F.normalize(mean, dim=-1).to(embeds.dtype).t().contiguous()


def bake_zero_shot(
    image_tower: AlignImage,
    weights: torch.Tensor,
    temperature: float | torch.Tensor,
    class_names: Sequence[str] | None = None,
) -> AlignImage:
    """Bake a timm classifier [N, 3, H, W] -> [N, C] whose softmax is zero-shot classification.

    The classifier's logits are ``cosine / temperature``. It saves, loads and exports as any timm
    model, and needs no text tower. ``image_tower`` is not changed.

    Args:
        image_tower: ``model.image``.
        weights: [D, C] unit columns, from ``zero_shot_weights``.
        temperature: ``model.temperature``.
        class_names: C names, kept as ``pretrained_cfg["label_names"]``, which timm saves.

    Raises:
        InvalidInput: the shapes do not fit each other, the columns are no unit vectors, the
            temperature is not above 0, or the tower does not pool.
        InvalidText: a class name is blank or no string.
    """
    temperature = float(temperature)
    if not (math.isfinite(temperature) and temperature > 0):
        raise InvalidInput(f"temperature is {temperature}; it must be a number above 0")
    width = image_tower.head_hidden_size
    if weights.ndim != 2 or weights.shape[0] != width or not weights.shape[1]:
        raise InvalidInput(
            f"the weights are {list(weights.shape)}, not [{width}, C]: the image tower's embedding "
            "has that width, and each class is a column"
        )
    if not ((weights.float().norm(dim=0) - 1).abs() <= 1e-2).all():  # so that NaN fails, too
        raise InvalidInput("the weights are no unit columns; zero_shot_weights makes such")
    if image_tower.global_pool.is_identity():
        raise InvalidInput("the image tower has global_pool='': it makes maps, no embedding")
    names = None if class_names is None else check_classnames(class_names)
    if names is not None and len(names) != weights.shape[1]:
        raise InvalidInput(f"{len(names)} class names do not fit {weights.shape[1]} classes")
    baked = deepcopy(image_tower)
    baked.set_cosine_classifier((weights.float() / temperature).t())
    if names is not None:
        # timm keeps the names only beside the right number of classes.
        baked.pretrained_cfg.update(num_classes=len(names), label_names=names)
    return baked


@torch.no_grad()
def embed_texts(
    model: Align,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    batch_size: int = 64,
    progress: bool = False,
) -> torch.Tensor:
    """Compute unit embeddings [N, D] of N > 0 texts, on the model's device.

    Each different text is embedded once, among texts of about its length: padding costs time
    and changes nothing.

    Raises:
        InvalidInput: ``batch_size`` is below 1.
    """
    if batch_size < 1:
        raise InvalidInput(f"batch_size is {batch_size}; it must be at least 1")
    ordered = sorted(set(texts), key=lambda text: (len(text), text))
    rows = []
    with progress_bar("texts", len(ordered), show=progress) as advance:
        for start in range(0, len(ordered), batch_size):
            batch = ordered[start : start + batch_size]
            tokens = tokenizer(batch).to(model.temperature.device)
            rows.append(model.encode_text(tokens, normalize=True))
            advance(len(batch))
    place = {text: i for i, text in enumerate(ordered)}
    return torch.cat(rows)[[place[text] for text in texts]]
