"""An assistant classifies, compares and searches, over the protocol and by its tools."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from image_folders import SAMPLES
from mcp import Client, StdioServerParameters, stdio_client
from served import starts_server
from service import running_service

import align_zoo
from align_zoo.collection.assistant import Assistant, Folders
from align_zoo.collection.embedder import EncoderEmbedder
from align_zoo.errors import InvalidImage, InvalidInput

COMMAND = ["-m", "align_zoo", "mcp"]
LABELS = ["a red star", "a blue triangle", "the digit three"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder of images, beside images that nobody may read."""
    place = tmp_path_factory.mktemp("place").resolve()
    shutil.copytree(SAMPLES, place / "images")
    shutil.copytree(SAMPLES, place / "private")
    (place / "images" / "out").symlink_to("../private")
    (place / "images" / "note.txt").write_text("no image")
    return place


@pytest.fixture(scope="module")
def encoder():
    return align_zoo.load_encoder("align_tiny")


@pytest.fixture(scope="module")
def assistant(place, encoder):
    return Assistant(EncoderEmbedder("align_tiny", encoder), Folders([place / "images"]))


@pytest.fixture(scope="module")
def collection(place):
    with align_zoo.Collection.create(place / "c", model="align_tiny") as made:
        made.add(SAMPLES)
        yield made


@pytest.fixture(scope="module")
def searching(place, collection):
    return Assistant(collection.embedder, Folders([place / "images"]), collection)


def ask(*arguments, calls):
    """The names of a server's tools, and the results of the calls, over stdin and stdout."""
    own = {name: os.environ[name] for name in ("PATH", "XDG_CACHE_HOME")}
    server = StdioServerParameters(
        command=sys.executable, args=[*COMMAND, *map(str, arguments)], env=own
    )

    async def talk():
        async with Client(stdio_client(server)) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            return tools, [await client.call_tool(name, given) for name, given in calls]

    return asyncio.run(talk())


def expect_labels(answers, encoder, folder):
    """Compare the two best labels of images with the encoder's."""
    for answer in answers:
        expected = encoder.classify(folder / answer["image"], LABELS, top_k=2)
        assert [each["label"] for each in answer["labels"]] == [e.label for e in expected]
        scores = [each["score"] for each in answer["labels"]]
        assert scores == pytest.approx([each.score for each in expected], abs=1e-6)


# Over the protocol


def test_tools_answer_over_stdio(place, encoder, collection):
    images = ["red-star.png", "blue-triangle.png", "/etc/passwd"]
    tools, (classified, compared, found) = ask(
        f"--folder={place / 'images'}",
        f"--collection={place / 'c'}",
        calls=[
            ("classify", {"images": images, "labels": LABELS, "template": "{}", "top_k": 2}),
            ("compare", {"images": images, "texts": LABELS}),
            ("search", {"query": "a red star", "number": 1}),
        ],
    )
    assert tools == ["classify", "compare", "search"]
    *good, refused = classified.structured_content["images"]
    expect_labels(good, encoder, place / "images")
    assert "outside of the folders" in refused["error"]
    cosines = [each["cosines"] for each in compared.structured_content["images"][:2]]
    rows = encoder.embed_images([place / "images" / name for name in images[:2]])
    np.testing.assert_allclose(cosines, rows @ encoder.embed_texts(LABELS).T, atol=1e-5)
    (hit,) = found.structured_content["images"]
    assert Path(hit["image"]).name.endswith("red-star.png")


@pytest.fixture(scope="module")
@starts_server
def service(tmp_path_factory):
    with running_service("align_tiny", tmp_path_factory.mktemp("service") / "log") as running:
        yield running


def answered(service, model):
    """The requests to a model that a service has answered."""
    text = urllib.request.urlopen(service.metrics, timeout=10).read().decode()
    line = f'align_zoo_requests_total{{code="OK",model="{model}"}}'
    return sum(float(each.split()[-1]) for each in text.splitlines() if each.startswith(line))


@pytest.mark.parametrize("searching", [False, True], ids=["no-collection", "collection"])
def test_server_answers_an_assistant(place, encoder, collection, service, searching):
    before = {model: answered(service, model) for model in ("align_image", "align_text")}
    images = ["red-star.png", "note.txt", "blue-triangle.png"]
    calls = [
        ("classify", {"images": images, "labels": LABELS, "top_k": 2}),
        ("compare", {"images": images[:1], "texts": LABELS}),
        ("search", {"query": "a red star", "number": 1}),
    ]
    tools, (classified, compared, found) = ask(
        f"--server={service.url}",
        f"--folder={place / 'images'}",
        *([f"--collection={place / 'c'}"] if searching else []),
        calls=calls,
    )
    first, wrong, last = classified.structured_content["images"]
    expect_labels([first, last], encoder, place / "images")
    assert "not an image" in wrong["error"]
    (row,) = compared.structured_content["images"]
    star = encoder.embed_images([place / "images" / "red-star.png"])
    np.testing.assert_allclose([row["cosines"]], star @ encoder.embed_texts(LABELS).T, atol=1e-6)
    assert all(answered(service, model) > count for model, count in before.items())
    if searching:
        (hit,) = found.structured_content["images"]
        assert Path(hit["image"]).name == "red-star.png"
    else:
        assert tools == ["classify", "compare"] and found.is_error


def test_without_a_collection_nothing_is_searched(place):
    tools, (refused, wrong) = ask(
        "--model=align_tiny",
        f"--folder={place / 'images'}",
        calls=[("search", {"query": "star"}), ("classify", {"images": [], "labels": ["star"]})],
    )
    assert tools == ["classify", "compare"]
    assert refused.is_error
    assert wrong.is_error
    assert wrong.content[0].text.endswith("there are 0 images; give 1 to 1,000")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--folder=nowhere", "--model=align_tiny"], "nowhere is no folder; name one by --folder"),
        (["--folder=.", "--model=no/folder"], "no/folder"),
        (["--folder=.", "--server=127.0.0.1:9"], "127.0.0.1:9"),
        (["--folder=.", "--collection=none"], "there is no collection at"),
    ],
    ids=["folder", "model", "server", "collection"],
)
def test_wrong_start_is_one_line(arguments, words, tmp_path):
    done = subprocess.run(
        [sys.executable, *COMMAND, *arguments],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert words in done.stderr and done.stderr.startswith("align-zoo: ")
    assert done.stderr.count("\n") == 1


def test_missing_package_names_its_extra():
    code = "import sys; sys.modules['mcp'] = None; from align_zoo.cli import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", code, "mcp", "--folder=."], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "align-zoo mcp needs mcp" in done.stderr and ".[mcp]" in done.stderr


# The tools


def test_each_image_has_its_own_error(assistant):
    names = ["red-star.png", "note.txt", "no.png", "out/red-star.png", "red-star.png"]
    first, *wrong, last = assistant.compare(names, ["a star"])["images"]
    assert first == last
    assert [each["image"] for each in wrong] == names[1:4]
    assert "not an image" in wrong[0]["error"]
    assert "does not exist" in wrong[1]["error"]
    assert "outside of the folders" in wrong[2]["error"]


@pytest.mark.parametrize(
    ("tool", "options", "words"),
    [
        ("classify", {"labels": []}, "label"),
        ("classify", {"labels": ["star"], "template": "star"}, "{}"),
        ("classify", {"labels": ["star"], "top_k": 0}, "top_k"),
        ("compare", {"texts": []}, "there are no texts"),
        ("compare", {"texts": ["a"], "images": ["a"] * 1001}, "there are 1001 images"),
    ],
)
def test_wrong_argument_is_named(tool, options, words, assistant):
    with pytest.raises(InvalidInput, match=words):
        getattr(assistant, tool)(**{"images": ["red-star.png"], **options})


@pytest.mark.parametrize(
    ("query", "images", "best"),
    [
        ("a blue triangle", None, "blue-triangle.png"),
        ("", ["red-star.png"], "red-star.png"),
        ("red-star.png", None, "red-star.png"),
        ("a star", ["red-star.png"], "red-star.png"),
    ],
    ids=["words", "image", "image-in-words", "both"],
)
def test_search_takes_words_and_images(query, images, best, searching):
    hits = searching.search(query, images, number=1, all=True)["images"]
    assert [Path(hit["image"]).name for hit in hits] == [best]


@pytest.mark.parametrize(
    ("query", "images"),
    [
        ("../private/red-star.png", None),
        ("a star + 0.5:/etc/passwd.png", None),
        ("out/red-star.png", None),
        ("", ["../private/red-star.png"]),
        ("~/x.png", ["/etc/passwd"]),
    ],
)
def test_search_reads_nothing_outside(query, images, searching):
    with pytest.raises(InvalidImage, match=r"outside of the folders|does not exist"):
        searching.search(query, images)


def test_search_finds_nothing_where_nothing_matches(searching):
    assert searching.search("a red star + a dog playing the piano")["images"] == []


def test_search_needs_a_collection(assistant):
    with pytest.raises(InvalidInput, match="with --collection"):
        assistant.search("a star")
