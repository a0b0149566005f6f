"""What the tests of training share."""

from __future__ import annotations

import pytest
from captioned import draw_pairs


@pytest.fixture(scope="session")
def pairs_csv(tmp_path_factory):
    """The CSV of 24 captioned shapes."""
    return draw_pairs(tmp_path_factory.mktemp("pairs"), 24)
