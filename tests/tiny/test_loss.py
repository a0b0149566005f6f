"""ALIGN's loss where several captions are true of one image."""

import torch
from torch.nn import functional as F

from align_zoo.tiny.trainer import caption_loss


def similarity(rows=6, columns=6):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(0)) * 3


def test_loss_without_false_negatives_is_aligns_unsmoothed():
    logits, rivals, target = similarity(), ~torch.eye(6, dtype=torch.bool), torch.arange(6)
    plain = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    torch.testing.assert_close(caption_loss(logits, rivals), plain)


def test_both_sets_of_captions_count_equally():
    logits, rivals = similarity(), ~torch.eye(6, dtype=torch.bool)
    one = caption_loss(logits, rivals)
    two = caption_loss(logits.repeat(1, 2), rivals.repeat(1, 2), each=2)
    assert two > one  # every image has twice the rivals


def test_true_captions_of_other_images_are_excluded():
    logits, rivals = similarity(), ~torch.eye(6, dtype=torch.bool)
    rivals[0, 3] = False
    changed = logits.clone()
    changed[0, 3] += 5
    torch.testing.assert_close(caption_loss(logits, rivals), caption_loss(changed, rivals))


def test_captions_without_an_image_are_all_negatives():
    logits, rivals = similarity(columns=8), ~torch.eye(6, 8, dtype=torch.bool)
    worse = logits.clone()
    worse[:, 6:] += 5
    assert caption_loss(worse, rivals) > caption_loss(logits, rivals)
