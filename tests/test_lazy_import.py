"""Importing align_zoo is cheap, and registers the towers whatever the order of imports."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
from forked import run_forked

import align_zoo

LIST = "print(timm.list_models('align_*'))"
NAMES = str(
    [f"align_{size}_{kind}" for size in ("base", "emoji", "tiny") for kind in ("image", "text")]
)


ORDERS = [
    "import timm, align_zoo",
    "import align_zoo, timm",
    "import align_zoo.towers.align_text; import timm",
    "import align_zoo.towers.dual_encoder; import timm",
    "from align_zoo import create_align; import timm",
]


@pytest.fixture(scope="module")
def listed():
    """By order of imports, what a process says that then lists the towers."""
    below = "import torch, torchvision, transformers"  # which know neither timm nor align_zoo
    code = f"import sys; exec(sys.argv[1]); {LIST}"
    return dict(zip(ORDERS, run_forked(below, code, [[each] for each in ORDERS]), strict=True))


@pytest.mark.parametrize("order", ORDERS)
def test_the_towers_are_registered(listed, order):
    assert listed[order].stdout.strip() == NAMES, listed[order].stderr


def test_importing_it_imports_no_torch():
    code = "import sys, align_zoo, align_zoo.cli; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_help_imports_neither_torch_nor_a_server():
    code = """
import sys
from align_zoo.cli import app
app(["--help"], standalone_mode=False)
heavy = {"torch", "timm", "transformers", "onnxruntime", "numpy", "PIL", "grpc", "aiohttp"}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Usage:" in done.stdout
    assert done.stderr.strip() == "[]"


def test_no_public_name_is_hidden_by_a_module():
    for name in align_zoo.__all__:
        assert importlib.util.find_spec(f"align_zoo.{name}") is None, name
        assert name in dir(align_zoo)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        align_zoo.nothing  # noqa: B018
