"""What a TIFF's directory says is judged in either width of it, and in every type of number."""

from __future__ import annotations

import struct

import pytest
from fuzz.files import Entry, bigtiff, tiff

from align_zoo import InvalidImage
from align_zoo.inputs.cost.judge import MAX_PARTS
from align_zoo.inputs.decode import decode_image

WIDTH, HEIGHT = (256, 3, 1, 8), (257, 3, 1, 8)
ONE_BIT: list[Entry] = [WIDTH, HEIGHT, (258, 3, 1, 1), (259, 3, 1, 1), (262, 3, 1, 1)]
TILE: list[Entry] = [(322, 3, 1, 16), (323, 3, 1, 16), (324, 4, 1, bytes(256))]
MANY = MAX_PARTS + 1


def refused(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidImage) as caught:
        decode_image(data)
    assert caught.value.reason == reason


@pytest.mark.parametrize("make", [tiff, bigtiff])
def test_either_width_is_decoded(make):
    assert decode_image(make([*ONE_BIT, *TILE])).size == (8, 8)


@pytest.mark.parametrize("make", [tiff, bigtiff])
@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([(322, 4, 1, 23_000), (323, 4, 1, 23_000)], "too_many_pixels"),
        ([(322, 4, 3, struct.pack("<3I", 23_000, 1, 1)), (323, 4, 1, 23_000)], "too_many_pixels"),
        ([(273, 4, MANY, bytes(4 * MANY))], "too_many_parts"),
        ([(324, 1, MANY, bytes(MANY))], "too_many_parts"),
        ([(259, 3, 1, 4)], "format"),
        ([(259, 4, 3, struct.pack("<3I", 4, 1, 1))], "format"),
    ],
    ids=["tile", "tile elsewhere", "strips", "tiles", "compression", "compression elsewhere"],
)
def test_either_width_is_judged(make, entries, reason):
    refused(make([*(e for e in ONE_BIT if e[0] != 259), *entries, (273, 4, 1, 8)]), reason)


def test_larger_of_two_tile_sizes_is_judged():
    sides = [(322, 4, 1, 23_000), (322, 4, 1, 16), (323, 4, 1, 23_000), (323, 4, 1, 16)]
    refused(tiff([*ONE_BIT, *sides, (324, 4, 1, 8)]), "too_many_pixels")


NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q"}


@pytest.mark.parametrize("kind", NUMBERS)
def test_a_number_counts_whatever_its_type(kind):
    """Elsewhere in the file, as the first of many; libtiff reads types that Pillow does not."""
    first = struct.pack("<" + NUMBERS[kind], 127 if kind in (1, 6) else 30_000)
    sides = [(tag, kind, 9, first * 9) for tag in (322, 323)]
    with pytest.raises(InvalidImage) as caught:
        decode_image(tiff([*ONE_BIT, *sides, (324, 4, 1, 8)]), max_pixels=16_000)
    assert caught.value.reason == "too_many_pixels"


@pytest.mark.parametrize("tag", [34665, 34853, 40965])
def test_the_values_of_exifs_directories_are_counted(tag):
    entries = [*ONE_BIT, (tag, 4, 1, 8 + 2 + 12 * 6 + 4)]
    refused(tiff(entries) + struct.pack("<HHHII", 1, 700, 5, MANY, 8), "too_many_parts")


def test_the_entries_themselves_are_counted():
    entry = struct.pack("<HHII", 65000, 7, 1, 0)
    refused(b"II*\0" + struct.pack("<IH", 8, MANY) + entry * MANY + bytes(4), "too_many_parts")


def test_bytes_of_text_do_not_count_as_parts():
    texts = [(65000 + kind, kind, MANY, b"a" * MANY) for kind in (1, 2, 7)]
    assert decode_image(tiff([*ONE_BIT, *TILE, *texts])).size == (8, 8)
