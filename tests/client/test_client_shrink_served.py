"""Shrunk pictures have the answers of whole ones, from the real server and through reloads."""

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
    """Sends files as they are."""
    with AlignClient(server.grpc_url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def shrinking(server):
    with AlignClient(server.grpc_url, timeout=60, shrink=True) as client:
        yield client


class TestTheRealServer:
    def test_the_image_model_says_how_it_resizes(self, client, served_name):
        client.embed_image(smooth(200, 200))
        _, transform, _ = create_align(served_name)
        told = (*transform.size, transform.resample)
        assert client._align.image_sender._resize == (*told, resize_fingerprint(*told))

    @pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"])
    @pytest.mark.parametrize("size", [(151, 149), (301, 203), (80, 997)], ids=str)
    def test_a_pil_image_has_the_whole_one_s_answer_to_the_bit(self, client, mode, size):
        image = smooth(*size, mode)
        whole = client.embed_image(encoded(image).data)
        assert np.array_equal(client.embed_image(image), whole)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_a_turned_photograph_has_the_whole_one_s_answer_to_the_bit(
        self, client, shrinking, orientation
    ):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = file(smooth(613, 411), "JPEG", quality=95, exif=exif)
        assert np.array_equal(shrinking.embed_image(data), client.embed_image(data))

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
    def test_a_file_of_any_format_has_the_whole_one_s_answer_to_the_bit(
        self, client, shrinking, tmp_path, kind
    ):
        path = tmp_path / "picture"
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
    def test_a_damaged_file_has_the_same_error(self, client, shrinking, data):
        with pytest.raises(InvalidInput) as whole:
            client.embed_image([smooth(9, 9), data])
        with pytest.raises(InvalidInput, match=r"^image 1: ") as shrunk:
            shrinking.embed_image([smooth(9, 9), data])
        assert shrunk.value.message == whole.value.message

    def test_a_picture_larger_than_the_server_takes_is_answered(self, client):
        image = Image.new("RGB", (8000, 7000), "red")
        with pytest.raises(InvalidInput, match="50,000,000"):
            client.embed_image(file(image))
        small = Image.new("RGB", (8, 7), "red")
        assert np.array_equal(client.embed_image(image), client.embed_image(small))


class TestPuppets:
    """Their answer is the width and height of what they were sent, as a direction."""

    IMAGE = smooth(300, 200)

    @pytest.fixture
    def client(self, triton):
        with AlignClient(triton.url, timeout=30, shrink=True) as client:
            yield client

    @staticmethod
    def seen(client, image=IMAGE):
        width, height, *_ = client.embed_image(image)[0].tolist()
        return pytest.approx(width / height, rel=1e-5)

    def test_the_size_is_the_server_s(self, triton, client):
        triton.load("align_image", resize="64 48 2")
        assert self.seen(client) == 48 / 64
        assert self.seen(client, file(self.IMAGE)) == 48 / 64

    def test_a_picture_shrunk_for_the_checkpoint_before_is_sent_again(self, triton, client):
        triton.load("align_image", resize="64 48 2")
        assert self.seen(client) == 48 / 64
        triton.load("align_image", resize="30 50 3")
        assert self.seen(client) == 50 / 30
        triton.load("align_image", resize="0 0 0")
        assert self.seen(client) == 300 / 200

    def test_a_server_that_never_stays_the_same_is_named(self, triton, client):
        triton.load("align_image", resize="64 48 2; 30 50 3")
        with pytest.raises(ModelUnavailable, match=f"{triton.url} changes faster"):
            client.embed_image(self.IMAGE)

    def test_a_model_that_does_not_resize_gets_it_whole_though_it_refuses_tiny_pictures(
        self, triton, client
    ):
        triton.load("align_image", resize="0 0 0")
        assert self.seen(client) == 300 / 200
        with pytest.raises(InvalidInput, match="smaller than the crop"):
            client.embed_image(Image.new("RGB", (8, 8)))

    def test_a_model_that_does_not_say_gets_everything_whole(self, puppets, client):
        for image in (self.IMAGE, file(self.IMAGE)):
            assert client.embed_image(image).shape == (1, 4)
        assert client._align.image_sender._resize == NO_RESIZE

    def test_one_that_does_not_say_how_its_pillow_resizes_is_sent_the_whole_picture_by_default(
        self, triton
    ):
        triton.load("align_image", resize="64 48 2")
        with AlignClient(triton.url, timeout=30) as client:
            assert self.seen(client) == 300 / 200

    @pytest.mark.parametrize("resize", ["-1 5 2", "0 5 2", "5 0 2"])
    def test_a_size_that_there_is_not_breaks_the_contract(self, triton, client, resize):
        triton.load("align_image", resize=resize)
        with pytest.raises(ModelUnavailable, match=r"contract: RESIZE is \[\["):
            client.embed_image(self.IMAGE)

    def test_a_filter_that_this_pillow_lacks_is_left_to_the_server(self, triton, client):
        triton.load("align_image", resize="64 48 99")
        assert self.seen(client) == 300 / 200

    def test_the_size_is_asked_for_once_however_many_ask_at_first(self, triton, client):
        triton.load("align_image", resize="64 48 2")
        before = answered(triton)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(client.embed_image, [self.IMAGE] * 8))
        client.embed_image([self.IMAGE] * 4)
        assert answered_since(triton, before, 1 + 8 + 4) == 1 + 8 + 4

    def test_after_a_reload_only_the_first_is_sent_twice(self):
        with Scripted(resize=[64, 48, 2]) as server, AlignClient(server.url) as client:
            client.embed_image(self.IMAGE)
            server.resize = [30, 50, 3]
            client.embed_image([self.IMAGE])
            client.embed_image(self.IMAGE)
            assert len(server.requests) == (1 + 1) + 2 + 1

    def test_small_pictures_are_sent_without_asking(self, triton, client):
        triton.load("align_image", resize="64 48 2")
        before = answered(triton)
        assert self.seen(client, self.IMAGE.resize((100, 90))) == 100 / 90
        assert answered_since(triton, before, 1) == 1


def answered(triton):
    """How many pictures the server has embedded, by its own count."""
    return triton.control.get_inference_statistics("align_image").model_stats[0].inference_count


def answered_since(triton, before, wanted):
    """Its count since then; Triton counts an answer only after it has sent it."""
    wait_until(lambda: answered(triton) - before >= wanted)
    return answered(triton) - before
