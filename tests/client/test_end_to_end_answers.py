"""The client gets right answers from the real server."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from photos import LABELS, TOLERANCE, disc_image, file
from PIL import Image
from transformers import AlignModel, AutoImageProcessor, AutoTokenizer, pipeline
from tritonclient.grpc import InferenceServerClient

from align_client import AlignClient, ServerUnavailable
from align_client.scores import softmax
from align_zoo.checkpoint.folder import EMBEDDED


@pytest.fixture(scope="module")
def client(server):
    with AlignClient(server.grpc_url, timeout=60) as client:
        yield client


@pytest.fixture(autouse=True)
def still_answers(client):
    """Check after each test that the server still answers rightly."""
    yield
    assert client.ready(deep=True)


@pytest.fixture(scope="module")
def expected(client):
    """Embed one image in a call of its own."""
    return {c: client.embed_image(disc_image(c))[0] for c in ("red", "green", "blue")}


class TestAnswers:
    def test_rows_are_unit_vectors_of_one_width(self, client):
        images = client.embed_image([disc_image("red"), disc_image("blue")])
        texts = client.embed_text(LABELS)
        assert images.dtype == texts.dtype == np.float32
        assert images.shape == (2, texts.shape[1]) and len(texts) == 3
        assert np.allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)
        assert np.allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)

    def test_similarity_is_the_cosine_of_the_embeddings(self, client):
        images = [disc_image("red"), disc_image("blue")]
        cosines = client.embed_image(images) @ client.embed_text(LABELS).T
        assert client.similarity(images, LABELS) == pytest.approx(cosines, abs=TOLERANCE)

    def test_scores_are_the_softmax_of_cosine_by_temperature(self, client):
        cosines = client.similarity(disc_image("red"), LABELS)[0]
        scores = dict(zip(LABELS, softmax(cosines / client.temperature()), strict=True))
        answer = client.classify(disc_image("red"), LABELS)
        assert dict(answer) == pytest.approx(scores, abs=1e-6)
        assert sum(p.score for p in answer) == pytest.approx(1)
        assert answer == sorted(answer, key=lambda p: -p.score)

    def test_scores_equal_transformers_pipeline(self, client, served_name, tmp_path):
        folder = EMBEDDED.get(served_name, served_name)
        pipe = pipeline(
            "zero-shot-image-classification",
            model=AlignModel.from_pretrained(folder),
            tokenizer=AutoTokenizer.from_pretrained(folder),
            image_processor=AutoImageProcessor.from_pretrained(folder, backend="pil"),
        )
        turned = Image.Exif()
        turned[0x0112] = 6
        files = {
            "a.png": file(disc_image("red")),
            "b.jpg": file(disc_image("blue", (64, 200)), "JPEG", exif=turned),
            "c.png": file(disc_image("green").quantize(16)),
            "d.jpg": file(disc_image("red", (700, 500)).convert("CMYK"), "JPEG"),
        }
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
            theirs = pipe(
                str(tmp_path / name), candidate_labels=LABELS, hypothesis_template="a photo of {}"
            )
            ours = client.classify(tmp_path / name, LABELS, template="a photo of {}")
            assert dict(ours) == pytest.approx({a["label"]: a["score"] for a in theirs}, abs=1e-4)

    @pytest.mark.parametrize("colour", ["red", "green", "blue"])
    def test_the_best_label_is_the_right_one(self, client, colour):
        best, *_ = client.classify(
            disc_image(colour), ["red", "green", "blue"], template="a photo of a {} circle"
        )
        assert best.label == colour

    def test_several_images_are_answered_in_order(self, client):
        images = [disc_image(c) for c in ("red", "blue", "green")]
        one_by_one = [client.classify(image, LABELS) for image in images]
        together = client.classify(images, LABELS)
        for alone, batched in zip(one_by_one, together, strict=True):
            assert dict(batched) == pytest.approx(dict(alone), abs=1e-3)
        assert client.classify([images[0]], LABELS, top_k=1)[0][0].label == together[0][0].label

    def test_all_kinds_of_image_have_equal_answers(self, client, tmp_path):
        image = disc_image()
        image.save(tmp_path / "a.png")
        path = tmp_path / "a.png"
        kinds = [path, str(path), path.read_bytes(), image, Image.open(path), np.asarray(image)]
        rows = client.embed_image(kinds)
        assert np.abs(rows - rows[0]).max() < TOLERANCE

    def test_more_texts_than_a_batch_keep_order(self, client):
        texts = [f"{word} {i}" for i in range(100) for word in ("cat", "a very long red circle")]
        rows = client.embed_text([*texts, *texts[::-1]])
        assert np.array_equal(rows[:200], rows[200:][::-1])
        for i in (0, 1, 100, 199):
            assert np.abs(rows[i] - client.embed_text(texts[i])[0]).max() < TOLERANCE

    def test_labels_are_embedded_once(self, server, client):
        labels = [f"label number {i}" for i in range(5)]
        first = client.classify(disc_image(), labels)
        before = texts_answered(server)
        assert dict(client.classify(disc_image(), labels)) == pytest.approx(dict(first), abs=1e-6)
        assert texts_answered(server) == before

    def test_threads_share_a_client(self, client, expected):
        def ask(i):
            colour = ("red", "green", "blue")[i % 3]
            return np.abs(client.embed_image(disc_image(colour))[0] - expected[colour]).max()

        with ThreadPoolExecutor(8) as threads:
            assert max(threads.map(ask, range(60))) < TOLERANCE


def texts_answered(server):
    """Return the server's count of embedded texts."""
    with InferenceServerClient(server.grpc_url) as triton:
        answer = triton.get_inference_statistics("align_text")
    return answer.model_stats[0].inference_count


def test_http_port_of_triton_is_named(server):
    with (
        AlignClient(server.http_url) as lost,
        pytest.raises(ServerUnavailable, match="8001 is gRPC, 8000 HTTP"),
    ):
        lost.classify(disc_image(), LABELS)
    with AlignClient(server.http_url) as lost:
        assert lost.ready() is False
