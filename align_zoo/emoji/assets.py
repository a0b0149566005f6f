"""Writes the demonstration's images: ``python -m align_zoo.emoji.assets``.

Each image is a drawing of Noto Emoji in front of white; the file's name is the emoji's name.
Beside them, NOTICE names the licences of all sets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from align_zoo.emoji.drawings import Drawings, load_drawings
from align_zoo.emoji.packages import CAPTIONS, HELD_OUT_STYLE, STYLES, Package, packages_folder

EMBEDDED = Path(__file__).parents[1] / "assets" / "emoji"
STYLE = "noto"
SIDE, COLOURS = 72, 128

_NOTICE = """\
The images of this folder are drawings of {noto}, rendered at {side} x {side}
pixels in front of white, with a palette of {colours} colours. Their licence is the Apache License,
Version 2.0, whose text is the file LICENSE of align-zoo.

The checkpoint align_emoji was trained on drawings and captions of these packages, none of which
is a part of align-zoo but for the drawings named above:

{trained}

The evaluation shows one more style, which no training saw:

{evaluated}

Licences: Apache-2.0 is https://www.apache.org/licenses/LICENSE-2.0, CC-BY-4.0 is
https://creativecommons.org/licenses/by/4.0/, MIT is https://opensource.org/license/mit. The
drawings of packages under CC-BY-4.0 were rendered, scaled, turned and recoloured for the training.
"""


def notice() -> str:
    """Write the attributions and licences of all sets."""
    trained = [each for style, each in STYLES.items() if style != HELD_OUT_STYLE]
    return _NOTICE.format(
        noto=f"{STYLES[STYLE].name} {STYLES[STYLE].version}, Copyright {STYLES[STYLE].author}",
        side=SIDE,
        colours=COLOURS,
        trained="\n".join(map(_line, [*trained, CAPTIONS])),
        evaluated=_line(STYLES[HELD_OUT_STYLE]),
    )


def _line(package: Package) -> str:
    return f"- {package.name} {package.version}, {package.author}: {package.licence}"


def write_images(drawings: Drawings, folder: Path) -> None:
    """Write an image of each concept, the first drawing of the style."""
    folder.mkdir(parents=True, exist_ok=True)
    of_style = np.flatnonzero(np.array(drawings.style) == STYLE)
    concepts, first = np.unique(drawings.concept[of_style], return_index=True)
    for concept, pixels in zip(concepts, drawings.on_white(of_style[first]), strict=True):
        image = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        small = image.quantize(COLOURS, dither=Image.Dither.NONE)
        small.save(folder / f"{drawings.concepts[concept].slug}.png", optimize=True)


def main(
    out: Annotated[Path, typer.Option(help="The folder to write.")] = EMBEDDED,
    packages: Annotated[Path | None, typer.Option(help="The folder of npm packages.")] = None,
) -> None:
    """Write the images and NOTICE."""
    write_images(load_drawings(packages or packages_folder()), out)
    (out / "NOTICE").write_text(notice(), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
