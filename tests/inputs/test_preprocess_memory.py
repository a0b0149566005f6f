"""The memory that an accepted image takes while it is decoded."""

from __future__ import annotations

import json
import subprocess
import sys

import pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()  # so that Pillow writes HEIF

MEASURED = """
import json, re, sys
from align_zoo.inputs.decode import decode_image

def peak():  # not getrusage's, which begins with that of the process it was started by
    return 1024 * int(re.search("VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])

first = 2 + int(sys.argv[1])  # decoders are loaded by the files before
for path in sys.argv[2:first]:
    decode_image(open(path, "rb").read())
before = peak()
taken = []
for path in sys.argv[first:]:
    decode_image(open(path, "rb").read())
    taken.append(peak() - before)
print(json.dumps(taken))
"""


def test_image_takes_at_most_20_bytes_a_pixel(tmp_path):
    side, exif = 2_500, Image.Exif()
    exif[0x0112] = 6
    ways = {
        "JPEG": {"mode": "CMYK", "progressive": True, "subsampling": 0},
        "PNG": {"mode": "RGBA", "compress_level": 1},
        "TIFF": {"mode": "RGBA", "compression": "tiff_lzw"},
        "GIF": {"mode": "P"},
        "WEBP": {"mode": "RGBA", "lossless": True, "method": 0, "quality": 0},
        "AVIF": {"mode": "RGBA", "subsampling": "4:4:4", "speed": 10},
        "HEIF": {"mode": "RGBA", "chroma": 444, "enc_params": {"preset": "ultrafast"}},
    }
    waves = Image.linear_gradient("L").resize((side, side)).convert("RGB")
    paths = []
    for kind, options in ways.items():
        paths.append(tmp_path / kind)
        mode = options.pop("mode")
        turned = {} if kind == "GIF" else {"exif": exif.tobytes()}
        waves.convert(mode).save(paths[-1], kind, **options, **turned)
    small = [tmp_path / f"small {kind}" for kind in ("WEBP", "AVIF", "HEIF")]
    for path in small:
        Image.new("RGB", (32, 16), "red").save(path, path.name.split()[1])
    command = [sys.executable, "-c", MEASURED, str(len(small)), *small, *paths]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    taken = dict(zip(ways, json.loads(out), strict=True))
    assert max(taken.values()) > 4 * side * side  # it is measured at all
    assert max(taken.values()) < 20 * side * side, taken
