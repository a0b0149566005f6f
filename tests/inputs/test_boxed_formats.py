"""AVIF and HEIF have a second decoder's pixels, upright and in 8 bits, by every entry."""

from __future__ import annotations

import io
import re

import av
import imagecodecs
import numpy as np
import pillow_heif
import pytest
from entries import REFUSED, seen, seen_resized
from fuzz.files import Item, boxed, grid
from fuzz.samples import samples
from PIL import Image, ImageOps

from align_client.images import encoded
from align_client.shrink import Resize
from align_zoo import InvalidImage
from align_zoo.inputs.cost import av1
from align_zoo.inputs.cost.judge import Judge
from align_zoo.inputs.decode import decode_image

RNG = np.random.default_rng(0)
WAVES = np.stack([np.add.outer(np.arange(96) * down, np.arange(128) * 1.2) for down in (1, 2)], -1)
PHOTO = np.dstack([WAVES, WAVES[..., 0] / 2])
PHOTO = np.clip(PHOTO + RNG.integers(0, 9, PHOTO.shape), 0, 255).astype(np.uint8)
NOISE = RNG.integers(0, 256, (240, 300, 3), dtype=np.uint8)
KINDS = ["AVIF", "HEIF"]
FINE = {"AVIF": {"subsampling": "4:4:4", "quality": 100}, "HEIF": {"chroma": 444, "quality": -1}}


def written(kind: str, image: Image.Image | np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(file, kind, **options)
    return file.getvalue()


def read_by_ffmpeg(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data)) as file:
        return next(file.decode(video=0)).to_ndarray(format="rgb24")


def off_by(data: bytes, expected: np.ndarray) -> np.ndarray:
    got = np.asarray(decode_image(data))
    assert got.shape == expected.shape
    return np.abs(got.astype(float) - expected)


def of_bits(kind: str, bits: int) -> bytes:
    levels = np.round(PHOTO * ((2**bits - 1) / 255)).astype(np.uint16)
    if kind == "AVIF":
        return imagecodecs.avif_encode(levels, level=100, bitspersample=bits)
    sixteen = (levels.astype(np.uint32) << (16 - bits)).astype("<u2")
    file = io.BytesIO()
    image = pillow_heif.from_bytes("RGB;16", PHOTO.shape[1::-1], sixteen.tobytes())
    image.save(file, quality=-1, chroma=444)
    return file.getvalue()


@pytest.mark.parametrize("options", [{}, {"quality": 30}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_the_second_decoders(kind, options):
    data = written(kind, PHOTO, **options)
    off = off_by(data, read_by_ffmpeg(data))  # which scales the colours' halved planes otherwise
    assert off.max() <= 8
    assert off.mean() < 1


@pytest.mark.parametrize("kind", KINDS)
def test_full_colours_are_the_second_decoders(kind):
    data = written(kind, PHOTO, **FINE[kind])
    assert off_by(data, read_by_ffmpeg(data)).max() <= 1


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_avif_is_libavifs_own(mode):
    data = written("AVIF", Image.fromarray(PHOTO).convert(mode))
    read = imagecodecs.avif_decode(data)
    expected = read[..., :3] if read.ndim == 3 else np.repeat(read[..., None], 3, 2)
    assert off_by(data, expected).max() <= 1


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("kind", KINDS)
def test_many_bits_keep_their_range(kind, bits):
    off = off_by(of_bits(kind, bits), PHOTO)
    assert off.max() <= 3
    assert off.mean() < 1


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("kind", KINDS)
def test_grey_of_many_bits_keeps_its_range(kind, bits):
    grey = np.tile(np.arange(256, dtype=np.uint16), (64, 1))
    if kind == "AVIF":
        levels = np.round(grey * ((2**bits - 1) / 255)).astype(np.uint16)
        data = imagecodecs.avif_encode(levels, level=100, bitspersample=bits)
    else:
        file = io.BytesIO()
        pixels = (grey * 257).astype("<u2").tobytes()
        pillow_heif.from_bytes("L;16", (256, 64), pixels).save(file, quality=-1)
        data = file.getvalue()
    assert off_by(data, np.repeat(grey[..., None], 3, 2)).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_grey_stays_grey(kind):
    grey = Image.fromarray(PHOTO).convert("L")
    options = {"quality": FINE[kind]["quality"]}
    assert off_by(written(kind, grey, **options), np.asarray(grey.convert("RGB"))).max() <= 2


@pytest.mark.parametrize("kind", KINDS)
def test_alpha_is_dropped_and_its_colours_kept(kind):
    image = Image.fromarray(PHOTO)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    data = written(kind, image, **FINE[kind])
    assert Image.open(io.BytesIO(data)).mode == "RGBA"
    assert off_by(data, PHOTO).max() <= 3


@pytest.mark.parametrize("kind", KINDS)
def test_few_flat_colours_keep_their_values(kind):
    palette = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 80, 160]], np.uint8)
    flat = palette[RNG.integers(0, 4, (6, 8))].repeat(16, 0).repeat(16, 1)
    assert off_by(written(kind, flat, **FINE[kind]), flat).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", KINDS)
def test_turned_image_is_upright_by_every_entry(kind, orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = written(kind, PHOTO, exif=exif.tobytes(), **FINE[kind])
    plain = Image.fromarray(PHOTO)
    plain.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(plain))
    for way, pixels in seen(data, tmp_path / "image").items():
        assert np.abs(pixels.astype(float) - upright).max() <= 3, way


def test_exif_alone_does_not_turn_heif(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = pillow_heif.from_pillow(Image.fromarray(PHOTO))
    file = io.BytesIO()
    plain.save(file, exif=exif)  # an object, of which pillow-heif does not set the field
    assert b"irot" not in file.getvalue()
    for way, pixels in seen(file.getvalue(), tmp_path / "image").items():
        assert pixels.shape == PHOTO.shape, way


@pytest.mark.parametrize("kind", KINDS)
def test_first_of_several_frames_counts(kind, tmp_path):
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue", "lime")]
    data = written(kind, frames[0], save_all=True, append_images=frames[1:])
    for way, pixels in seen(data, tmp_path / "image").items():
        assert np.abs(pixels[3, 3].astype(int) - (255, 0, 0)).max() <= 4, way


@pytest.mark.parametrize("kind", KINDS)
def test_grid_is_put_together(kind):
    one = written(kind, PHOTO[:64, :64], **FINE[kind])
    content = one[one.rindex(b"mdat") + 4 :]
    part = Item(b"av01" if kind == "AVIF" else b"hvc1", content, (64, 64))
    whole = Item(b"grid", grid(2, 3, 180, 120), (180, 120), (b"dimg", (2, 3, 4, 5, 6, 7)))
    off = off_by(boxed(one, [whole, *[part] * 6]), np.tile(PHOTO[:64, :64], (2, 3, 1))[:120, :180])
    assert off.max() <= 3


@pytest.mark.parametrize("kind", KINDS)
def test_shrunk_image_has_the_servers_pixels(kind, tmp_path):
    data = written(kind, NOISE, **FINE[kind])
    assert len(data) > 65_536  # worth shrinking
    answers = seen_resized(data, tmp_path / "image")
    for way, answer in answers.items():
        assert np.array_equal(answer, answers["library"]), way


@pytest.mark.parametrize(("kind", "begin"), [("AVIF", b"\x89PNG"), ("HEIF", b"\0\0\0")])
def test_client_shrinks_avif_and_sends_heif_unchanged(kind, begin):
    sent = encoded(written(kind, NOISE, **FINE[kind]), Resize(37, 41, 2), files=True)
    assert sent.data.startswith(begin)
    assert sent.shrunk == (kind == "AVIF")


@pytest.mark.parametrize("kind", KINDS)
def test_cut_file_is_refused_by_every_entry(kind, tmp_path):
    data = written(kind, PHOTO)
    for length in range(40, len(data), max(1, len(data) // 25)):
        answers = seen(data[:length], tmp_path / "image")
        del answers["client, array"]  # there is none
        assert set(map(str, answers.values())) == {REFUSED}, length
        with pytest.raises(InvalidImage) as refused:
            decode_image(data[:length])
        assert refused.value.reason in ("damaged", "format")


@pytest.mark.parametrize("size", [1, 3, 64, 65, 200, 257])
def test_size_of_av1_is_read_from_its_stream(size):
    data = written("AVIF", PHOTO.repeat(3, 0)[:size, :77])
    content = data[data.rindex(b"mdat") + 4 :]
    assert list(av1.frames(content, Judge("AVIF", 10**6))) == [(77, size)]


@pytest.mark.parametrize("resized", [False, True])
def test_frames_are_judged_by_the_largest_size(resized):
    header = f"{0:05b}{0:02b}{0:05b}{0:017b}{15:04b}{15:04b}{7:016b}{7:016b}{0:011b}"
    head = int(header.ljust(88, "0"), 2).to_bytes(11, "big")
    shown_and_resized = int(f"0{1:02b}100{resized:1b}0", 2).to_bytes(1, "big")
    content = b"\x0a\x0b" + head + b"\x32\1" + shown_and_resized
    if resized:
        with pytest.raises(InvalidImage, match="65536 x 65536"):
            list(av1.frames(content, Judge("AVIF", 10**6)))
    else:
        assert list(av1.frames(content, Judge("AVIF", 10**6))) == [(8, 8)]


def test_sound_beside_a_sequence_is_no_image():
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    data = written("AVIF", frames[0], save_all=True, append_images=frames[1:])
    at = data.index(b"trak") - 4
    track = data[at : at + int.from_bytes(data[at : at + 4], "big")]
    place = data.index(b"stco") + 12
    offset = int.from_bytes(data[place : place + 4], "big")
    sound = track.replace(b"av01", b"mp4a").replace(b"pict", b"soun")
    moved = (offset + len(track)).to_bytes(4, "big")
    heard = data.replace(track, track + sound).replace(offset.to_bytes(4, "big"), moved)
    at = heard.index(b"moov") - 4
    length = int.from_bytes(heard[at : at + 4], "big") + len(track)
    heard = heard[:at] + length.to_bytes(4, "big") + heard[at + 4 :]
    assert np.array_equal(decode_image(heard), decode_image(data))


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 2**31, 2**32 - 1])
@pytest.mark.parametrize("kind", KINDS)
def test_any_box_sizes_give_image_or_refusal(kind, size):
    for name, data in samples().items():
        if not name.startswith(kind):
            continue
        for box in re.finditer(
            rb"ftyp|meta|i\w{3}|moov|trak|mdia|minf|st\w\w|hvcC|av1C|mdat", data
        ):
            at = box.start() - 4
            changed = data[:at] + size.to_bytes(4, "big") + data[at + 4 :]
            try:
                assert decode_image(changed).mode == "RGB"
            except InvalidImage as error:
                assert error.reason in ("damaged", "format", "too_many_pixels", "too_many_parts")
