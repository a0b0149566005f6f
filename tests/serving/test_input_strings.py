"""Strings that nobody would type: the model's own answer, or a refusal that says why."""

import time

import numpy as np
import pytest
from calls import ask, ask_at_once
from fuzz.strings import odd_string, try_strings
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tries import tries

from align_zoo import InvalidText, create_align, load_encoder
from align_zoo.serving.model.text import MAX_CHARACTERS, TextService, decode_text

MEGABYTE = 1_000_000

ANSWERED = {
    "NUL among letters": "a\0cat\0",
    "right to left": "צילום של חתול",
    "both directions": "a \u202ecat\u202c and חתול",
    "emoji": "🐈",
    "emoji of several": "👩‍👩‍👧 with 🐈‍⬛",
    "newer than the tokenizer": "a \U0001fae8 face",
    "control characters": "a\x01 ca\x7ft \x1b[31mred",
    "accents, many": "cafe" + "\u0301" * 5_000,
    "accents in front": "\u0301" * 200 + "cat",
    "a long word": "a" * 5_000,
    "one letter that becomes many": "ﷺ" * 300,
    "Hangul": "고양이 사진",
    "marks of order": "\ufeffcat\ufffe",
    "a megabyte of words": "a photo of a cat " * (MEGABYTE // 17),
    "a megabyte of blanks": "a" + " " * MEGABYTE + "cat",
    "a megabyte of lines": "a\r\n\t" * (MEGABYTE // 4),
}
REFUSED = {
    "nothing": (b"", "empty"),
    "NUL": (b"\0", "blank"),
    "control characters": (b"\x01\x02\x1b", "blank"),
    "accents alone": ("\u0301\u0323" * 9, "blank"),
    "a direction alone": ("\u202e\u200f", "blank"),
    "of no width": ("\u200b\u200d\ufeff", "blank"),
    "a megabyte of blanks": (" \n" * (MEGABYTE // 2), "blank"),
    "lone surrogate": (b"\xed\xa0\x80", "not_utf8"),
    "pair of surrogates": (b"\xed\xa0\xbd\xed\xb0\x88", "not_utf8"),
    "half a letter": ("猫".encode()[:2], "not_utf8"),
    "overlong zero": (b"\xc0\x80", "not_utf8"),
    "beyond Unicode": (b"\xf4\x90\x80\x80", "not_utf8"),
    "Latin 1": ("café".encode("latin-1"), "not_utf8"),
    "UTF-16": ("cat".encode("utf-16"), "not_utf8"),
    "a megabyte without a blank": ("猫" * (MEGABYTE // 3), "too_long"),
    "a megabyte of one word": ("x" * MEGABYTE, "too_long"),
    "a megabyte of accents": ("a" + "\u0301" * (MEGABYTE // 2), "too_long"),
    "a megabyte of control characters": ("\1 " * (MEGABYTE // 2), "too_long"),
}


def as_bytes(text):
    return text.encode() if isinstance(text, str) else text


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("align_tiny", runtime="onnx", device="cpu")


@pytest.fixture(scope="module")
def service(encoder):
    return TextService(encoder)


@pytest.fixture(scope="module")
def plain():
    """A function: the embedding by the model itself, of the whole text."""
    model, _, tokenizer = create_align("align_tiny")

    def embed(text):
        return model.encode_text(tokenizer([text]), normalize=True).detach().numpy()[0]

    return embed


@pytest.fixture(scope="module")
def tokens():
    """A function: the tokens that a text makes, without the two around it."""
    tokenizer = create_align("align_tiny")[2]
    return lambda text: tokenizer.hf.convert_ids_to_tokens(tokenizer([text])["input_ids"][0])[1:-1]


@pytest.mark.parametrize("text", ANSWERED.values(), ids=ANSWERED)
def test_the_answer_is_the_models_own(service, plain, text):
    (answer,) = service.embed([text.encode()])
    np.testing.assert_allclose(answer, plain(text), atol=1e-5)


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_has_its_reason(service, data, reason):
    (answer,) = service.embed([as_bytes(data)])
    assert isinstance(answer, InvalidText)
    assert answer.reason == reason
    assert reason in TextService.reasons


@pytest.mark.parametrize("data", [*ANSWERED.values(), *(data for data, _ in REFUSED.values())])
def test_a_text_of_any_length_takes_bounded_time(service, data):
    data = as_bytes(data) + b" again"
    begin = time.process_time()
    service.embed([data])
    assert time.process_time() - begin < 0.5


def test_long_text_is_cut_to_counting_words(plain):
    text = "one two  three\tfour\n" * 10_000
    cut = decode_text(text.encode())
    assert cut.split() == text.split()[:64]
    np.testing.assert_allclose(plain(cut), plain(text), atol=1e-5)


def test_meaningless_words_do_not_count(plain):
    text = "\x01 \u0301 cat " * 5_000
    cut = decode_text(text.encode())
    assert cut.split(" ").count("cat") == 64
    np.testing.assert_allclose(plain(cut), plain(text), atol=1e-5)


def test_text_up_to_the_limit_is_unchanged():
    text = "猫 " * (MAX_CHARACTERS // 2)
    assert decode_text(text.encode()) == text


@pytest.mark.parametrize("beyond", [0, 1])
def test_counting_words_may_reach_the_limit(beyond):
    words = "cat " * 63
    words += "x" * (MAX_CHARACTERS + beyond - len(words))
    if beyond:
        with pytest.raises(InvalidText, match="first 64 words have more than 10,000 characters"):
            decode_text(f"{words} dog".encode())
    else:
        assert decode_text(f"{words} dog".encode()) == words


@settings(max_examples=tries(300), deadline=None)
@given(
    text=st.text(max_size=40) | st.text("\0\t \u0301\u200b\u00a0\ufffda猫\U0001fae8", max_size=12)
)
@example("\ufada")  # not assigned
@example("\ue000")  # private
@example("\u0898")  # an accent that is newer than the tokenizer's tables
@example("\u1734")  # an accent in the tokenizer's tables, and no more one in Python's
@example("\u2028")  # between lines
@example("\u2029")  # between paragraphs
def test_text_without_meaningful_tokens_is_refused(service, plain, tokens, text):
    (answer,) = service.embed([text.encode()])
    if isinstance(answer, InvalidText):
        assert answer.reason == ("blank" if text else "empty")
        assert set(tokens(text)) <= {"[UNK]"}
    else:
        assert tokens(text)
        np.testing.assert_allclose(answer, plain(text), atol=1e-5)


def test_odd_strings_are_answered_as_alone_or_refused(encoder):
    outcomes = try_strings(range(tries(400)), encoder)
    assert outcomes.faults == []
    assert outcomes.answered > tries(200)
    assert set(outcomes.refused) <= set(TextService.reasons)
    assert len(outcomes.refused) >= 3


def test_odd_string_is_determined_by_its_seed():
    assert [odd_string(seed) for seed in range(50)] == [odd_string(seed) for seed in range(50)]


@pytest.mark.parametrize("name", ANSWERED)
def test_the_server_answers_as_the_model_does(triton, plain, name):
    text = ANSWERED[name]
    answer = ask(triton, "align_text", [text.encode()]).as_numpy("EMBEDDING")[0]
    np.testing.assert_allclose(answer, plain(text), atol=1e-5)


def test_a_bad_string_among_good_ones_disturbs_nobody(triton, plain):
    good = [f"the {i}th cat".encode() for i in range(len(REFUSED))]
    bad = [[as_bytes(data)] for data, _ in REFUSED.values()]
    requests = [each for pair in zip(([g] for g in good), bad, strict=True) for each in pair]
    answers = ask_at_once(triton, "align_text", requests)
    for text, answer in zip(good, answers[::2], strict=True):
        np.testing.assert_allclose(answer[0], plain(text.decode()), atol=1e-5)
    assert {error.status() for error in answers[1::2]} == {"StatusCode.INVALID_ARGUMENT"}
