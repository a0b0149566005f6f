"""When does nothing match? `python -m benchmarks.collections.nothing` compares criteria for it.

Random collections of new drawings, of one concept or of many, from one image to hundreds, are
searched for concepts that are there and for others that are not. A flat cutoff is chosen with
hindsight, on the very searches that are reported; every other criterion has one constant, chosen on
collections of other seeds (the product's are in `align_zoo/collection/matching.py`). Prints the
tables of docs/collections.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer

from align_zoo.collection.embedder import EncoderEmbedder
from align_zoo.collection.matching import find_matches
from align_zoo.collection.query import Term, weighted_sum
from align_zoo.tiny.captions import write_unrelated
from align_zoo.tiny.concepts import ALL_COLOURS, ALL_SHAPES, DIGIT_WORDS
from benchmarks.collections.world import World, combination, searched_texts

__all__ = ["Judgement", "Search", "judge", "searches"]

_HITS = 10
"""Hits of a search that are judged."""
_STRANGE = (
    "volcano, spaghetti, wedding dress, dinosaur, airport at night, people dancing, helicopter, "
    "a plate of sushi, castle ruins, a violin player, penguin, kangaroo, a steam engine, "
    "my grandmother, skyscraper, toothbrush, laptop on a desk, a medieval knight, a bowl of soup"
).split(", ")
"""Words that align_tiny has never seen."""


@dataclass(frozen=True)
class Search:
    """A search with its hits, the nearest first."""

    collection: int
    kind: str
    """What is searched for: "text", "sum" or "image"; "strange" are words that mean nothing."""
    size: int
    """The collection's images."""
    right: np.ndarray
    """Which hits show what is asked for."""
    present: bool
    """Whether an image of the collection does."""
    scores: dict[str, np.ndarray]
    """By criterion: what is compared with a constant, for each hit."""


@dataclass(frozen=True)
class Judgement:
    """How a criterion does on some searches, shares of 0 to 1."""

    constant: float
    precision: float
    """Of the hits that are shown, those that are right."""
    recall: float
    """Of the right hits, those that are shown."""
    found: float
    """Of the searches for what is there, those that show a right hit."""
    nothing: float
    """Of the searches for what is not there, those that show no hit."""

    @property
    def balanced(self) -> float:
        """The mean of ``found`` and ``nothing``."""
        return (self.found + self.nothing) / 2


def searches(world: World, strangers: World, seed: int, count: int) -> list[Search]:
    """Search random collections, for what is there, for what is not, and by images.

    Args:
        world: where the collections are from.
        strangers: where the images are from that are searched for.
        seed: chooses the collections and the searches.
        count: how many collections.
    """
    texts = searched_texts()
    rows = dict(zip(texts, world.embedder.texts(list(texts)), strict=True))
    unrelated = {write_unrelated(np.random.default_rng([seed, i])) for i in range(150)}
    nowhere = {**dict.fromkeys(sorted(unrelated), "text"), **dict.fromkeys(_STRANGE, "strange")}
    rows |= dict(zip(nowhere, world.embedder.texts(list(nowhere)), strict=True))
    found: list[Search] = []
    for index in range(count):
        chance = np.random.default_rng([seed, index])
        ids = world.collection(chance)
        shown = [world.meanings[i] for i in ids]

        def ask(
            kind: str,
            terms: Sequence[Term],
            parts: Sequence[np.ndarray],
            right: np.ndarray,
            index: int = index,
            ids: np.ndarray = ids,
        ) -> None:
            found.append(_search(world, index, ids, kind, terms, parts, right))

        asked = {text: np.array([m.holds_for(s) for s in shown]) for text, m in texts.items()}
        for there, number in ((True, 30), (False, 20)):
            some = [text for text, right in asked.items() if right.any() == there]
            for i in chance.permutation(len(some))[:number]:
                ask("text", [Term(some[i])], [rows[some[i]]], asked[some[i]])
        for i in chance.permutation(len(nowhere))[:20]:
            text = list(nowhere)[i]
            ask(nowhere[text], [Term(text)], [rows[text]], np.zeros(len(ids), bool))
        for i in range(8):
            seen = shown[chance.integers(len(shown))] if i % 2 else None
            colour = seen.colour if seen else str(chance.choice(ALL_COLOURS))
            other = seen.shape if seen else str(chance.choice(ALL_SHAPES))
            if seen and seen.digit is not None:
                other = DIGIT_WORDS[seen.digit]
            assert colour is not None and other is not None
            right = asked[colour] & asked[other]
            ask("sum", [Term(colour), Term(other)], [rows[colour], rows[other]], right)
        present = {combination(m) for m in shown}
        for there in (True, False):
            some_images = [
                i for i, m in enumerate(strangers.meanings) if (combination(m) in present) == there
            ]
            for i in chance.choice(some_images, 6):
                m = strangers.meanings[i]
                right = np.array([combination(m) == combination(s) for s in shown])
                ask("image", [Term("./image.png")], [strangers.images[i]], right)
    return found


def _search(
    world: World,
    index: int,
    ids: np.ndarray,
    kind: str,
    terms: Sequence[Term],
    parts: Sequence[np.ndarray],
    right: np.ndarray,
) -> Search:
    query = weighted_sum(terms, parts)
    cosines = world.images[ids] @ query
    top = np.argsort(-cosines)[:_HITS]
    hits, own = ids[top], cosines[top]
    others = world.others[hits]
    temperature = world.embedder.temperature
    best = np.sort(world.others[ids].max(axis=0))
    highest = others.max(axis=1)
    logs = np.log(np.exp((others - highest[:, None]) / temperature).sum(axis=1))
    ten = np.sort(cosines)[-10:].mean() + np.sort(others, axis=1)[:, -10:].mean(axis=1)
    scores = {
        "flat cutoff of the cosine": own,
        "z-score over the collection": (own - cosines.mean()) / (cosines.std() + 1e-3),
        "z-score over the background texts": (own - others.mean(axis=1)) / others.std(axis=1),
        "margin over their 95 % quantile": own - np.quantile(others, 0.95, axis=1),
        "share of them that it beats": (others < own[:, None]).mean(axis=1),
        "softmax among them": (own - highest) / temperature - logs,
        "CSLS: less both sides' nearest": 2 * own - ten,
        "best hit among their best hits": np.full(len(own), (best < own.max()).mean()),
        _OURS: find_matches(terms, parts, world.background, len(ids), world.images[hits]) * 1.0,
    }
    return Search(index, kind, len(ids), right[top], bool(right.any()), scores)


_OURS = "**the criterion**"
_FLAT = "flat cutoff of the cosine"


def judge(some: Sequence[Search], criterion: str, constant: float) -> Judgement:
    """Count what a criterion shows of the hits when its score must reach a constant."""
    shown = [search.scores[criterion] >= constant for search in some]
    good = sum((s & search.right).sum() for s, search in zip(shown, some, strict=True))
    there = [(s & x.right).any() for s, x in zip(shown, some, strict=True) if x.present]
    away = [not s.any() for s, x in zip(shown, some, strict=True) if not x.present]
    return Judgement(
        constant,
        float(good / max(1, sum(s.sum() for s in shown))),
        float(good / max(1, sum(search.right.sum() for search in some))),
        float(np.mean(there)) if there else float("nan"),
        float(np.mean(away)) if away else float("nan"),
    )


def best(some: Sequence[Search], criterion: str, found: float = 0.0) -> Judgement:
    """Choose the constant of the best balance of ``found`` and ``nothing``.

    Args:
        some: the searches.
        criterion: whose constant.
        found: the least share of the searches for what is there that must show it.
    """
    values = np.concatenate([search.scores[criterion] for search in some])
    constants = np.unique(np.quantile(values, np.linspace(0.01, 0.99, 99)))
    judged = [judge(some, criterion, constant) for constant in constants]
    return max(judged, key=lambda j: (j.found >= found, j.balanced))


def _row(name: str, judgement: Judgement) -> str:
    values = [judgement.precision, judgement.recall, judgement.found, judgement.nothing]
    return f"| {name} | " + " | ".join(f"{value:.1%}" for value in values) + " |"


def main(
    count: Annotated[int, typer.Option(help="Collections that are reported.")] = 60,
    seed: Annotated[int, typer.Option(help="Draws images and collections.")] = 11,
    each: Annotated[int, typer.Option(help="Images of each combination.")] = 16,
) -> None:
    """Print the tables."""
    began = time.monotonic()
    embedder = EncoderEmbedder("align_tiny")
    world, strangers = World(embedder, seed, each), World(embedder, seed + 1, 4)
    tuning = searches(world, strangers, seed + 100, count // 2)
    reported = searches(world, strangers, seed + 200, count)
    sizes = sorted({(x.collection, x.size) for x in reported}, key=lambda pair: pair[1])
    print(f"{len(reported)} searches of {count} collections of {sizes[0][1]} to {sizes[-1][1]}.\n")

    def rows(first: str, names: Iterable[str], kinds: Sequence[str]) -> None:
        chosen = [x for x in tuning if x.kind in kinds]
        shown = [x for x in reported if x.kind in kinds]
        ours = judge(shown, _OURS, 0.5)
        print(f"| {first} | precision | recall | something found | nothing found |")
        print("|---|---:|---:|---:|---:|")
        print(_row(f"{_FLAT}, the best with hindsight", best(shown, _FLAT)))
        print(_row(f"{_FLAT}, as much found", best(shown, _FLAT, ours.found)))
        for name in names:
            print(_row(name, judge(shown, name, best(chosen, name).constant)))
        print(_row(_OURS, ours))
        print()

    words = ("text", "strange")
    rows("searches by words", [name for name in reported[0].scores if name != _OURS], words)
    rows("sums of two words", (), ("sum",))
    rows("searches by an image", (), ("image",))
    rows("all searches together", (), (*words, "sum", "image"))
    flat = best([x for x in reported if x.kind in words], _FLAT).constant
    for name, low, high in (("1 to 10", 0, 10), ("11 to 100", 10, 100), ("more", 100, 10**9)):
        some = [x for x in reported if x.kind in words and low < x.size <= high]
        print(_row(f"{name} images: the best flat cutoff", judge(some, _FLAT, flat)))
        print(_row(f"{name} images: the criterion", judge(some, _OURS, 0.5)))
    strange = [x for x in reported if x.kind == "strange"]
    known = [x for x in reported if x.kind == "text" and not x.present]
    for name, criterion, constant in (("flat cutoff", _FLAT, flat), ("criterion", _OURS, 0.5)):
        print(
            f"{name}: nothing for {judge(known, criterion, constant).nothing:.1%} of known words "
            f"and {judge(strange, criterion, constant).nothing:.1%} of words never seen"
        )
    print(f"\nin {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    typer.run(main)
