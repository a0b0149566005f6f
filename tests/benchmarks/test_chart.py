"""The comparison as bars."""

import pytest
from PIL import Image
from typer.testing import CliRunner

from benchmarks.chart import described, draw, extent, wanted_at, words
from benchmarks.results import Row, write_rows

RATIO = Row("tower", "batch 1", "eager", "/s", 6.0, 3.0, ratio=2.0, target=1.9)
LIMIT = Row("memory", "all", "eager", "MB", 1200, 1000, ratio=1.2, target=1.1, at_most=True)
OWN = Row("start", "with the cache", "", "s", 9.0, target=12.0, at_most=True)
PLAIN = Row("start", "without the cache", "", "s", 44.0)


@pytest.mark.parametrize(
    ("row", "length", "tick"), [(RATIO, 2.0, 1.9), (LIMIT, 1.2, 1.1), (OWN, 0.75, 1.0)]
)
def test_bar_and_tick_are_on_one_scale(row, length, tick):
    assert (extent(row), wanted_at(row)) == (length, tick)


@pytest.mark.parametrize("row", [RATIO, LIMIT, OWN])
def test_bar_and_tick_agree_with_the_verdict(row):
    beyond = extent(row) >= wanted_at(row)
    assert beyond is (row.verdict == ("miss" if row.at_most else "pass"))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (RATIO, "2.00x   wanted ≥ 1.9x: pass"),
        (LIMIT, "1.20x   wanted ≤ 1.1x: miss"),
        (OWN, "9 s   wanted ≤ 12 s: pass"),
        (PLAIN, "44 s"),
    ],
)
def test_the_verdict_is_written_beside_the_bar(row, said):
    assert words(row) == said


def test_row_without_a_goal_has_no_tick():
    assert wanted_at(PLAIN) is None


def drawn(tmp_path, parts):
    write_rows(tmp_path / "results.json", {"cpu": "x", "cores": 2, "memory": "8 kB"}, parts)
    draw(tmp_path / "results.json", tmp_path / "chart.png")
    with Image.open(tmp_path / "chart.png") as image:
        return image.convert("RGB")


def test_every_row_adds_to_the_image(tmp_path):
    one, four = drawn(tmp_path, {"a": [RATIO]}), drawn(tmp_path, {"a": [RATIO] * 4})
    assert one.width == four.width
    assert four.height > one.height


def test_pass_and_miss_have_colours_of_their_own(tmp_path):
    colours = [
        {colour for _, colour in drawn(tmp_path, {"a": [row]}).getcolors(1 << 20)}
        for row in (RATIO, LIMIT)
    ]
    assert (0x1B, 0x7F, 0x79) in colours[0] - colours[1]
    assert (0xD1, 0x49, 0x5B) in colours[1] - colours[0]


def test_a_run_without_rows_is_drawn_too(tmp_path):
    assert drawn(tmp_path, {"infinity": []}).width > 0


def test_missing_file_is_named(tmp_path, monkeypatch):
    import typer

    from benchmarks.chart import main

    app = typer.Typer()
    app.command()(main)
    monkeypatch.chdir(tmp_path)  # a short path: the message is not wrapped
    done = CliRunner().invoke(app, ["none.json", "chart.png"])
    assert done.exit_code == 2
    assert "does not exist" in done.output


def test_machines_differ_by_their_vector_width():
    wide, narrow, unknown = (described({"cpu": "x", "avx512": has}) for has in (True, False, None))
    assert (wide, narrow, unknown) == ("x, AVX-512", "x, no AVX-512", "x")
