"""The bounds of what a text tower takes: the last that fits does, the next is refused."""

from __future__ import annotations

import pytest
import torch

from align_zoo import InvalidText
from align_zoo.checkpoint.config import TextConfig
from align_zoo.towers.text_tokens import check_tokens

SHAPE = TextConfig(vocab_size=9, max_position_embeddings=4, type_vocab_size=3)
IDS = torch.tensor([[0, 8, 8, 0]])


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_all_positions_ids_and_types_are_accepted(dtype):
    check_tokens(SHAPE, IDS.to(dtype), torch.ones_like(IDS), torch.tensor([[0, 2, 2, 0]]))


@pytest.mark.parametrize("change", [-1, 1])
def test_an_id_beyond_either_end_is_named(change):
    ids = IDS + change
    with pytest.raises(InvalidText, match=rf"token id {-1 if change < 0 else 9} is not in"):
        check_tokens(SHAPE, ids)


def test_one_token_more_than_positions_is_refused():
    with pytest.raises(InvalidText, match="5 tokens; this model has 4 positions"):
        check_tokens(SHAPE, torch.zeros(1, 5, dtype=torch.int64))


def test_ids_without_values_are_taken_by_their_shape():
    check_tokens(SHAPE, IDS.to("meta"))
    with pytest.raises(InvalidText, match="5 tokens"):
        check_tokens(SHAPE, torch.zeros(1, 5, dtype=torch.int64, device="meta"))
