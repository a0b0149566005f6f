"""The concepts of align_tiny: colours, shapes, digits, and the held-out combinations."""

from __future__ import annotations

from dataclasses import dataclass

COLOURS = ("red", "green", "blue", "yellow", "orange", "purple")
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")

# Further concepts, in no held-out combination. The more combinations training shows, the better
# the model learns that colour and shape are independent of each other.
ALL_COLOURS = (*COLOURS, "pink", "brown", "black", "white")
ALL_SHAPES = (*SHAPES, "heart", "moon")

SIZES = ("small", "big")
DIGIT_WORDS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
)

# Each colour and each shape once. Training has neither images nor captions of these combinations.
HELD_OUT = (
    ("red", "star"),
    ("green", "ring"),
    ("blue", "triangle"),
    ("yellow", "cross"),
    ("orange", "circle"),
    ("purple", "square"),
)


@dataclass(frozen=True)
class Meaning:
    """The meaning of an image or of a caption; ``None`` for what a caption leaves out.

    Attributes:
        colour: One of ``ALL_COLOURS``.
        shape: One of ``ALL_SHAPES``.
        digit: 0 to 9. A meaning has a shape or a digit, never both.
        size: One of ``SIZES``; an image of neither size has ``None``.
    """

    colour: str | None = None
    shape: str | None = None
    digit: int | None = None
    size: str | None = None

    def holds_for(self, image: Meaning) -> bool:
        """Return whether a caption with this meaning is true of an image."""
        stated = (self.colour, self.shape, self.digit, self.size)
        shown = (image.colour, image.shape, image.digit, image.size)
        return all(said is None or said == seen for said, seen in zip(stated, shown, strict=True))

    def rivals(self, image: Meaning) -> bool:
        """Return whether a caption with this meaning is a fair wrong answer for an image.

        A fair wrong answer is false of the image, but not false of every such image in training.
        Red stars are held out, so that 'star' is false of every red image. With 'star' as a wrong
        answer, training would learn that red things are no stars.
        """
        one_sided = (image.colour, self.shape), (self.colour, image.shape)
        return not self.holds_for(image) and not any(pair in HELD_OUT for pair in one_sided)


def shape_combinations() -> list[tuple[str, str]]:
    """List the (colour, shape) pairs that training may show: all but the held-out pairs."""
    pairs = [(colour, shape) for colour in ALL_COLOURS for shape in ALL_SHAPES]
    return [pair for pair in pairs if pair not in HELD_OUT]
