"""Makes align_emoji's WordPiece vocabulary: trained on captions, with letters to fall back to."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from align_zoo.emoji.captions import WORDINGS, write
from align_zoo.emoji.concepts import Concept
from align_zoo.tiny.vocabulary import SPECIAL

__all__ = ["train_vocabulary"]

SIZE = 3_000
_TYPOGRAPHY = "\u2019\u2018\u201c\u201d\u2013\u2014\u2026\u00b0\u20ac\u00a3\u00a5"


def train_vocabulary(concepts: Sequence[Concept], size: int = SIZE) -> list[str]:
    """List the tokens in the order of their ids: special, characters, trained pieces.

    Every letter and digit is a token, at a word's start and inside. So a word that no caption has
    is spelled.

    Args:
        concepts: those of the training.
        size: how many tokens at most.
    """
    characters = [*string.ascii_lowercase, *string.digits]
    inside = [f"##{character}" for character in characters]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fixed = [*SPECIAL, *string.punctuation, *_TYPOGRAPHY, *characters, *inside]
    # All are special to the trainer: it would number others by chance, and break ties by numbers.
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=fixed, show_progress=False)
    tokenizer.train_from_iterator(_texts(concepts), trainer)
    numbered = tokenizer.get_vocab()
    return sorted(numbered, key=numbered.__getitem__)


def _texts(concepts: Sequence[Concept]) -> Iterator[str]:
    for each in concepts:
        yield from (each.name, *each.keywords, each.group, each.subgroup)
    for wording in WORDINGS:
        yield from [write(wording, "cat")] * len(concepts)
