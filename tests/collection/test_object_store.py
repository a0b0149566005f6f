"""Images and collections in an object store: moto's S3 on loopback, on good days and bad ones."""

from __future__ import annotations

import itertools
import sys
import threading
from importlib import import_module

import numpy as np
import pytest
from image_folders import draw
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from typer.testing import CliRunner
from werkzeug.serving import WSGIRequestHandler, make_server

from align_zoo.cli import app as command
from align_zoo.collection.collection import Collection
from align_zoo.collection.object_store import store_of
from align_zoo.errors import AlignZooError

COUNT = 36
S3 = DomainDispatcherApplication(create_backend_app)
BUCKETS = (f"bucket-{number}" for number in itertools.count())


class QuietHandler(WSGIRequestHandler):
    def log(self, type, message, *args):
        pass


class Store:
    """A server of S3 that fails every n-th request, and those for some keys."""

    def __init__(self):
        self.every, self.refused, self.failed = 0, None, 0
        self._count = itertools.count(1)
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=QuietHandler
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def _answer(self, environ, start_response):
        tenth = self.every and next(self._count) % self.every == 0
        if tenth or (self.refused and self.refused in environ["PATH_INFO"]):
            self.failed += 1
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("503 Service Unavailable", [("Content-Length", "0")])
            return [b""]
        return S3(environ, start_response)

    def stop(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def environment(monkeypatch, own_cache):
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    return monkeypatch


@pytest.fixture
def store(environment):
    store = Store()
    environment.setenv("AWS_ENDPOINT_URL", store.url)
    yield store
    store.stop()


@pytest.fixture
def bucket(store, tmp_path):
    """A bucket with images, which are in a folder, too."""
    bucket = next(BUCKETS)
    system, _ = store_of("s3://")
    system.mkdir(bucket)
    for number in range(COUNT):
        draw(tmp_path / "images" / f"{number:02}.png", number)
    for path in (tmp_path / "images").iterdir():
        system.pipe_file(f"{bucket}/images/{path.name}", path.read_bytes())
    return f"s3://{bucket}"


def rows_of(collection):
    rows = collection._table.take(0, collection._table.count()).to_pylist()
    return {row["path"]: row for row in rows}


@pytest.mark.parametrize("every", [0, 10], ids=["sound", "every tenth request fails"])
def test_collection_in_a_store_equals_a_local_one(bucket, store, embedder, tmp_path, every):
    store.every = every
    with Collection.create(f"{bucket}/collection", model=embedder) as kept:
        report = kept.add(f"{bucket}/images")
    assert (report.listed, report.embedded, embedder.count) == (COUNT, COUNT, COUNT)
    with Collection.open(f"{bucket}/collection", model=embedder) as kept:
        assert kept.add(f"{bucket}/images").unchanged == COUNT
        assert embedder.count == COUNT
        rows = rows_of(kept)
        assert kept._table.count() == len(rows) == COUNT
        assert kept.check().sound
    with Collection.create(tmp_path / "local", model=embedder) as local:
        local.add(tmp_path / "images")
        for path, row in rows_of(local).items():
            there = rows[f"{bucket}/images/{path.rpartition('/')[2]}"]
            np.testing.assert_array_equal(there["vector"], row["vector"])
    assert (store.failed > 0) == (every > 0)


def test_commands_take_addresses(bucket, store):
    store.every = 10
    place = f"{bucket}/collection"
    runner = CliRunner()
    done = runner.invoke(command, ["index", f"{bucket}/images", place, "--model=align_tiny"])
    assert (done.exit_code, f"{COUNT} embedded" in done.stderr) == (0, True), done.output
    found = runner.invoke(command, ["search", place, "a red star", "--all", "-n3", "--paths"])
    assert found.exit_code == 0, found.output
    assert all(line.startswith(f"{bucket}/images/") for line in found.stdout.splitlines())
    assert len(found.stdout.splitlines()) == 3


def test_unreadable_image_is_a_row_to_retry(bucket, store, embedder):
    with Collection.create(f"{bucket}/collection", model=embedder) as kept:
        store.refused = "/images/05.png"
        report = kept.add(f"{bucket}/images")
        path = f"{bucket}/images/05.png"
        assert (list(report.failed), rows_of(kept)[path]["reason"]) == ([path], "unreadable")
        store.refused = None
        report = kept.add(f"{bucket}/images", retry_failed=True)
        assert (report.embedded, report.failed, embedder.count) == (1, {}, COUNT)
        assert len(rows_of(kept)) == kept._table.count() == COUNT


def test_store_lost_during_a_run_loses_no_work(bucket, store, embedder, monkeypatch):
    monkeypatch.setenv("OBJECT_STORE_CLIENT_MAX_RETRIES", "0")
    with Collection.create(f"{bucket}/collection", model=embedder) as kept:
        finish = embedder.images

        def then_lost(images):
            answers = list(finish(images))
            if embedder.count == COUNT:
                store.every = 1
            return answers

        monkeypatch.setattr(embedder, "images", then_lost)
        with pytest.raises(AlignZooError, match=r"cannot be reached.*run the command again"):
            kept.add(f"{bucket}/images")
        store.every = 0
        assert kept._table.count() == 0
    with Collection.open(f"{bucket}/collection", model=embedder) as kept:
        assert kept.add(f"{bucket}/images").unchanged == COUNT
        assert (embedder.count, len(rows_of(kept)), kept._table.count()) == (COUNT,) * 3


def test_missing_bucket_is_refused_by_address(store, embedder):
    with pytest.raises(AlignZooError, match="s3://no-bucket/collection"):
        Collection.create("s3://no-bucket/collection", model=embedder)


@pytest.mark.parametrize("what", ["source", "collection"])
def test_store_that_is_gone_is_one_message(environment, embedder, tmp_path, what):
    environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nothing listens there
    environment.setenv("AWS_MAX_ATTEMPTS", "1")
    gone = "s3://bucket/there"
    with pytest.raises(AlignZooError, match=f"{gone} cannot be reached.*run the command again"):
        if what == "collection":
            Collection.create(gone, model=embedder)
        else:
            with Collection.create(tmp_path / "collection", model=embedder) as kept:
                kept.add(gone)
    assert embedder.count == 0


def test_missing_package_is_named(environment, embedder):
    environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:7")
    environment.delitem(import_module("fsspec.registry")._registry, "s3", raising=False)
    environment.setitem(sys.modules, "s3fs", None)
    with pytest.raises(AlignZooError, match="s3://bucket/there needs s3fs: pip install s3fs"):
        Collection.create("s3://bucket/there", model=embedder)
