"""Makes align_tiny's WordPiece vocabulary and its BERT tokenizer."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from transformers import BertTokenizer

from align_zoo.checkpoint.config import TextConfig
from align_zoo.inputs.tokenizer import AlignTokenizer
from align_zoo.tiny.captions import write_caption, write_unrelated
from align_zoo.tiny.concepts import ALL_COLOURS, ALL_SHAPES, DIGIT_WORDS, SIZES, Meaning

MAX_TOKENS = 64
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

# Common English, so that a user's label is not divided into letters.
COMMON = (
    "the of and to in is it that was for on are with as be at have from or by but not what all "
    "were when we there can an your which their said if do will each about how up out them then "
    "she many some so these would other into has more two like him see time could no make than "
    "first been its who now people over know water way most get through back much before go "
    "good new write used me man too any day same right look think also around another came come "
    "work three word must because does part even place well such here take why things help put "
    "years different away again off went old number great tell men say every found still between "
    "name should home big give air line set own under read last never us left end along while "
    "might next sound below saw something thought both few those always looked show large often "
    "together asked house world going want school important until form food keep children feet "
    "land side without boy once animal life enough took four head above kind began almost live "
    "page got earth need far hand high year mother light country father let night picture being "
    "study second soon story since white ever paper hard near sentence better best across during "
    "today however sure knew try told young sun thing whole hear example heard several change "
    "answer room sea against top turned learn point city play toward five himself usually money "
    "seen car morning body upon family later turn move face door cut done group true half fish "
    "plant living black eat short run book wood gold tree silver bright dark deep cold warm hot "
    "grey gray cyan magenta violet gold beige pale colour color shape oval rectangle diamond arrow "
    "line dot box hexagon pentagon letter symbol icon logo sign drawing photo image painting "
    "sketch rendering background texture pattern stripes noise blurry clear"
).split()


def _caption_words(samples: int = 4000) -> set[str]:
    """Collect the words of the caption writer from captions that it writes."""
    words: set[str] = set()
    for index in range(samples):
        rng = np.random.default_rng([index])
        colour = ALL_COLOURS[index % len(ALL_COLOURS)]
        size = (None, *SIZES)[index % 3]
        shape = Meaning(colour, shape=ALL_SHAPES[index % len(ALL_SHAPES)], size=size)
        digit = Meaning(colour, digit=index % 10, size=size)
        for meaning in (shape, digit):
            words.update(re.findall("[a-z]+", write_caption(meaning, rng)[0]))
        words.update(re.findall("[a-z]+", write_unrelated(rng)))
    return words


def build_vocabulary() -> list[str]:
    """List the tokens in the order of their ids: special, characters, pieces, words."""
    characters = [*string.ascii_lowercase, *string.digits]
    endings = ["##s", "##es", "##ed", "##er", "##ing", "##ly", "##ish"]
    pieces = [f"##{character}" for character in characters]
    words = {*_caption_words(), *COMMON, *DIGIT_WORDS} - set(characters)
    ordered = [*SPECIAL, *string.punctuation, *characters, *pieces, *endings, *sorted(words)]
    return list(dict.fromkeys(ordered))


def save_tokenizer(folder: Path, tokens: Sequence[str]) -> BertTokenizer:
    """Write vocab.txt, tokenizer.json and tokenizer_config.json.

    Args:
        folder: An existing folder.
        tokens: The tokens in the order of their ids.

    Returns:
        The tokenizer, as the folder's files give it.
    """
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    tokenizer = BertTokenizer(
        vocab={token: index for index, token in enumerate(tokens)},
        do_lower_case=True,
        model_max_length=MAX_TOKENS,
    )
    tokenizer.save_pretrained(folder)
    return BertTokenizer.from_pretrained(folder)


def make_tokenizer(tokens: Sequence[str], config: TextConfig) -> AlignTokenizer:
    """Make the tokenizer that the files of ``save_tokenizer`` give."""
    with TemporaryDirectory() as folder:
        save_tokenizer(Path(folder), tokens)
        return AlignTokenizer.from_folder(Path(folder), config)
