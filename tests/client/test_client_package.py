"""The package as users install it: names, imports, dependencies, arguments."""

import ast
import re
import subprocess
import sys
from importlib.metadata import files, requires
from pathlib import Path

import numpy as np
import pytest

import align_client
from align_client import AlignClient, InvalidInput

SOURCES = sorted(Path(align_client.__file__).parent.glob("*.py"))


def test_public_names_are_those_of_all():
    assert align_client.__all__ == sorted(align_client.__all__)
    public = {n for n in vars(align_client) if not n.startswith("_")}
    modules = {path.stem for path in SOURCES}
    assert public - modules == set(align_client.__all__)


def test_import_loads_no_framework_or_plugin():
    code = (
        "import sys, align_client\n"
        "heavy = {'torch', 'timm', 'transformers', 'torchvision', 'align_zoo', 'scipy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert not [m for m in sys.modules if m.startswith('PIL.') and m.endswith('Plugin')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_imported_packages_are_declared():
    """Each has a lower bound: tritonclient's own bounds allow a grpcio on which it fails."""
    wanted = [each for each in requires("align-client") if "extra ==" not in each]
    declared = {re.split(r"[^\w-]", each)[0] for each in wanted}
    trees = [ast.walk(ast.parse(path.read_text())) for path in SOURCES]
    nodes = [node for tree in trees for node in tree]
    modules = {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module} | {
        alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names
    }
    packages = {module.partition(".")[0] for module in modules}
    others = packages - sys.stdlib_module_names - {"align_client"}
    owners = {file.parts[0]: name for name in declared for file in files(name)}
    assert {owners.get(package) for package in others} == declared


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_the_syntax_is_python_3_9(path):
    ast.parse(path.read_text(), feature_version=(3, 9))


@pytest.mark.parametrize(
    "url",
    [
        *"http://h:1 grpc://h:1 triton://h:1 localhost h: h:65536 h:grpc :1 ::1:8001".split(),
        *"h:8001/ dns:///h:8001/ localhost:1.example:1 unix: unix://h/run/a unix-abstract:".split(),
        *"h:0 dns:///h:0 ipv4:10.0.0.1:0 ipv6:[::1]:0 ipv4:10.0.0.1:1,10.0.0.2:0".split(),
        *"ipv4:10.0.0.1 ipv4:h:1 ipv4:[::1]:1 ipv6:10.0.0.1:1 ipv4: dns: dns:// dns:///".split(),
        *"dns:////h:1 dns://8.8.8.8/h ipv4:10.0.0.1:1,".split(),
        *("", None, 8001, "\ud800:1", " h:8001", "h:8001\n"),
    ],
)
def test_invalid_url(url):
    with pytest.raises(InvalidInput, match="host:port, such as 'localhost:8001'"):
        AlignClient(url)


@pytest.mark.parametrize(
    "url",
    [
        *"h:1 a_b.c-d.:65535 bücher.example:1 [2001:db8::1]:1 [fe80::1%eth0]:1 dns:h:1".split(),
        *"dns:///h:1 dns://8.8.8.8/h:1 ipv4:10.0.0.1:1,10.0.0.2:1 ipv6:[::1]:1".split(),
        *"unix:/run/a unix:///run/a unix-abstract:a xds:///align vsock:2:8001".split(),
    ],
)
def test_valid_url(url):
    AlignClient(url).close()


@pytest.mark.parametrize(
    "options",
    [{"timeout": t} for t in (0, -1, float("nan"), float("inf"), "30", None, True)]
    + [{"retries": r} for r in (None, 3)]
    + [{"max_in_flight": n} for n in (0, 1.5, True, "1")]
    + [{"label_cache_size": n} for n in (-1, 1.5, None)],
)
def test_an_option_out_of_range_is_named(options):
    with pytest.raises(InvalidInput, match=next(iter(options))):
        AlignClient("localhost:1", **options)


@pytest.mark.parametrize("number", [1, 0.5, np.float32(0.5), np.int64(1)])
def test_any_number_above_0_is_a_timeout(number):
    AlignClient("localhost:1", timeout=number).close()


@pytest.mark.parametrize("top_k", [0, -1, 1.5, True, "1"])
def test_top_k_is_one_or_more(top_k):
    with (
        AlignClient("localhost:1") as client,
        pytest.raises(InvalidInput, match="top_k must be a whole number, 1 or more"),
    ):
        client.classify(b"image", ["a"], top_k=top_k)
