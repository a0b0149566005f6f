"""The package as its users get it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import align_client
from align_client import AlignClient, InvalidInput

SOURCES = sorted(Path(align_client.__file__).parent.glob("*.py"))


def test_the_public_surface_is_what_all_names():
    assert align_client.__all__ == sorted(align_client.__all__)
    public = {n for n in vars(align_client) if not n.startswith("_")}
    modules = {path.stem for path in SOURCES}
    assert public - modules == set(align_client.__all__)


def test_importing_it_brings_no_framework_and_no_image_plugin():
    code = (
        "import sys, align_client\n"
        "heavy = {'torch', 'timm', 'transformers', 'torchvision', 'align_zoo', 'scipy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert not [m for m in sys.modules if m.startswith('PIL.') and m.endswith('Plugin')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_the_syntax_is_python_3_9(path):
    ast.parse(path.read_text(), feature_version=(3, 9))


@pytest.mark.parametrize(
    "url", ["http://localhost:8001", "grpc://h:1", "localhost", "", None, 8001, "\ud800:1"]
)
def test_an_address_is_host_and_port(url):
    with pytest.raises(InvalidInput, match="host:port, such as 'localhost:8001'"):
        AlignClient(url)


@pytest.mark.parametrize(
    "options",
    [{"timeout": t} for t in (0, -1, float("nan"), float("inf"), "30", None)]
    + [{"max_in_flight": n} for n in (0, 1.5, True, "1")]
    + [{"label_cache_size": n} for n in (-1, 1.5, None)],
)
def test_an_option_out_of_range_is_named(options):
    with pytest.raises(InvalidInput, match=next(iter(options))):
        AlignClient("localhost:1", **options)
