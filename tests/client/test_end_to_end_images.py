"""The real server answers bad and unusual images, which affect no other item."""

import io
import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from photos import LABELS, TOLERANCE, disc_image, file, png
from PIL import Image, ImageOps

from align_client import AlignClient, InvalidInput


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


def bomb(rows):
    """Make the first rows of a 30,000 x 30,000 PNG."""
    return png(30_000, 30_000, itertools.repeat(b"\0" + b"\xf0" * 3750, rows))


# The content of the file, made when needed, and the expected message.
BAD_FILES = {
    "empty": (lambda: b"", "empty"),
    "text": (lambda: b"these are words\n" * 100, "accepted format"),
    "SVG": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "accepted format"),
    "truncated JPEG": (lambda: file(disc_image(), "JPEG")[:-900], "truncated"),
    "truncated PNG": (lambda: file(disc_image())[:-900], "truncated"),
    "20 bytes of a JPEG": (lambda: file(disc_image(), "JPEG")[:20], "format|damaged"),
    "0 x 0 PNG": (lambda: png(0, 0, []), "accepted format|damaged"),
    "0 x 1 PNG": (lambda: png(0, 1, [b"\0"]), "accepted format|damaged"),
    "30,000 x 30,000 PNG of some bytes": (lambda: bomb(9), "pixels"),
    "30,000 x 30,000 PNG, complete": (lambda: bomb(30_000), "pixels"),
}


class TestBadImages:
    @pytest.mark.parametrize("name", BAD_FILES)
    def test_bad_bytes_are_invalid(self, client, name):
        data, words = BAD_FILES[name][0](), BAD_FILES[name][1]
        with pytest.raises(InvalidInput, match=words):
            client.embed_image(data)

    @pytest.mark.parametrize("name", BAD_FILES)
    def test_bad_file_is_invalid(self, client, tmp_path, name):
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
    def test_unsendable_image_is_invalid(self, client, tmp_path, what, words):
        image = tmp_path / what if isinstance(what, str) else what
        with pytest.raises(InvalidInput, match=words):
            client.classify(image, LABELS)

    def test_bad_image_of_batch_is_named(self, client):
        batch = [disc_image("red"), disc_image("blue"), b"these are words", disc_image("green")]
        with pytest.raises(InvalidInput, match=r"^image 2: .*accepted format"):
            client.embed_image(batch)
        with pytest.raises(InvalidInput, match=r"^image 2: "):
            client.classify(batch, LABELS)

    def test_other_images_of_batch_are_answered(self, client, expected):
        """The server batches simultaneous calls, and each has its own outcome."""
        items = [make() for make, _ in BAD_FILES.values()] + ["red", "green", "blue"] * 4
        order = np.random.default_rng(0).permutation(len(items))

        def ask(i):
            item = items[i]
            if isinstance(item, str):
                row = client.embed_image(disc_image(item))[0]
                return np.abs(row - expected[item]).max() < TOLERANCE
            with pytest.raises(InvalidInput):
                client.embed_image(item)
            return True

        with ThreadPoolExecutor(len(items)) as threads:
            assert all(threads.map(ask, order))


class TestUnusualImages:
    """Each image is compared with the RGB image of the same pixels."""

    def same(self, client, data, plain):
        one, other = client.embed_image([data, plain.convert("RGB")])
        return np.abs(one - other).max() < TOLERANCE

    @pytest.mark.parametrize("mode", ["RGB", "L", "1", "P"])
    def test_1x1(self, client, mode):
        image = Image.new("RGB", (1, 1), "red").convert(mode)
        assert self.same(client, file(image), image)
        assert self.same(client, image, image)

    def test_cmyk_jpeg(self, client):
        data = file(disc_image().convert("CMYK"), "JPEG")
        assert self.same(client, data, Image.open(io.BytesIO(data)))
        assert self.same(client, Image.open(io.BytesIO(data)), Image.open(io.BytesIO(data)))

    @pytest.mark.parametrize("transparency", [0, bytes(range(16))])
    def test_palette_with_transparency(self, client, transparency):
        image = disc_image().quantize(16)
        data = file(image, transparency=transparency)
        assert Image.open(io.BytesIO(data)).info["transparency"] is not None
        assert self.same(client, data, image)
        assert self.same(client, Image.open(io.BytesIO(data)), image)

    def test_alpha_is_dropped(self, client):
        image = disc_image().convert("RGBA")
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        for given in (file(image), image, np.asarray(image)):
            assert self.same(client, given, image)

    def test_16_bit_grey_is_scaled(self, client):
        grey = disc_image().convert("L")
        sixteen = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
        assert self.same(client, file(sixteen), grey)
        assert self.same(client, sixteen, grey)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_turned_jpeg(self, client, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = file(disc_image(), "JPEG", exif=exif)
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        assert self.same(client, data, upright)
        assert self.same(client, Image.open(io.BytesIO(data)), upright)
        if orientation != 1:
            assert not self.same(client, data, Image.open(io.BytesIO(file(disc_image(), "JPEG"))))

    def test_first_frame_of_animated_gif(self, client):
        frames = [disc_image("red").quantize(32), disc_image("blue").quantize(32)]
        data = file(frames[0], "GIF", save_all=True, append_images=frames[1:])
        assert self.same(client, data, Image.open(io.BytesIO(data)))

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
    def test_every_accepted_format(self, client, kind):
        data = file(disc_image(), kind)
        assert self.same(client, data, Image.open(io.BytesIO(data)))
