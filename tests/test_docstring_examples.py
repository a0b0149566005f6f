"""Each public class opens with an example of use, and those that need no server run."""

from __future__ import annotations

import doctest
import inspect
import shutil

import pytest
import timm
import torch
from PIL import Image

import align_client
import align_zoo
from align_zoo.collection.embedder import EncoderEmbedder
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.inputs.tokenizer import AlignTokenizer
from align_zoo.serving.tools.demo import sample_images
from align_zoo.towers.image_tower import AlignImage
from align_zoo.towers.text_tower import AlignText


def classes(package):
    public = (getattr(package, name) for name in package.__all__)
    return [thing for thing in public if inspect.isclass(thing)]


LIBRARY = [
    *classes(align_zoo),
    AlignImage,
    AlignText,
    AlignTokenizer,
    AlignTransform,
    EncoderEmbedder,
]
CLIENT = classes(align_client)


def name(thing):
    return f"{thing.__module__.partition('.')[0]}.{thing.__name__}"


@pytest.mark.parametrize("thing", [*LIBRARY, *CLIENT], ids=name)
def test_public_class_opens_with_an_example(thing):
    _, example, *_ = inspect.getdoc(thing).split("\n\n")
    assert example.startswith(">>> ")


@pytest.mark.parametrize("thing", LIBRARY, ids=name)
def test_example_runs(thing, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for image in ("red-star.png", "blue-triangle.png"):
        (path,) = [path for path in sample_images() if path.name == image]
        shutil.copy(path, tmp_path / image)
        shutil.copy(path, tmp_path / "photos" / image)
    modules = {"align_zoo": align_zoo, "timm": timm, "torch": torch, "Image": Image}
    known = {each.__name__: each for each in LIBRARY} | modules
    (found,) = doctest.DocTestFinder(recurse=False).find(thing, globs=known)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.FAIL_FAST)
    runner.run(found)
    done = runner.summarize(verbose=False)
    assert done.attempted > 0
    assert done.failed == 0, capsys.readouterr().out
