"""The loss: names among all names, several right keywords, images of one concept."""

import pytest
import torch
from torch.nn import functional as F

from align_zoo.emoji.trainer import Target, emoji_loss
from align_zoo.towers.dual_encoder import AlignOutput

TEMPERATURE = torch.tensor(0.1)
CONCEPT = torch.tensor([0, 0, 2, 2])
FITS = torch.tensor([[True, False], [True, False], [True, False], [True, False]])


def output(images, texts):
    images, texts = F.normalize(images, dim=1), F.normalize(texts, dim=1)
    logits = images @ texts.T / TEMPERATURE
    return AlignOutput(images, texts, logits, logits.T, None)


def loss(images, texts, fits=FITS):
    return emoji_loss(output(images, texts), TEMPERATURE, Target(CONCEPT, fits)).item()


def test_right_embeddings_have_the_least_loss():
    names = torch.eye(4)[:3]
    texts = torch.cat([names, torch.ones(1, 4), torch.eye(4)[3:]])
    right, wrong = names[CONCEPT], names[CONCEPT.flip(0)]
    assert loss(right, texts) < loss(wrong, texts)


def test_few_truths_make_a_finite_loss():
    fits = FITS.clone()
    fits[2:] = False  # two images that no further text is true of, one text of no image
    assert 0 < loss(torch.randn(4, 8), torch.randn(5, 8), fits) < 100


def test_every_part_has_a_gradient():
    images = torch.randn(4, 8, requires_grad=True)
    texts = torch.randn(5, 8, requires_grad=True)
    emoji_loss(output(images, texts), TEMPERATURE, Target(CONCEPT, FITS)).backward()
    assert images.grad.abs().sum(dim=1).min() > 0
    assert texts.grad.abs().sum(dim=1).min() > 0


def test_a_missing_embedding_is_an_error():
    with pytest.raises(ValueError, match="both embeddings"):
        emoji_loss(AlignOutput(None, None, None, None, None), TEMPERATURE, Target(CONCEPT, FITS))
