"""/v1/search: the collection's own answers, to accepted callers."""

import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from doors import open_doors
from jsonschema import Draft202012Validator
from messages import http
from openapi_spec_validator import validate
from PIL import Image
from rest_calls import SAMPLES, data_uri, encoded, sample
from waiting import wait_until

from align_zoo.collection.collection import Collection
from align_zoo.errors import AlignZooError
from align_zoo.serving.gateway.rest.openapi import document
from align_zoo.web import openapi
from align_zoo.web.site import site

SEARCH = "/v1/search"
ANSWER = openapi.SEARCH["post"]["responses"]["200"]["content"]["application/json"]["schema"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for path in SAMPLES.glob("*.png"):
        shutil.copy(path, folder / path.name)
    shutil.copy(folder / "red-star.png", folder / "copy.png")
    kept = Collection.create(folder / "kept.collection", model="align_tiny")
    kept.add(folder)
    return kept


@pytest.fixture(scope="module")
def doors(loop, sockets, kept):
    with open_doors(loop, sockets, site=site(page=False, collection=kept.where)) as doors:
        yield doors


def paths(answer):
    return [each["path"] for each in answer["data"]]


@pytest.mark.parametrize(
    "query", ["a red star", "a star + 0.5:red", "a star - red"], ids=["words", "sum", "difference"]
)
@pytest.mark.parametrize("options", [{}, {"all": True, "k": 4}, {"where": "width > 150"}], ids=str)
def test_hits_are_those_of_the_collection(ask, kept, query, options):
    answer = ask(SEARCH, {"query": query, **options})
    Draft202012Validator(ANSWER).validate(answer)
    hits = kept.search(query, **{"k": 20, **options})
    assert paths(answer) == [hit.path for hit in hits]
    assert [each["score"] for each in answer["data"]] == pytest.approx(
        [hit.score for hit in hits], abs=1e-5
    )


@pytest.mark.parametrize("way", ["image", "path"])
def test_image_finds_itself(ask, kept, way):
    star = next(hit.path for hit in kept.search("a star", all=True) if "red-star" in hit.path)
    given = {"image": data_uri(sample("red-star")), "path": star}[way]
    found = paths(ask(SEARCH, {"images": [{way: given}], "k": 2, "all": True}))
    assert star in found


def test_near_duplicates_are_folded(ask):
    answer = ask(SEARCH, {"query": "a red star", "fold_duplicates": True, "all": True})
    assert answer["data"][0]["columns"]["duplicates"] == 1


def test_nothing_matches_names_the_nearest(ask):
    answer = ask(SEARCH, {"query": "a bicycle in the rain"})
    assert answer["data"] == []
    assert answer["nearest"]["score"] < 1


def test_words_are_never_a_path(ask):
    words = str(SAMPLES / "red-star.png")
    assert ask(SEARCH, {"query": words, "all": True})["data"][0]["score"] < 0.99


FAULTS = {
    "nothing": ({}, "query"),
    "unwanted-only": ({"query": "- star"}, None),
    "no-image": ({"images": [{"image": encoded(b"no image")}]}, None),
    "url": ({"images": [{"image": "http://a/b"}]}, None),
    "unknown-path": ({"images": [{"path": "/etc/passwd"}]}, None),
    "both": ({"images": [{"path": "a", "image": "b"}]}, "images[0].image"),
    "weight": ({"images": [{"image": data_uri(b""), "weight": "1"}]}, "images[0].weight"),
    "k": ({"query": "star", "k": 501}, "k"),
    "condition": ({"query": "star", "where": "nonsense > 1"}, None),
    "field": ({"query": "star", "n": 1}, "n"),
}


@pytest.mark.parametrize(("asked", "param"), FAULTS.values(), ids=FAULTS)
def test_fault_is_explained(fault, asked, param):
    assert fault(SEARCH, asked)["param"] == param


def test_thumbnail_is_a_small_jpeg(doors, kept):
    path = kept.search("a red star", k=1, all=True)[0].path
    reply = http(doors.gateway.http_port, f"/v1/collection/thumbnail?path={quote(path)}")
    assert reply.headers["Content-Type"] == "image/jpeg"
    assert max(Image.open(io.BytesIO(reply.body)).size) <= 400


@pytest.mark.parametrize("path", ["/etc/passwd", "", str(SAMPLES / "digit-0.png")])
def test_no_other_file_has_a_thumbnail(doors, path):
    reply = http(doors.gateway.http_port, f"/v1/collection/thumbnail?path={quote(path)}")
    assert reply.status == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
        {"Host": "evil.example", "Authorization": "Bearer any"},
    ],
    ids=["cross-site", "same-site", "rebound-name", "rebound-with-a-token"],
)
@pytest.mark.parametrize("path", ["/v1/collection", "/v1/collection/thumbnail?path=a"])
def test_page_of_another_site_is_refused(doors, path, headers):
    assert http(doors.gateway.http_port, path, headers=headers).status == 403


def test_collection_tells_its_size(doors, kept):
    found = json.loads(http(doors.gateway.http_port, "/v1/collection").body)
    assert (found["name"], found["images"]) == ("kept.collection", kept.count())
    assert {"path", "width", "height"} <= {*found["columns"]}


def test_search_counts_as_one_call(loop, sockets, kept, post):
    with open_doors(loop, sockets, site=site(page=False, collection=kept.where)) as doors:
        asked = {"query": "a star + a ring", "images": [{"image": encoded(sample("red-star"))}]}
        for number in (1, 2):  # the first opens the collection by a text of its own
            assert post(doors, SEARCH, asked)[0] == 200
            for model in ("align_image", "align_text"):
                labels = {"model": model, "code": "OK"}
                assert doors.count("align_zoo_requests_total", **labels) == number


def test_refused_search_is_noted_once(loop, sockets, kept, held, capfd):
    options = {"at_once": 1, "queue_size": 1, "site": site(page=False, collection=kept.where)}
    with open_doors(loop, sockets, **options) as doors, ThreadPoolExecutor() as threads:

        def search(query):
            body, headers = json.dumps({"query": query}).encode(), {"Align-Request-Id": "mine"}
            return http(doors.gateway.http_port, SEARCH, body, headers=headers)

        assert search("a star").status == 200
        with held():
            busy = [threads.submit(search, f"{i} stars") for i in range(2)]
            wait_until(lambda: doors.gateway.waiting("align_text") == 1)
            reply = search("a ring")
        assert [each.result().status for each in busy] == [200, 200]
        assert (reply.status, reply.headers["Align-Request-Id"]) == (429, "mine")
        rejected = [
            doors.count("align_zoo_rejected_total", model=model, reason="queue_full")
            for model in ("align_text", "")
        ]
    assert rejected == [1, 0]
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "{" in line]
    refused = [(line["id"], line["model"]) for line in lines if line.get("reason") == "queue_full"]
    assert refused == [("mine", "align_text")]


def test_document_has_the_search(doors):
    found = json.loads(http(doors.gateway.http_port, "/openapi.json").body)
    validate(found)
    assert {*found["paths"]} - {*document()["paths"]} == {
        SEARCH,
        "/v1/collection",
        "/v1/collection/thumbnail",
    }


def test_search_wants_the_token(loop, sockets, kept, tmp_path, post):
    (tmp_path / "tokens").write_text("secret")
    options = {"token_file": tmp_path / "tokens", "site": site(page=False, collection=kept.where)}
    with open_doors(loop, sockets, **options) as doors:
        assert post(doors, SEARCH, {"query": "a star"})[0] == 401
        assert post(doors, SEARCH, {"query": "a star"}, Authorization="Bearer secret")[0] == 200


def test_missing_collection_is_named(tmp_path):
    with pytest.raises(AlignZooError, match=r"there is no collection at .*nowhere"):
        site(collection=str(tmp_path / "nowhere"))
