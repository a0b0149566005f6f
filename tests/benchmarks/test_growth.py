"""Curves of a growing load, on a real server."""

import json

import pytest

from align_zoo import AlignZooError
from benchmarks.growth import CURVES, Growth, measure
from benchmarks.growth_chart import draw_growth


@pytest.fixture
def growth(server):
    return Growth(
        server.grpc_url,
        server.pid,
        seconds=0.05,
        minutes=0.01,
        label_counts=(1, 3),
        sizes=(0.01, 0.1),
        caller_counts=(1, 2),
    )


def test_curves_have_a_point_per_step(growth, tmp_path):
    file = tmp_path / "growth.json"
    content = measure(growth, file, resume=False)
    assert json.loads(file.read_text()) == content
    assert content["curves"].keys() == CURVES.keys()
    steps = {"labels": [1, 3], "megapixels": [0.01, 0.1], "callers": [1, 2]}
    for name, expected in steps.items():
        assert [point[name] for point in content["curves"][name]] == expected
    for curve in content["curves"].values():
        assert all(value > 0 for point in curve for value in point.values())
    draw_growth(content, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_resumed_run_measures_only_missing_points(growth, tmp_path):
    file = tmp_path / "growth.json"
    content = measure(growth, file, resume=False)
    kept = {name: curve for name, curve in content["curves"].items() if name != "callers"}
    file.write_text(json.dumps({**content, "curves": kept}))
    again = measure(growth, file, resume=True)["curves"]
    assert {name: again[name] for name in kept} == kept
    assert again["callers"] != content["curves"]["callers"]


def test_curves_of_another_checkpoint_are_refused(growth, tmp_path):
    other = {"machine": {}, "served": {"checkpoint": "another"}, "curves": {}}
    (tmp_path / "growth.json").write_text(json.dumps(other))
    with pytest.raises(AlignZooError, match=r"growth.json is of another checkpoint"):
        measure(growth, tmp_path / "growth.json", resume=True)
