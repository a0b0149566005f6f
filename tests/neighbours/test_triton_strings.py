"""What we know Triton's messages by, held against the newest release's front ends.

PyPI's tritonfrontend has the gRPC and HTTP front ends, tritonserver the in-process bindings:
no server that could be run, and neither the core nor the Python backend.
"""

import subprocess
import sys
import zipfile

import pytest

from align_client import triton_messages as client
from align_zoo.serving.triton import messages as server

NEWEST = "2.73"
PARTS = {
    **{p: v for t in server.TEXTS.values() if t.binary == "front" for p, v in t.parts.items()},
    **{p: t.versions for t in client.TEXTS if t.binary == "front" for p in t.parts},
}


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    """All bytes of the newest front ends."""
    folder = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    python = ["--python-version=3.12", "--implementation=cp", "--abi=cp312"]
    kind = ["--no-deps", "--only-binary=:all:", "--platform=manylinux_2_39_x86_64"]
    wheels = [f"{name}=={NEWEST}.0" for name in ("tritonserver", "tritonfrontend")]
    subprocess.run([*pip, *python, *kind, f"--dest={folder}", *wheels], check=True)
    found = b""
    for wheel in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(wheel) as content:
            names = [name for name in content.namelist() if "bindings" in name]
            found += b"".join(content.read(name) for name in names if name.endswith(".so"))
    assert found
    return found


@pytest.mark.parametrize(("part", "versions"), PARTS.items(), ids=PARTS)
def test_newest_front_end_behaves_as_claimed(front, part, versions):
    assert (part.encode() in front) == (NEWEST in versions)
