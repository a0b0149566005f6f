"""The demonstration: every shipped image gets an answer from a real server."""

import io

import pytest
from rich.console import Console

from align_zoo.serving.tools.demo import classify_all, run_demo, sample_images, sample_labels


def test_every_shipped_image_gets_a_listed_label(server):
    images, labels = sample_images(), sample_labels()
    assert len(images) >= 6
    answers = classify_all(server.grpc_url, images, labels)
    assert [answer.image for answer in answers] == [image.name for image in images]
    for answer in answers:
        assert answer.label in labels
        assert 0 < answer.probability <= 1
        assert answer.milliseconds > 0


@pytest.mark.served
def test_the_demo_prints_a_table_and_a_summary():
    console = Console(file=io.StringIO(), width=100)
    run_demo(console)
    text = console.file.getvalue()
    for word in ("image", "best label", "probability", "ms", "crying-cat.png", "1,653 labels"):
        assert word in text
    assert text.rstrip().endswith("the server is stopped.")
