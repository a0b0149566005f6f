"""Images of drawings: placed, turned and coloured at random on random backgrounds, in batches."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from align_zoo.emoji.concepts import Concept

__all__ = ["augment", "can_mirror", "draw_nothing", "place_on_white"]

_BENT = 0.05  # how far points move where a drawing is bent, in half sides
_HIDDEN = 0.25  # share of the images in which the background hides a part
_JPEG = 0.05  # share of the images; one after the other they cost most
_DIRECTED = frozenset(
    "left right clockwise counterclockwise forward back quarter crescent gibbous waxing waning "
    "button input new top free cool ok sos calendar date increasing decreasing o'clock rightwards "
    "leftwards facing".split()
)


def can_mirror(concept: Concept) -> bool:
    """Return whether a mirrored drawing shows the same concept: no direction, no letters."""
    if concept.group in ("symbols", "flags") or concept.subgroup == "time":
        return False
    return not _DIRECTED.intersection(concept.name.replace("-", " ").split())


def place_on_white(drawings: Tensor, side: int) -> Tensor:
    """Show drawings ``[B, S, S, 4]`` in front of white, ``[B, 3, side, side]`` in -1 to 1."""
    pixels = drawings.permute(0, 3, 1, 2).float() / 255
    white = pixels[:, :3] + 1 - pixels[:, 3:]
    small = F.interpolate(white, (side, side), mode="bilinear", antialias=True, align_corners=False)
    return small * 2 - 1


def augment(drawings: Tensor, mirror: Tensor, side: int, seed: int) -> Tensor:
    """Make images of drawings.

    Args:
        drawings: premultiplied RGBA bytes, ``[B, S, S, 4]``.
        mirror: which of them may be mirrored, ``[B]`` bool.
        side: the images' side in pixels.
        seed: decides everything random.

    Returns:
        ``[B, 3, side, side]`` in -1 to 1.
    """
    chance = torch.Generator().manual_seed(seed)
    layers = _place(drawings, mirror, side, chance)
    colours, cover = layers[:, :3], layers[:, 3:]
    images = _jitter(colours + (1 - cover) * _backgrounds(len(drawings), side, chance), chance)
    images = _focus(images, chance).clamp(0, 1)
    for index in torch.nonzero(_some(len(images), _JPEG, chance)).flatten().tolist():
        images[index] = _as_jpeg(images[index], int(_uniform(1, 25, 85, chance)))
    return images * 2 - 1


def draw_nothing(count: int, words: Sequence[str], side: int, seed: int) -> Tensor:
    """Make images without an emoji: backgrounds, pages of text, coloured noise as in photographs.

    Returns:
        ``[count, 3, side, side]`` in -1 to 1.
    """
    chance = torch.Generator().manual_seed(seed)
    images = _backgrounds(count, side, chance)
    kind = torch.rand(count, generator=chance)
    for index in torch.nonzero(kind < 0.25).flatten().tolist():
        images[index] = _page(words, side, chance)
    natural = (kind > 0.65)[:, None, None, None]
    images = torch.where(natural, _natural(count, side, chance), images)
    return _focus(_jitter(images, chance), chance).clamp(0, 1) * 2 - 1


def _page(words: Sequence[str], side: int, chance: torch.Generator) -> Tensor:
    """Draw a page of words, [3, side, side]."""
    chosen = torch.randint(len(words), (120,), generator=chance).tolist()
    size, wide, high = (
        int(_uniform(1, *each, chance)) for each in ((11, 20), (60, 500), (60, 400))
    )
    dark = bool(_some(1, 0.3, chance))
    page = Image.new("L", (wide, high), 20 if dark else 255)
    lines = "\n".join(
        " ".join(words[each] for each in chosen[at : at + 6]) for at in range(0, 120, 6)
    )
    draw = ImageDraw.Draw(page)
    draw.multiline_text((6, 6), lines, 235 if dark else 0, ImageFont.load_default(size))
    pixels = np.array(page.resize((side, side), Image.Resampling.BILINEAR))
    return (torch.from_numpy(pixels) / 255).expand(3, -1, -1)


def _natural(count: int, side: int, chance: torch.Generator) -> Tensor:
    """Draw noise whose amplitude falls with the frequency, as that of photographs does."""
    frequency = torch.fft.fftfreq(side)[:, None].square() + torch.fft.rfftfreq(side).square()
    fall = _uniform(count, 0.7, 1.5, chance)[:, None, None, None]
    amplitude = (frequency + 1 / side**2) ** (-fall / 2)
    noise = torch.fft.rfft2(torch.randn(count, 3, side, side, generator=chance))
    layers = torch.fft.irfft2(noise * amplitude, s=(side, side))
    layers = layers[:, :1] + _uniform(count, 0.1, 1, chance)[:, None, None, None] * layers
    scale = layers.flatten(1).std(dim=1)[:, None, None, None]
    return 0.22 * layers / scale + torch.rand(count, 3, 1, 1, generator=chance) * 0.6 + 0.2


def _uniform(count: int, low: float, high: float, chance: torch.Generator) -> Tensor:
    return torch.rand(count, generator=chance) * (high - low) + low


def _some(count: int, share: float, chance: torch.Generator) -> Tensor:
    return torch.rand(count, generator=chance) < share


def _place(drawings: Tensor, mirror: Tensor, side: int, chance: torch.Generator) -> Tensor:
    """Scale, stretch, shear, turn, mirror and move drawings, ``[B, 4, side, side]``."""
    count = len(drawings)
    size = torch.exp(_uniform(count, np.log(0.65), np.log(1.2), chance))
    aspect = torch.exp(_uniform(count, -0.16, 0.16, chance))
    angle = torch.randn(count, generator=chance) * 0.14
    shear = _uniform(count, -0.15, 0.15, chance)
    room = 0.08 + (1 - size).clamp(min=0)  # a small drawing may stand anywhere
    shift = _uniform(2 * count, -1, 1, chance).reshape(count, 2) * room[:, None]
    flip = torch.where(mirror & _some(count, 0.5, chance), -1.0, 1.0)
    cos, sin = torch.cos(angle), torch.sin(angle)
    wide, high = flip / (size * aspect), aspect / size
    matrix = torch.stack(
        [
            torch.stack([cos * wide, (shear - sin) * wide], 1),
            torch.stack([sin * high, cos * high], 1),
        ],
        1,
    )
    offset = -(matrix @ shift[:, :, None])
    # Twice the side, then the mean of each four: without aliasing.
    grid = F.affine_grid(
        torch.cat([matrix, offset], 2), [count, 4, 2 * side, 2 * side], align_corners=False
    )
    pixels = drawings.permute(0, 3, 1, 2).float().div_(255)
    bent = F.grid_sample(pixels, grid + _bends(count, 2 * side, chance), align_corners=False)
    return _hide(F.avg_pool2d(bent, 2), chance)


def _bends(count: int, side: int, chance: torch.Generator) -> Tensor:
    """Move points a little, neighbours alike, as if another hand drew: [B, side, side, 2]."""
    strength = _BENT * torch.rand(count, 1, 1, 1, generator=chance)
    coarse = strength * torch.randn(count, 2, 4, 4, generator=chance)
    smooth = F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)
    return smooth.permute(0, 2, 3, 1)


def _hide(layers: Tensor, chance: torch.Generator) -> Tensor:
    """Cut a rectangle out of some drawings."""
    count, side = len(layers), layers.shape[-1]
    middle, half = torch.rand(2, count, generator=chance), _uniform(2 * count, 0.06, 0.18, chance)
    high, wide = half.reshape(2, count)
    at = torch.linspace(0, 1, side)
    rows = (at - middle[0][:, None]).abs() < high[:, None]
    columns = (at - middle[1][:, None]).abs() < wide[:, None]
    gone = rows[:, None, :, None] & columns[:, None, None, :]
    return layers.masked_fill(gone & _some(count, _HIDDEN, chance)[:, None, None, None], 0)


def _backgrounds(count: int, side: int, chance: torch.Generator) -> Tensor:
    """Draw backgrounds: white, dark, of one colour, gradients, clouds, coloured noise."""
    one, other = torch.rand(2, count, 3, 1, 1, generator=chance)
    kind = torch.rand(count, 1, 1, 1, generator=chance)
    line = torch.linspace(0, 1, side)
    along = torch.rand(2, count, 1, 1, 1, generator=chance)
    ramp = along[0] * line + along[1] * line[:, None]
    coarse = torch.rand(count, 1, 6, 6, generator=chance)
    clouds = F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)
    noise = torch.rand(count, 3, 16, 16, generator=chance)
    photo = 0.6 * F.interpolate(
        torch.rand(count, 3, 4, 4, generator=chance), (side, side), mode="bicubic"
    ) + 0.4 * F.interpolate(noise, (side, side), mode="bilinear")
    dark = torch.where(kind < 0.4, 0.12 * one, one)
    plain = torch.where(kind < 0.32, torch.ones(()), dark).expand(-1, -1, side, side)
    weight = torch.where(kind < 0.75, ramp, clouds).clamp(0, 1)
    mixed = torch.where(kind < 0.9, one + weight * (other - one), photo)
    return torch.where(kind < 0.6, plain, mixed).clamp(0, 1)


_TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def _jitter(images: Tensor, chance: torch.Generator) -> Tensor:
    """Change brightness, contrast, saturation and a little of the hue."""
    count = len(images)
    hue = torch.randn(count, generator=chance) * 0.2
    saturation = _uniform(count, 0.5, 1.5, chance)
    saturation[_some(count, 0.06, chance)] = 0
    contrast = _uniform(count, 0.65, 1.35, chance)
    brightness = _uniform(count, -0.15, 0.15, chance)
    turn = torch.zeros(count, 3, 3)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = saturation * torch.cos(hue)
    turn[:, 2, 1] = saturation * torch.sin(hue)
    turn[:, 1, 2] = -turn[:, 2, 1]
    matrix = contrast[:, None, None] * (torch.linalg.inv(_TO_YIQ) @ turn @ _TO_YIQ)
    offset = (0.5 * (1 - contrast) + brightness)[:, None, None]
    return torch.baddbmm(offset, matrix, images.flatten(2)).reshape(images.shape)


def _focus(images: Tensor, chance: torch.Generator) -> Tensor:
    """Blur some images, sharpen others, and add noise to some."""
    count = len(images)
    strength = _uniform(count, -0.6, 0.9, chance) * _some(count, 0.5, chance)
    blurred = F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    images = torch.lerp(images, blurred, strength[:, None, None, None])
    noise = _uniform(count, 0, 0.06, chance) * _some(count, 0.3, chance)
    return images + noise[:, None, None, None] * torch.randn(images.shape, generator=chance)


def _as_jpeg(image: Tensor, quality: int) -> Tensor:
    file = io.BytesIO()
    pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) / 255
