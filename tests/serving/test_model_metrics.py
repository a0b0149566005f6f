"""What the models' processes count, at the real server's /metrics, soon after the answer."""

import re
from pathlib import Path
from urllib.request import urlopen

import pytest
from calls import ask, ask_at_once
from prometheus_client.parser import text_string_to_metric_families
from waiting import wait_for_port, wait_until

from align_zoo.serving.model.image import ImageService
from align_zoo.serving.model.text import TextService


@pytest.fixture(scope="module")
def metrics(server):
    """A function: all samples now, by their name and labels."""
    flags = Path(f"/proc/{server.pid}/cmdline").read_text().split("\0")
    (port,) = (flag.partition("=")[2] for flag in flags if flag.startswith("--metrics-port="))
    wait_for_port(port)

    def read():
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name.startswith("align_zoo")
        }

    return read


@pytest.fixture
def grown(metrics):
    """A function: what has grown since the test began, and by how much."""
    before = metrics()
    return lambda: {
        key: value - before.get(key, 0)
        for key, value in metrics().items()
        if value != before.get(key, 0) and "_bucket" not in key[0]
    }


def test_every_reason_starts_at_0(metrics):
    known = {key[1] for key in metrics() if key[0] == "align_zoo_decode_failures_total"}
    assert known >= {*ImageService.reasons, *TextService.reasons}


def test_a_batch_is_counted_with_its_items(triton, grown, images):
    ask(triton, "align_image", images[:5])
    batch = {
        ("align_zoo_batch_items_count", "align_image"): 1,
        ("align_zoo_batch_items_sum", "align_image"): 5,
    }
    wait_until(lambda: grown() == batch)


def test_a_batchs_size_has_its_bucket(triton, metrics, images):
    def buckets():
        return {
            key[1]: value
            for key, value in metrics().items()
            if key[0] == "align_zoo_batch_items_bucket" and key[2] == "align_image"
        }

    before = buckets()
    ask(triton, "align_image", images[:3])

    def more():
        return {bound for bound, count in buckets().items() if count - before[bound]}

    wait_until(lambda: more() == {"4", "8", "16", "32", "64", "+Inf"})


def test_requests_that_share_a_batch_are_one_batch(triton, grown):
    ask_at_once(triton, "align_text", [[b"shared %d" % i] for i in range(40)])
    wait_until(lambda: grown().get(("align_zoo_batch_items_sum", "align_text")) == 40)
    assert grown()["align_zoo_batch_items_count", "align_text"] <= 40


def test_failed_items_are_counted_by_reason(triton, grown, images):
    (error,) = ask_at_once(triton, "align_image", [[b"", b"<svg/>", images[0], b"", b"text"]])
    assert "item 0: the image is empty" in str(error)
    (error,) = ask_at_once(triton, "align_text", [[b"\xff", b"a cat", b" "]])
    assert "item 0: the text is not UTF-8" in str(error)

    def failures():
        return {key[1]: n for key, n in grown().items() if "decode_failures" in key[0]}

    wait_until(lambda: failures() == {"empty": 2, "format": 2, "not_utf8": 1, "blank": 1})


def test_remembered_text_is_a_hit(triton, grown):
    ask(triton, "align_text", [b"never asked for before", b"nor this one"])
    ask(triton, "align_text", [b"never asked for before"] * 3)
    expected = {
        "align_zoo_text_cache_misses_total": 2,
        "align_zoo_text_cache_hits_total": 1,
    }

    def counts():
        return {key[0]: value for key, value in grown().items() if "cache" in key[0]}

    wait_until(lambda: counts() == expected)


def test_no_metric_label_holds_caller_content(triton, metrics):
    ask_at_once(triton, "align_image", [[b"secret words of a caller"]])
    assert not any(re.search("secret|caller", str(key)) for key in metrics())
