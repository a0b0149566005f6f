"""The evaluation counts what it says it counts."""

import json

import numpy as np
import pytest
from PIL import Image

from align_zoo.emoji.concepts import Concept
from align_zoo.emoji.drawings import SIDE, Drawings
from align_zoo.emoji.evaluate import draw_curves, draw_mistakes
from align_zoo.emoji.measure import Embedded, beyond_the_name, figures, others, wordings
from align_zoo.emoji.packages import HELD_OUT_STYLE

CONCEPTS = [
    Concept("1", "cat face", ("cat", "pet"), "animals", "mammal"),
    Concept("2", "dog face", ("pet", "bone"), "animals", "mammal"),
    Concept("3", "taxi", ("car",), "travel", "ground"),
]
COLOURS = np.eye(3, dtype=np.float32)


class Knowing:
    """Embeds a text as the concept that it names; a keyword or group as the mean of those."""

    def texts(self, texts):
        rows = []
        for text in texts:
            named = [i for i, each in enumerate(CONCEPTS) if each.name in text]
            said = [i for i, each in enumerate(CONCEPTS) if text in (*each.keywords, each.group)]
            rows.append(COLOURS[named or said].mean(axis=0))
        return np.stack(rows)


@pytest.fixture
def embedded():
    style = ["noto"] * 3 + [HELD_OUT_STYLE] * 3
    pixels = np.full((6, SIDE, SIDE, 4), 255, np.uint8)
    drawings = Drawings(CONCEPTS, pixels, np.array([0, 1, 2] * 2), style)
    drawings.__dict__["held_out"] = np.zeros(3, bool)
    images = np.concatenate([COLOURS, COLOURS])
    images[5] = [0.0, 0.96, 0.28]  # the taxi of the new style is taken for the dog
    return Embedded(drawings, Knowing(), images)


def rows(embedded):
    return embedded.drawings.rows([HELD_OUT_STYLE])


def test_all_figures_are_counted(embedded):
    assert figures(embedded, rows(embedded)) == {
        "name among all names, first": pytest.approx(2 / 3),
        "name among all names, in five": 1,
        "same concept in noto": pytest.approx(2 / 3),
        "a keyword's image in the first 10": 1,
        "group": pytest.approx(2 / 3),
    }


def test_known_images_are_all_right(embedded):
    found = figures(embedded, embedded.drawings.rows(["noto"]))
    assert found.pop("same concept in noto") is None  # no image is asked to find itself
    assert set(found.values()) == {1}


def test_wordings_find_the_same_names(embedded):
    found = wordings(embedded)
    assert len(found) > 3
    assert all(each == (pytest.approx(2 / 3), 1) for each in found.values())


def test_keywords_of_the_name_do_not_count():
    assert beyond_the_name(CONCEPTS[0]) == ["pet"]
    assert beyond_the_name(Concept("4", "red-haired man", ("red hair", "person"), "", "")) == [
        "person"
    ]


def test_the_worst_mistake_names_the_wrong_concept(embedded):
    (row, wrong), *_ = embedded.worst_mistakes(rows(embedded), 1)
    assert (row, wrong.name) == (5, "dog face")


def test_mistakes_are_drawn_on_a_sheet(embedded, tmp_path):
    draw_mistakes(embedded, tmp_path, 2)
    with Image.open(tmp_path / "mistakes.png") as sheet:
        assert sheet.width > 400
    assert (tmp_path / "mistakes" / "taxi.png").exists()


def test_curves_are_drawn_of_a_log(tmp_path):
    lines = [{"step": 0, "name_first": 0.0, "name_in_five": 0.1}, {"step": 10, "loss": 3.0}]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    draw_curves([tmp_path / "log.jsonl"], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_other_images_are_photographs_blanks_and_text():
    names = list(others())
    assert sum(name.startswith("photograph") for name in names) == 2
    assert sum(name.startswith("blank") for name in names) == 3
    assert "a page of text" in names
