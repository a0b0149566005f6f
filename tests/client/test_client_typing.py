"""A type checker infers the types of a caller's code."""

import sys
import textwrap

import pytest
from mypy import api

CODE = """
from pathlib import Path
from typing import Iterator, List, assert_type

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from align_client import AlignClient, AlignClientError, AsyncAlignClient, ImageLike, Prediction

def one(client: AlignClient, path: Path, array: NDArray[np.uint8], image: ImageLike) -> None:
    assert_type(client.classify("a.jpg", ["a"]), List[Prediction])
    assert_type(client.classify(b"", {"a": 1}), List[Prediction])
    assert_type(client.classify(path, ("a",)), List[Prediction])
    assert_type(client.classify(array, ["a"]), List[Prediction])
    assert_type(client.classify(Image.new("L", (1, 1)), ["a"]), List[Prediction])
    assert_type(client.classify(image, ["a"]), List[Prediction])
    answer = client.classify(path, ["a"], on_error="return")
    if not isinstance(answer, AlignClientError):
        assert_type(answer, List[Prediction])

def several(client: AlignClient, frames: Iterator[Image.Image]) -> None:
    assert_type(client.classify(["a.jpg", b""], ["a"]), List[List[Prediction]])
    assert_type(client.classify(frames, ["a"]), List[List[Prediction]])
    for answer in client.classify(Path().glob("*"), ["a"], on_error="return"):
        if not isinstance(answer, AlignClientError):
            assert_type(answer, List[Prediction])

def rows(client: AlignClient) -> None:
    for call in (client.embed_image, client.embed_text):
        call("a").shape
        for row in call(["a"], on_error="return"):
            isinstance(row, AlignClientError) or row.shape
    client.similarity("a.jpg", "a").shape
    for row in client.similarity(["a.jpg"], ["a"], on_error="return"):
        isinstance(row, AlignClientError) or row.shape

class Own(AlignClient):
    name = "own"

class OwnAsync(AsyncAlignClient):
    name = "own"

async def use() -> None:
    with Own("localhost:1") as client:
        client.name
    async with OwnAsync("localhost:1") as other:
        other.name
        assert_type(await other.classify("a.jpg", ["a"]), List[Prediction])
        assert_type(await other.classify(["a.jpg"], ["a"]), List[List[Prediction]])
"""


@pytest.mark.skipif(sys.version_info < (3, 11), reason="typing.assert_type is new in Python 3.11")
def test_caller_code_passes_strict_mypy(tmp_path):
    file = tmp_path / "caller.py"
    file.write_text(textwrap.dedent(CODE))
    said, _, code = api.run(["--strict", "--cache-dir", str(tmp_path / "cache"), str(file)])
    assert code == 0, said
