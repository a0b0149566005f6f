"""A disk that fills up ends training in a line, and what was saved before is still there."""

from __future__ import annotations

import resource
from contextlib import contextmanager

import pytest
from captioned import run


@contextmanager
def files_of_at_most(size: int):
    """As if the disk were full beyond that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# The log, the model's weights, the optimizer's state, which is larger.
@pytest.mark.parametrize("size", [10, 1_000_000, 2_500_000])
def test_full_disk_leaves_no_partial_state(pairs_csv, tmp_path, size):
    options = ["--steps", "2", "--save-every", "1"]
    with files_of_at_most(size):
        done = run(pairs_csv, tmp_path, *options)
    assert done.exit_code == 1
    assert done.output.splitlines()[-1].startswith("align-zoo: the ")
    assert [path.name for path in (tmp_path / "training").glob("state*")] == []


@pytest.mark.parametrize("out", ["pairs.csv/out", "/proc/out"])
def test_folder_that_cannot_be_made_is_named(pairs_csv, out):
    done = run(pairs_csv, pairs_csv.parent / out, "--steps", "1")
    assert done.exit_code == 1
    assert done.output.startswith("align-zoo: the training cannot go on: ")
    assert out in done.output
