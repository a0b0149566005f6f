"""Base64 to bytes: what the standard library decodes, or a refusal."""

import base64
import binascii

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tries import tries

from align_zoo.errors import InvalidImage
from align_zoo.serving.gateway.rest.items import _SLICE, Item, content


def decoded(value):
    return content(Item("image", value, "input"))


@pytest.mark.parametrize("blanks", ["", "\n", " \r\n\t"])
@pytest.mark.parametrize("more", range(-3, 4))
def test_long_base64_is_decoded_in_slices(more, blanks):
    data = bytes(range(256)) * (2 * _SLICE // 256)
    data = data[: _SLICE * 3 // 4 * 2 + more]
    text = base64.b64encode(data).decode()
    # Blanks move what follows over the edges of the slices.
    assert decoded(text[:5] + blanks + text[5:]) == data


@settings(max_examples=tries(400))
@given(st.text(alphabet="QUJD+/-_= \n*\u00e9", max_size=24))
@example("QQ==")
@example("QQ")
@example("Q")
@example("=")
def test_base64_is_decoded_strictly_or_refused(text):
    plain = "".join(text.split()).replace("-", "+").replace("_", "/")
    padded = plain + "=" * (-len(plain) % 4)
    try:
        expected = binascii.a2b_base64(padded.encode("ascii"), strict_mode=True)
    except ValueError:
        with pytest.raises(InvalidImage, match="not base64"):
            decoded(text)
    else:
        assert decoded(text) == expected


@pytest.mark.parametrize("where", [_SLICE - 4, _SLICE, 2 * _SLICE])
def test_padding_ends_the_base64_at_any_slice(where):
    text = "QUJD" * (where // 4) + "QQ==" + "QUJD" * _SLICE
    with pytest.raises(InvalidImage, match="not base64"):
        decoded(text)


def test_text_is_sent_in_utf8():
    assert content(Item("text", "caf\xe9", "input")) == b"caf\xc3\xa9"
