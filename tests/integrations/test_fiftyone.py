"""FiftyOne embeds, searches and labels a dataset, in its own database."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from environments import environment, run

SCRIPT = Path(__file__).parent / "scripts" / "fiftyone_answers.py"
# fiftyone-db 0.4.5 carries MongoDB 6.0; newer ones fetch it from MongoDB's site.
PINS = """
    aiofiles==25.1.0 argcomplete==3.7.2 async-lru==2.4.0 backports.zstd==1.8.0 bcrypt==5.0.0
    cachetools==7.3.3 cross-web==0.9.0 dacite==1.9.2 Deprecated==1.3.1 dill==0.4.1 dnspython==2.9.2
    exceptiongroup==1.3.2 fiftyone-brain==0.25.0 fiftyone==1.22.1 fiftyone-db==0.4.5 glob2==0.7
    graphql-core==3.2.14 h2==4.4.1 hpack==4.2.0 httpcore==1.0.9 httpx==0.28.1 humanize==4.17.0
    Hypercorn==0.18.0 hyperframe==6.1.0 ImageIO==2.38.1 inflate64==1.0.4 invoke==3.0.3
    jsonlines==4.0.0 jsonpatch==1.48 lazy-loader==0.6 mongoengine==0.29.3 motor==3.6.1
    multivolumefile==0.2.3 numpy==2.4.6 opencv-python-headless==4.14.0.94 pandas==3.1.1
    paramiko==5.1.0 plotly==6.9.0 pprintpp==0.4.0 priority==2.0.0 py7zr==1.1.4 pybcj==1.0.8
    pycryptodomex==3.24.2 pydash==8.1.0 pymongo==4.9.2 PyNaCl==1.6.2 pypcd4==1.5.1 pyppmd==1.3.1
    python-neo-lzf==0.3.5 pytz==2026.6 rarfile==4.5 retrying==1.4.2 rtree==1.4.1
    scikit-image==0.26.0 sseclient-py==1.9.0 starlette==1.3.1 strawberry-graphql==0.316.0
    tabulate==0.10.0 texttable==1.7.2 tzlocal==5.4.5 universal-analytics-python3==1.1.1
    voxel51-eta==0.17.0 wsproto==1.3.2
""".split()
WAYS = ["one by one", "batches"]


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter; FiftyOne's database and settings are in a folder of this test.

    That mongod was built for OpenSSL 1.1, which OpenCV's wheel has and current systems have not.
    """
    python, home = environment("fiftyone", PINS, ours=True), tmp_path_factory.mktemp("fiftyone")
    for name in ("libcrypto", "libssl"):
        (library,) = python.parents[1].glob(f"lib/*/*/opencv_python_headless.libs/{name}-*.so.1.1*")
        (home / f"{name}.so.1.1").symlink_to(library)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("LD_LIBRARY_PATH", str(home))
        patch.setenv("FIFTYONE_DATABASE_DIR", str(home / "database"))
        patch.setenv("FIFTYONE_DO_NOT_TRACK", "true")
        yield python


@pytest.fixture(scope="module")
def found(python, texts, images) -> dict:
    return run(python, SCRIPT, json.dumps(texts), json.dumps([*map(str, images)]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["texts", "images"])
def test_vectors_are_those_of_transformers(found, expected, kind, way):
    np.testing.assert_allclose(found[kind][way], expected[kind], rtol=0, atol=1e-5)


def test_labels_are_the_nearest_classes(found, texts, expected):
    nearest = (expected["images"] @ expected["texts"].T).argmax(1)
    assert found["labels"] == {way: [texts[i] for i in nearest] for way in WAYS}


def test_texts_find_the_nearest_images(found, images, expected):
    nearest = (expected["texts"] @ expected["images"].T).argmax(1)
    assert found["found"] == [str(images[i]) for i in nearest]


def test_example_labels_and_finds_the_image(example, python):
    label, path = example("FiftyOne", python)[-2:]
    assert label == "red star"
    assert path.endswith("red-star.png")
