"""The loss: names among all names, right keywords, groups, images of one concept, no emoji."""

import pytest
import torch
from torch.nn import functional as F

from align_zoo.emoji.trainer import Target, emoji_loss
from align_zoo.towers.dual_encoder import AlignOutput

TEMPERATURE = torch.tensor(0.1)
CONCEPT = torch.tensor([0, 0, 2, 2])
GROUP = torch.eye(2, dtype=torch.bool)[[0, 0, 1, 1]]
# The last image shows no emoji, and the last keyword says nothing.
FITS = torch.eye(2, dtype=torch.bool)[[0, 0, 0, 0, 1]]
NAMES, KEYWORDS, GROUPS, NOTHING = torch.eye(8).split([3, 1, 2, 2])


def output(images, texts):
    images, texts = F.normalize(images, dim=1), F.normalize(texts, dim=1)
    logits = images @ texts.T / TEMPERATURE
    return AlignOutput(images, texts, logits, logits.T, None)


def loss(images, texts, fits=FITS):
    return emoji_loss(output(images, texts), TEMPERATURE, Target(CONCEPT, fits, GROUP)).item()


def embeddings(order=(0, 1, 2, 3)):
    """Return five images beside the texts that are true of them, in an order of the drawings."""
    drawings = NAMES[CONCEPT] + KEYWORDS + GROUPS[GROUP.int().argmax(dim=1)]
    images = torch.cat([drawings[list(order)], NOTHING[:1]])
    return images, torch.cat([NAMES, KEYWORDS, NOTHING[:1], GROUPS])


def test_right_embeddings_have_the_least_loss():
    images, texts = embeddings()
    swapped, _ = embeddings(order=(2, 3, 0, 1))
    assert loss(images, texts) < loss(swapped, texts)


@pytest.mark.parametrize("text", range(3, 7), ids=["keyword", "nothing", "one group", "the other"])
def test_a_text_that_is_far_costs(text):
    images, texts = embeddings()
    moved = texts.clone()
    moved[text] = NOTHING[1]
    assert loss(images, texts) < loss(images, moved)


@pytest.mark.parametrize("like", [0, 3], ids=["a name", "a keyword"])
def test_an_image_without_emoji_matches_nothing(like):
    images, texts = embeddings()
    near = images.clone()
    near[4] += texts[like]
    assert loss(images, texts) < loss(near, texts)


def test_few_truths_make_a_finite_loss():
    fits = FITS.clone()
    fits[2:] = False  # images that no further text is true of, one text of no image
    assert 0 < loss(torch.randn(5, 8), torch.randn(7, 8), fits) < 100


def test_every_part_has_a_gradient():
    images = torch.randn(5, 8, requires_grad=True)
    texts = torch.randn(7, 8, requires_grad=True)
    emoji_loss(output(images, texts), TEMPERATURE, Target(CONCEPT, FITS, GROUP)).backward()
    assert images.grad.abs().sum(dim=1).min() > 0
    assert texts.grad.abs().sum(dim=1).min() > 0


def test_a_missing_embedding_is_an_error():
    target = Target(CONCEPT, FITS, GROUP)
    with pytest.raises(ValueError, match="both embeddings"):
        emoji_loss(AlignOutput(None, None, None, None, None), TEMPERATURE, target)
