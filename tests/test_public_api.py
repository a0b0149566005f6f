"""The public surface is what ``__all__`` says."""

from __future__ import annotations

import align_zoo


def test_all_names_exist_and_are_documented():
    for name in align_zoo.__all__:
        assert getattr(align_zoo, name).__doc__, name


def test_errors_are_one_tree():
    for name in align_zoo.__all__:
        thing = getattr(align_zoo, name)
        if isinstance(thing, type) and issubclass(thing, Exception):
            assert issubclass(thing, align_zoo.AlignZooError)


def test_one_call_gives_all_three_pieces():
    model, transform, tokenizer = align_zoo.create_align("align_tiny")
    assert not model.training
    assert transform.input_size == (49, 49)
    assert tokenizer("a red circle")["input_ids"].ndim == 2
