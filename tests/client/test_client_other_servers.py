"""A real Triton whose models are loading, others, mixed, overloaded or dead.

Its models do as they are told (puppet_model.py), so that each case can be brought about.
"""

import json
import threading
import time

import numpy as np
import pytest
from waiting import wait_until

from align_client import (
    AlignClient,
    AlignClientError,
    DeadlineExceeded,
    InvalidInput,
    ModelUnavailable,
    Overloaded,
)


@pytest.fixture
def client(triton):
    with AlignClient(triton.url, timeout=30) as client:
        yield client


def image(*orders):
    return json.dumps(orders[0] if len(orders) == 1 else orders).encode()


def text(*orders):
    return image(*orders).decode()


class TestAnotherModel:
    def test_error_names_server_and_missing_model(self, triton, client):
        for name in list(triton.loaded):
            triton.unload(name)
        with pytest.raises(ModelUnavailable, match=f"{triton.url} has no align_image"):
            client.classify(b"image", ["a"])
        with pytest.raises(ModelUnavailable, match=r"no align_text.*is it an align-zoo server"):
            client.embed_text("a")
        assert client.ready() is client.ready(deep=True) is False

    def test_unloaded_model_is_unavailable_until_loaded(self, puppets, client):
        client.embed_text("a")
        puppets.unload("align_text")
        with (
            AlignClient(puppets.url, timeout=1) as hasty,
            pytest.raises(
                ModelUnavailable, match=r"align_text.*finished loading.*; tried \d times"
            ),
        ):
            hasty.embed_text("a")
        assert client.ready() is False
        puppets.load("align_text", input="TEXT")
        assert client.embed_text("a").shape == (1, 4)
        assert client.ready() is client.ready(deep=True) is True

    @pytest.mark.parametrize(
        "settings", [{"input": "PIXELS"}, {"kind": "FP32"}], ids=["other input", "other type"]
    )
    def test_model_with_other_inputs_breaks_contract(self, triton, client, settings):
        triton.load("align_image", **settings)
        with pytest.raises(ModelUnavailable, match=r"align_image.*does not speak align-zoo's"):
            client.embed_image(b"image")

    @pytest.mark.parametrize(
        "order, words",
        [
            ({"without": "EMBEDDING"}, "no output EMBEDDING"),
            ({"without": "CHECKPOINT"}, "no output CHECKPOINT"),
            ({"embedding": [[1, 0], [0, 1]]}, r"EMBEDDING is float32 \[1, 2, 2\]"),
            ({"embedding": [3, 4]}, "no unit vectors"),
            ({"embedding": [float("nan"), 1]}, "no unit vectors"),
        ],
    )
    def test_impossible_answer_breaks_contract(self, puppets, client, order, words):
        for call in (client.embed_image, lambda i: client.classify(i, ["a"])):
            with pytest.raises(ModelUnavailable, match=f"align-zoo's contract: .*{words}"):
                call(image(order))

    @pytest.mark.parametrize(
        "order, words",
        [
            ({"without": "TEMPERATURE"}, "no output TEMPERATURE"),
            ({"temperature": 0}, r"TEMPERATURE is 0\.0"),
            ({"temperature": float("nan")}, "TEMPERATURE"),
            ({"rows": 0}, "EMBEDDING"),
        ],
    )
    def test_bad_temperature_breaks_contract(self, puppets, client, order, words):
        with pytest.raises(ModelUnavailable, match=f"align_text.*contract: .*{words}"):
            client.embed_text(text(order))

    def test_different_widths_break_contract(self, puppets, client):
        with pytest.raises(ModelUnavailable, match=r"contract: .*differ in width"):
            client.classify(image({"embedding": [1, 0]}), ["a"])

    def test_internal_error_is_reported(self, puppets, client):
        with pytest.raises(ModelUnavailable, match=r"align_image on .* failed: no memory"):
            client.embed_image(image({"error": "no memory"}))

    def test_smaller_batch_size_after_reload_is_used(self, puppets, client):
        texts = [f"text {i}" for i in range(8)]
        assert client.embed_text(texts).shape == (8, 4)
        puppets.load("align_text", input="TEXT", batch=2)
        with pytest.raises(ModelUnavailable, match=r"batch size .* call again"):
            client.embed_text(texts)
        assert client.embed_text(texts).shape == (8, 4)


OLD = {"checkpoint": "old", "embedding": [1, 0, 0, 0]}
NEW = {"checkpoint": "new", "embedding": [0, 1, 0, 0]}


class TestReload:
    def test_two_checkpoints_are_never_compared(self, puppets, client):
        with pytest.raises(ModelUnavailable, match=r"different checkpoints \(new, old\)"):
            client.similarity(image(OLD), text(NEW))
        with pytest.raises(ModelUnavailable, match=r"different checkpoints \(new, old\)"):
            client.embed_image([image(OLD), image(NEW)])

    def test_reload_between_image_and_text_is_retried(self, puppets, client):
        changing, changed = image(OLD, NEW), text(NEW)
        assert client.similarity(changing, changed) == [[1]]

    def test_reload_within_a_batch_is_retried(self, puppets, client):
        rows = client.embed_image([image(NEW), image(OLD, NEW), image(NEW)])
        assert np.array_equal(rows, [NEW["embedding"]] * 3)

    def test_cached_labels_belong_to_their_checkpoint(self, puppets, client):
        label = text(OLD, NEW, {"error": "asked a third time"})
        assert client.similarity(image(OLD), label) == [[1]]
        assert client.similarity(image(OLD), label) == [[1]]
        assert client.similarity(image(NEW), label) == [[1]]
        assert client.similarity(image(NEW), label) == [[1]]
        assert client.similarity(image(OLD), label) == [[1]]

    def test_without_cache_labels_are_sent_again(self, puppets):
        label = text(OLD, {"error": "asked a second time"}, {})
        with AlignClient(puppets.url, label_cache_size=0) as client:
            client.similarity(image(OLD), label)
            with pytest.raises(ModelUnavailable, match="asked a second time"):
                client.similarity(image(OLD), label)

    def test_temperature_comes_with_the_labels(self, puppets, client):
        warm = text({"temperature": 2.0, "embedding": [0, 1, 0, 0]})
        cool = text({"temperature": 2.0})
        (best, other) = client.classify(image({}), [warm, cool])
        assert best.label == cool
        assert best.score / other.score == pytest.approx(np.exp(1 / 2.0))


class TestLoad:
    def test_full_queue_is_overloaded(self, puppets):
        with (
            AlignClient(puppets.url, max_in_flight=40, retries=False) as client,
            pytest.raises(Overloaded, match="too much to do"),
        ):
            client.embed_image([image({"seconds": 0.2})] * 40)
        with AlignClient(puppets.url) as client:
            assert client.embed_image(b"image").shape == (1, 4)

    def test_full_queue_is_retried(self, puppets):
        with AlignClient(puppets.url, max_in_flight=40) as client:
            assert client.embed_image([image({"seconds": 0.05})] * 40).shape == (40, 4)

    def test_many_items_are_answered_in_order(self, puppets):
        vectors = np.eye(4)[np.random.default_rng(0).integers(0, 4, 200)]
        with AlignClient(puppets.url, max_in_flight=4) as client:
            rows = client.embed_image([image({"embedding": v.tolist()}) for v in vectors])
        assert np.array_equal(rows, vectors)

    def test_the_timeout_holds_for_the_whole_call(self, puppets):
        with AlignClient(puppets.url, timeout=1, max_in_flight=2) as client:
            start = time.monotonic()
            with pytest.raises(DeadlineExceeded, match="within 1 s"):
                client.embed_image([image({"seconds": 0.3})] * 30)
            assert 0.9 < time.monotonic() - start < 1.5

    def test_large_batch_does_not_delay_other_threads(self, puppets):
        with AlignClient(puppets.url, max_in_flight=2) as client:
            slow = [image({"seconds": 0.005})] * 200
            large = threading.Thread(target=client.embed_image, args=(slow,))
            large.start()
            client.embed_image([b"image"] * 3)
            assert large.is_alive()
            large.join()

    def test_bad_item_is_raised_after_the_others(self, puppets, client):
        once = image({"embedding": [1, 0, 0, 0]}, {"error": "asked twice"})
        with pytest.raises(InvalidInput, match=r"^image 0: .*'nowhere' does not exist"):
            client.embed_image(["nowhere", once])
        with pytest.raises(ModelUnavailable, match="asked twice"):
            client.embed_image(once)

    def test_close_from_another_thread_ends_calls(self, puppets):
        client = AlignClient(puppets.url)
        threading.Timer(0.3, client.close).start()
        with pytest.raises(AlignClientError, match="closed"):
            client.embed_image([image({"seconds": 0.1})] * 20)


def test_only_deep_ready_notices_dead_model(puppets, client):
    wait_until(lambda: client.ready(deep=True))  # what was cancelled may still fill the queue
    with pytest.raises(ModelUnavailable, match=r"align_text.*has died; the server must be rest"):
        client.embed_text(text({"die": True}))
    assert client.ready() is True
    assert client.ready(deep=True) is False
    puppets.unload("align_text")
