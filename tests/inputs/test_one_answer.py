"""One file has the same pixels by every entry: server, library and client, shrunk or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from entries import seen, seen_resized
from fuzz.samples import samples as written_samples
from tiff_files import Layout, samples, tiff_file

import align_client.pixels
import align_zoo.inputs.pixels

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of odd files

LAYOUTS = [
    Layout(photometric, bits, sample_format, extra, order, compression=compression)
    for photometric, bits, sample_format, extra in [
        *[(0, bits, 1, ()) for bits in (1, 2, 4, 8, 16)],
        *[(1, bits, 1, ()) for bits in (1, 2, 4, 8, 12, 16, 32)],
        *[(1, 8, 1, (1,)), (1, 8, 1, (2,)), (1, 8, 2, ()), (1, 16, 2, ()), (1, 32, 3, ())],
        *[(2, 8, 1, ()), (2, 8, 1, (1,)), (2, 8, 1, (2,)), (2, 16, 1, ()), (2, 16, 1, (2,))],
        *[
            (3, 1, 1, ()),
            (3, 4, 1, ()),
            (3, 8, 1, ()),
            (5, 8, 1, ()),
            (5, 16, 1, ()),
            (6, 8, 1, ()),
        ],
    ]
    for order in "<>"
    for compression in (1, 5)
]
FILES = {
    **written_samples(),
    **{f"TIFF {layout}": tiff_file(layout, samples(layout)) for layout in LAYOUTS},
}


def test_both_packages_have_the_same_rules():
    ours, theirs = (Path(each.__file__) for each in (align_zoo.inputs.pixels, align_client.pixels))
    assert ours.read_text() == theirs.read_text()


def assert_one(answers: dict[str, np.ndarray | str]) -> None:
    first = next(iter(answers.values()))
    for way, answer in answers.items():
        assert isinstance(answer, str) == isinstance(first, str), f"{way}: {answer}"
        assert np.array_equal(answer, first), way


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_one_answer_by_every_entry(name, tmp_path):
    assert_one(seen(FILES[name], tmp_path / "image"))


@pytest.mark.parametrize("layout", [each for each in LAYOUTS if each.compression == 1], ids=str)
def test_a_shrunk_tiff_has_the_servers_pixels(layout, tmp_path):
    assert_one(seen_resized(tiff_file(layout, samples(layout, 300, 240)), tmp_path / "image"))
