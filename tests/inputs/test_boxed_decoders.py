"""The decoders of AVIF and HEIF: which one reads a file, and what is said if it is missing."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pillow_heif
import pytest
from entries import RESIZE
from PIL import AvifImagePlugin, Image, features

from align_client.shrink import shrunk_file
from align_zoo import InvalidImage
from align_zoo.inputs.cost import format_of
from align_zoo.inputs.decode import decode_image

pillow_heif.register_heif_opener()  # so that Pillow writes HEIF


def written(kind: str, **options) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (240, 300, 3), np.uint8)
    Image.fromarray(noise).save(file, kind, **options)
    return file.getvalue()


def test_missing_extra_is_named(monkeypatch):
    data = written("HEIF")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(InvalidImage, match=r"HEIF .* extra formats: .*'\.\[formats\]'") as refused:
        decode_image(data)
    assert refused.value.reason == "no_decoder"


def test_pillow_without_avif_is_named(monkeypatch):
    data = written("AVIF")
    monkeypatch.setattr(features, "check", lambda name: name != "avif")
    with pytest.raises(InvalidImage, match="needs a Pillow that reads AVIF") as refused:
        decode_image(data)
    assert refused.value.reason == "no_decoder"


@pytest.mark.parametrize(
    ("brands", "kind"),
    [
        (b"avif0000mif1miaf", "AVIF"),
        (b"avis0000avifmsf1", "AVIF"),
        (b"mif10000miafavif", "AVIF"),
        (b"heic0000mif1heic", "HEIF"),
        (b"mif10000mif1heic", "HEIF"),
        (b"msf10000hevcmsf1", "HEIF"),
        (b"isom0000mp41avc1", None),
        (b"mif10000mif1jpeg", None),
    ],
)
def test_format_is_known_by_its_brands(brands, kind):
    assert format_of(b"\0\0\0\x18ftyp" + brands) == kind


@pytest.mark.parametrize(("chosen", "used"), [(0, 1), (3, 3)])
@pytest.mark.parametrize("decode", [decode_image, lambda data: shrunk_file(data, RESIZE)])
def test_avif_takes_one_thread_unless_told(decode, chosen, used, monkeypatch):
    asked = []
    plain = AvifImagePlugin._get_default_max_threads
    monkeypatch.setattr(AvifImagePlugin, "DEFAULT_MAX_THREADS", chosen)
    monkeypatch.setattr(
        AvifImagePlugin, "_get_default_max_threads", lambda: asked.append(plain()) or asked[-1]
    )
    decode(written("AVIF", subsampling="4:4:4", quality=100))  # worth shrinking
    assert asked[-1] == used
    assert chosen == AvifImagePlugin.DEFAULT_MAX_THREADS


def test_plugin_is_registered_by_its_first_image(tmp_path):
    (tmp_path / "heif").write_bytes(written("HEIF"))
    (tmp_path / "avif").write_bytes(written("AVIF"))
    code = """
import sys
from pathlib import Path
from align_zoo.inputs.decode import decode_image
for name in ("avif", "heif"):
    decode_image((Path(sys.argv[1]) / name).read_bytes())
    print("pillow_heif" in sys.modules)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert out.split() == ["False", "True"]
