"""The reason of a refused input, known by its message alone."""

import ast
from pathlib import Path

import pytest
from fuzz.mutations import mutated
from fuzz.samples import samples
from fuzz.strings import odd_string
from hypothesis import given
from hypothesis import strategies as st

import align_zoo
from align_zoo import AlignZooError
from align_zoo.errors import InvalidInput, reason_of
from align_zoo.inputs.decode import decode_image
from align_zoo.serving.model.image import ImageService
from align_zoo.serving.model.text import TextService, decode_text

PACKAGE = Path(align_zoo.__file__).parent
SOUND = samples()
SERVED = {*ImageService.reasons, *TextService.reasons}
"""Others are the library's alone: what it says of a path."""


def written():
    """Each message that is written with its reason in the code, its gaps filled by a number."""
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and len(node.args) == 2:
                name = getattr(node.func, "id", "")
                if name in ("InvalidImage", "InvalidText", "InvalidInput"):
                    message, reason = node.args
                    if getattr(reason, "value", None) in SERVED:
                        yield pytest.param(
                            filled(message), reason.value, id=f"{file.stem}-{node.lineno}"
                        )


def filled(message):
    parts = message.values if isinstance(message, ast.JoinedStr) else [message]
    return "".join(part.value if isinstance(part, ast.Constant) else "7" for part in parts)


MESSAGES = list(written())


def test_messages_of_the_code_are_found():
    assert len(MESSAGES) >= 12


@pytest.mark.parametrize(("message", "reason"), MESSAGES)
def test_every_message_has_its_own_reason(message, reason):
    assert reason_of(message) == reason
    assert reason_of(f"item 3: {message}") == reason


@given(seed=st.integers(0, 10**6))
@pytest.mark.parametrize(
    ("decode", "data"),
    [
        (decode_image, lambda seed: mutated(seed, SOUND)[1]),
        (decode_text, odd_string),
    ],
    ids=["image", "text"],
)
def test_a_refused_input_has_its_own_reason(decode, data, seed):
    try:
        decode(data(seed))
    except InvalidInput as error:
        assert reason_of(str(error)) == error.reason


@pytest.mark.parametrize(
    "message",
    [
        "[request id: 7] inference request batch-size must be <= 64 for 'align_text'",
        "unexpected inference input 'PIXELS' for model 'align_image'",
        str(AlignZooError("internal error (ValueError)")),
    ],
)
def test_an_error_of_another_kind_has_none(message):
    assert reason_of(message) is None
