"""The client against the real server: right answers, and bad input that harms nobody else."""

import io
import itertools
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps
from transformers import AlignModel, AutoImageProcessor, AutoTokenizer, pipeline

from align_client import AlignClient, InvalidInput, ServerUnavailable
from align_client.scores import softmax
from align_zoo.checkpoint import EMBEDDED

# One picture alone, or in a batch with others: sums are added in another order.
TOLERANCE = 1e-5

LABELS = ["a red circle", "a blue square", "a green triangle"]


def picture(colour="red", size=(120, 90)):
    """A disc off the centre, with noise: no symmetry that would hide a wrong turn."""
    width, height = size
    noise = np.random.default_rng(0).integers(200, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    ImageDraw.Draw(image).ellipse((10, 5, width // 2 + 10, height // 2 + 15), fill=colour)
    return image


def file(image, kind="PNG", **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def png(width, height, rows):
    """A PNG of 1-bit grey written by hand; ``rows`` are compressed as they are."""

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    body = b"".join([packer.compress(row) for row in rows] + [packer.flush()])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


@pytest.fixture(scope="module")
def client(server):
    with AlignClient(server.grpc_url, timeout=60) as client:
        yield client


@pytest.fixture(autouse=True)
def still_answers(client):
    """Whatever a test sends, the server answers rightly afterwards."""
    yield
    assert client.ready(deep=True)


@pytest.fixture(scope="module")
def expected(client):
    """A picture's row, asked for alone."""
    return {c: client.embed_image(picture(c))[0] for c in ("red", "green", "blue")}


class TestAnswers:
    def test_rows_are_unit_vectors_of_one_width(self, client):
        images = client.embed_image([picture("red"), picture("blue")])
        texts = client.embed_text(LABELS)
        assert images.dtype == texts.dtype == np.float32
        assert images.shape == (2, texts.shape[1]) and len(texts) == 3
        assert np.allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)
        assert np.allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)

    def test_similarity_is_the_cosine_of_the_embeddings(self, client):
        images = [picture("red"), picture("blue")]
        cosines = client.embed_image(images) @ client.embed_text(LABELS).T
        assert client.similarity(images, LABELS) == pytest.approx(cosines, abs=TOLERANCE)

    def test_scores_are_the_softmax_of_cosine_by_temperature(self, client):
        cosines = client.similarity(picture("red"), LABELS)[0]
        scores = dict(zip(LABELS, softmax(cosines / client.temperature()), strict=True))
        answer = client.classify(picture("red"), LABELS)
        assert dict(answer) == pytest.approx(scores, abs=1e-6)
        assert sum(p.score for p in answer) == pytest.approx(1)
        assert answer == sorted(answer, key=lambda p: -p.score)

    def test_scores_are_those_of_transformers_pipeline_on_the_same_files(
        self, client, served_name, tmp_path
    ):
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
            "a.png": file(picture("red")),
            "b.jpg": file(picture("blue", (64, 200)), "JPEG", exif=turned),
            "c.png": file(picture("green").quantize(16)),
            "d.jpg": file(picture("red", (700, 500)).convert("CMYK"), "JPEG"),
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
            picture(colour), ["red", "green", "blue"], template="a photo of a {} circle"
        )
        assert best.label == colour

    def test_several_images_have_an_answer_each_in_their_order(self, client):
        images = [picture(c) for c in ("red", "blue", "green")]
        one_by_one = [client.classify(image, LABELS) for image in images]
        together = client.classify(images, LABELS)
        for alone, batched in zip(one_by_one, together, strict=True):
            assert dict(batched) == pytest.approx(dict(alone), abs=1e-3)
        assert client.classify([images[0]], LABELS, top_k=1)[0][0].label == together[0][0].label

    def test_a_picture_is_the_same_as_path_bytes_pil_image_and_array(self, client, tmp_path):
        image = picture()
        image.save(tmp_path / "a.png")
        path = tmp_path / "a.png"
        kinds = [path, str(path), path.read_bytes(), image, Image.open(path), np.asarray(image)]
        rows = client.embed_image(kinds)
        assert np.abs(rows - rows[0]).max() < TOLERANCE

    def test_more_texts_than_the_server_s_batch_come_back_in_order(self, client):
        texts = [f"{word} {i}" for i in range(100) for word in ("cat", "a very long red circle")]
        rows = client.embed_text([*texts, *texts[::-1]])
        assert np.array_equal(rows[:200], rows[200:][::-1])
        for i in (0, 1, 100, 199):
            assert np.abs(rows[i] - client.embed_text(texts[i])[0]).max() < TOLERANCE

    def test_labels_are_embedded_once(self, client):
        labels = [f"label number {i}" for i in range(5)]
        first = client.classify(picture(), labels)
        before = texts_answered(client)
        assert dict(client.classify(picture(), labels)) == pytest.approx(dict(first), abs=1e-6)
        assert texts_answered(client) == before

    def test_threads_share_a_client_and_each_has_its_own_answer(self, client, expected):
        def ask(i):
            colour = ("red", "green", "blue")[i % 3]
            return np.abs(client.embed_image(picture(colour))[0] - expected[colour]).max()

        with ThreadPoolExecutor(8) as threads:
            assert max(threads.map(ask, range(60))) < TOLERANCE


def texts_answered(client):
    """How many texts the server has embedded, by its own count."""
    answer = client._transport._triton.get_inference_statistics("align_text")
    return answer.model_stats[0].inference_count


def bomb(rows):
    """The first rows of a 30,000 x 30,000 PNG."""
    return png(30_000, 30_000, itertools.repeat(b"\0" + b"\xf0" * 3750, rows))


# What is in the file, made when it is needed, and what the message says.
BAD_FILES = {
    "empty": (lambda: b"", "empty"),
    "text": (lambda: b"these are words\n" * 100, "accepted format"),
    "SVG": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "accepted format"),
    "truncated JPEG": (lambda: file(picture(), "JPEG")[:-900], "truncated"),
    "truncated PNG": (lambda: file(picture())[:-900], "truncated"),
    "20 bytes of a JPEG": (lambda: file(picture(), "JPEG")[:20], "format|damaged"),
    "0 x 0 PNG": (lambda: png(0, 0, []), "accepted format"),
    "0 x 1 PNG": (lambda: png(0, 1, [b"\0"]), "accepted format"),
    "30,000 x 30,000 PNG of some bytes": (lambda: bomb(9), "pixels"),
    "30,000 x 30,000 PNG, complete": (lambda: bomb(30_000), "pixels"),
}


class TestBadPictures:
    @pytest.mark.parametrize("name", BAD_FILES)
    def test_bad_bytes_are_bad_input_that_says_why(self, client, name):
        data, words = BAD_FILES[name][0](), BAD_FILES[name][1]
        with pytest.raises(InvalidInput, match=words):
            client.embed_image(data)

    @pytest.mark.parametrize("name", BAD_FILES)
    def test_a_bad_file_is_bad_input_that_says_why(self, client, tmp_path, name):
        data, words = BAD_FILES[name][0](), BAD_FILES[name][1]
        (tmp_path / "bad.jpg").write_bytes(data)
        with pytest.raises(InvalidInput, match=words):
            client.classify(tmp_path / "bad.jpg", LABELS)

    @pytest.mark.parametrize(
        "what, words",
        [
            ("nowhere.jpg", "does not exist"),
            (".", "is a directory"),
            (np.zeros((0, 0, 3), np.uint8), "no pixels"),
            (Image.new("RGB", (0, 0)), "no pixels"),
        ],
    )
    def test_what_cannot_be_sent_is_bad_input_that_says_why(self, client, tmp_path, what, words):
        image = tmp_path / what if isinstance(what, str) else what
        with pytest.raises(InvalidInput, match=words):
            client.classify(image, LABELS)

    def test_in_a_batch_the_bad_one_is_named(self, client):
        batch = [picture("red"), picture("blue"), b"these are words", picture("green")]
        with pytest.raises(InvalidInput, match=r"^image 2: .*accepted format"):
            client.embed_image(batch)
        with pytest.raises(InvalidInput, match=r"^image 2: "):
            client.classify(batch, LABELS)

    def test_the_others_of_the_same_batch_are_answered_right(self, client, expected):
        """Single calls made at once: the server batches them, and each has its own outcome."""
        items = [make() for make, _ in BAD_FILES.values()] + ["red", "green", "blue"] * 4
        order = np.random.default_rng(0).permutation(len(items))

        def ask(i):
            item = items[i]
            if isinstance(item, str):
                row = client.embed_image(picture(item))[0]
                return np.abs(row - expected[item]).max() < TOLERANCE
            with pytest.raises(InvalidInput):
                client.embed_image(item)
            return True

        with ThreadPoolExecutor(len(items)) as threads:
            assert all(threads.map(ask, order))


class TestUnusualPictures:
    """Each is compared with the plain RGB picture that it is."""

    def same(self, client, data, plain):
        one, other = client.embed_image([data, plain.convert("RGB")])
        return np.abs(one - other).max() < TOLERANCE

    @pytest.mark.parametrize("mode", ["RGB", "L", "1", "P"])
    def test_1x1(self, client, mode):
        image = Image.new("RGB", (1, 1), "red").convert(mode)
        assert self.same(client, file(image), image)
        assert self.same(client, image, image)

    def test_cmyk_jpeg(self, client):
        data = file(picture().convert("CMYK"), "JPEG")
        assert self.same(client, data, Image.open(io.BytesIO(data)))
        assert self.same(client, Image.open(io.BytesIO(data)), Image.open(io.BytesIO(data)))

    @pytest.mark.parametrize("transparency", [0, bytes(range(16))])
    def test_palette_with_transparency(self, client, transparency):
        image = picture().quantize(16)
        data = file(image, transparency=transparency)
        assert Image.open(io.BytesIO(data)).info["transparency"] is not None
        assert self.same(client, data, image)
        assert self.same(client, Image.open(io.BytesIO(data)), image)

    def test_alpha_is_dropped(self, client):
        image = picture().convert("RGBA")
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        for given in (file(image), image, np.asarray(image)):
            assert self.same(client, given, image)

    def test_16_bit_grey_is_scaled(self, client):
        grey = picture().convert("L")
        sixteen = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
        assert self.same(client, file(sixteen), grey)
        assert self.same(client, sixteen, grey)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_turned_jpeg(self, client, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = file(picture(), "JPEG", exif=exif)
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        assert self.same(client, data, upright)
        assert self.same(client, Image.open(io.BytesIO(data)), upright)
        if orientation != 1:
            assert not self.same(client, data, Image.open(io.BytesIO(file(picture(), "JPEG"))))

    def test_of_an_animated_gif_the_first_frame(self, client):
        frames = [picture("red").quantize(32), picture("blue").quantize(32)]
        data = file(frames[0], "GIF", save_all=True, append_images=frames[1:])
        assert self.same(client, data, Image.open(io.BytesIO(data)))

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
    def test_every_accepted_format(self, client, kind):
        data = file(picture(), kind)
        assert self.same(client, data, Image.open(io.BytesIO(data)))


def test_triton_s_http_port_is_told_from_its_grpc_port(server):
    with (
        AlignClient(server.http_url) as lost,
        pytest.raises(ServerUnavailable, match="8001 is gRPC, 8000 HTTP"),
    ):
        lost.classify(picture(), LABELS)
    with AlignClient(server.http_url) as lost:
        assert lost.ready() is False


class TestLabels:
    @pytest.mark.parametrize(
        "labels, words",
        [
            ([], "no labels"),
            (["cat", ""], "label 1 is empty"),
            (["cat", "  "], "label 1 is blank"),
            (["cat", 7], "label 1 must be a str, not int"),
            ("cat", "not str"),
            (["cat", "\ud83d"], "label 1 holds a lone surrogate"),
            # Only the server knows that its tokenizer makes nothing of it.
            (["cat", "cat", "dog", "\u200b\x01", "cow"], "^label 3: .*blank"),
            (["\u200b\x01"], "^label 0: .*blank"),
        ],
    )
    def test_a_label_that_cannot_be_used_is_named(self, client, labels, words):
        with pytest.raises(InvalidInput, match=words):
            client.classify(picture(), labels)

    def test_a_bad_text_far_down_the_list_is_named(self, client):
        texts = [f"text {i}" for i in range(150)]
        texts[120] = "\x01\x02"
        with pytest.raises(InvalidInput, match=r"^text 120: "):
            client.embed_text(texts)

    def test_duplicates_are_answered_and_counted_once(self, client):
        once = client.classify(picture(), LABELS)
        twice = client.classify(picture(), [LABELS[1], *LABELS, LABELS[1]])
        assert dict(twice) == pytest.approx(dict(once), abs=1e-6) and len(twice) == 3

    def test_a_text_asked_for_twice_has_two_rows(self, client):
        rows = client.embed_text(["a cat", "a dog", "a cat"])
        assert np.array_equal(rows[0], rows[2])
        assert client.similarity(picture(), ["a cat", "a dog", "a cat"]).shape == (1, 3)

    def test_10_000_characters_are_cut_as_the_tokenizer_does(self, client):
        long, shorter = "circle " * 1428 + "circ", "circle " * 600
        assert len(long) == 10_000
        rows = client.embed_text([long, shorter])
        assert np.abs(rows[0] - rows[1]).max() < TOLERANCE
        assert len(client.classify(picture(), [long, "a red circle"])) == 2

    @pytest.mark.parametrize("label", ["ein großer Hund", "赤い丸", "🔴", "a {} {0}", "a\x00b"])
    def test_any_language_and_sign(self, client, label):
        answer = client.classify(picture(), [label, "a red circle"], template="a photo of {}")
        assert {p.label for p in answer} == {label, "a red circle"}
