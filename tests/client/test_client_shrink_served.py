"""Shrunk images have the answers of whole images, also after reloads of the server."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from scripted import Scripted
from waiting import wait_until

from align_client import AlignClient, InvalidInput, ModelUnavailable
from align_client.images import encoded
from align_client.shrink import NO_RESIZE
from align_zoo import create_align
from align_zoo.serving.model.outputs import resize_fingerprint


def smooth(width, height, mode="RGB", seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    large = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    fine = np.random.default_rng(seed).integers(-20, 20, (height, width, 3))
    pixels = (np.asarray(large) + fine).clip(0, 255).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 200)
    return Image.fromarray(pixels).convert(mode)


def file(image, kind="PNG", **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


@pytest.fixture(scope="module")
def client(server):
    """A client that sends files unchanged."""
    with AlignClient(server.grpc_url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def shrinking(server):
    with AlignClient(server.grpc_url, timeout=60, shrink=True) as client:
        yield client


class TestTheRealServer:
    def test_image_model_reports_resize(self, client, served_name):
        client.embed_image(smooth(200, 200))
        _, transform, _ = create_align(served_name)
        told = (*transform.size, transform.resample)
        assert client._align.image_sender._resize == (*told, resize_fingerprint(*told))

    @pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"])
    @pytest.mark.parametrize("size", [(151, 149), (301, 203), (80, 997)], ids=str)
    def test_shrunk_pil_image_has_identical_answer(self, client, mode, size):
        image = smooth(*size, mode)
        whole = client.embed_image(encoded(image).data)
        assert np.array_equal(client.embed_image(image), whole)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_shrunk_rotated_photo_has_identical_answer(self, client, shrinking, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = file(smooth(613, 411), "JPEG", quality=95, exif=exif)
        assert np.array_equal(shrinking.embed_image(data), client.embed_image(data))

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
    def test_shrunk_file_has_identical_answer(self, client, shrinking, tmp_path, kind):
        path = tmp_path / "image"
        path.write_bytes(file(smooth(1001, 777), kind))
        assert np.array_equal(shrinking.embed_image(path), client.embed_image(path))

    @pytest.mark.parametrize(
        "data",
        [
            b"these are words\n" * 10_000,
            file(smooth(500, 500), "JPEG", quality=95)[:-9000],
            file(smooth(500, 500))[:-9000],
        ],
        ids=["words", "JPEG", "PNG"],
    )
    def test_damaged_file_has_the_same_error(self, client, shrinking, data):
        with pytest.raises(InvalidInput) as whole:
            client.embed_image([smooth(9, 9), data])
        with pytest.raises(InvalidInput, match=r"^image 1: ") as shrunk:
            shrinking.embed_image([smooth(9, 9), data])
        assert shrunk.value.message == whole.value.message

    def test_image_above_server_limit_is_shrunk(self, client):
        image = Image.new("RGB", (8000, 7000), "red")
        with pytest.raises(InvalidInput, match="50,000,000"):
            client.embed_image(file(image))
        small = Image.new("RGB", (8, 7), "red")
        assert np.array_equal(client.embed_image(image), client.embed_image(small))


class TestPuppets:
    """Scripted models, whose answer is the direction (width, height) of the image they got."""

    IMAGE = smooth(300, 200)

    @pytest.fixture
    def client(self, triton):
        with AlignClient(triton.url, timeout=30, shrink=True) as client:
            yield client

    @staticmethod
    def seen(client, image=IMAGE):
        width, height, *_ = client.embed_image(image)[0].tolist()
        return pytest.approx(width / height, rel=1e-5)

    def test_size_is_the_server_s(self, triton, client):
        triton.load("align_image", resize="64 48 2")
        assert self.seen(client) == 48 / 64
        assert self.seen(client, file(self.IMAGE)) == 48 / 64

    def test_image_shrunk_for_old_checkpoint_is_resent(self, triton, client):
        triton.load("align_image", resize="64 48 2")
        assert self.seen(client) == 48 / 64
        triton.load("align_image", resize="30 50 3")
        assert self.seen(client) == 50 / 30
        triton.load("align_image", resize="0 0 0")
        assert self.seen(client) == 300 / 200

    def test_ever_changing_server_is_named(self, triton, client):
        triton.load("align_image", resize="64 48 2; 30 50 3")
        with pytest.raises(ModelUnavailable, match=f"{triton.url} changes faster"):
            client.embed_image(self.IMAGE)

    def test_model_without_resize_gets_whole_image(self, triton, client):
        triton.load("align_image", resize="0 0 0")
        assert self.seen(client) == 300 / 200
        with pytest.raises(InvalidInput, match="smaller than the crop"):
            client.embed_image(Image.new("RGB", (8, 8)))

    def test_unknown_resize_gets_whole_images(self, puppets, client):
        for image in (self.IMAGE, file(self.IMAGE)):
            assert client.embed_image(image).shape == (1, 4)
        assert client._align.image_sender._resize == NO_RESIZE

    def test_unknown_pillow_gets_whole_image_by_default(self, triton):
        triton.load("align_image", resize="64 48 2")
        with AlignClient(triton.url, timeout=30) as client:
            assert self.seen(client) == 300 / 200

    @pytest.mark.parametrize("resize", ["-1 5 2", "0 5 2", "5 0 2"])
    def test_invalid_resize_breaks_contract(self, triton, client, resize):
        triton.load("align_image", resize=resize)
        with pytest.raises(ModelUnavailable, match=r"contract: RESIZE is \[\["):
            client.embed_image(self.IMAGE)

    def test_unknown_filter_is_left_to_server(self, triton, client):
        triton.load("align_image", resize="64 48 99")
        assert self.seen(client) == 300 / 200

    def test_concurrent_calls_ask_for_resize_once(self, triton, client):
        triton.load("align_image", resize="64 48 2")
        before = answered(triton)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(client.embed_image, [self.IMAGE] * 8))
        client.embed_image([self.IMAGE] * 4)
        assert answered_since(triton, before, 1 + 8 + 4) == 1 + 8 + 4

    def test_only_first_image_after_reload_is_resent(self):
        with Scripted(resize=[64, 48, 2]) as server, AlignClient(server.url) as client:
            client.embed_image(self.IMAGE)
            server.resize = [30, 50, 3]
            client.embed_image([self.IMAGE])
            client.embed_image(self.IMAGE)
            assert len(server.requests) == (1 + 1) + 2 + 1

    def test_small_images_need_no_resize_query(self, triton, client):
        triton.load("align_image", resize="64 48 2")
        before = answered(triton)
        assert self.seen(client, self.IMAGE.resize((100, 90))) == 100 / 90
        assert answered_since(triton, before, 1) == 1


def answered(triton):
    """Return the server's count of embedded images."""
    return triton.control.get_inference_statistics("align_image").model_stats[0].inference_count


def answered_since(triton, before, wanted):
    """Return the count since ``before``; Triton counts an answer only after sending it."""
    wait_until(lambda: answered(triton) - before >= wanted)
    return answered(triton) - before
