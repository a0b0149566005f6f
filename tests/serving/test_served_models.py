"""Both models behind the real tritonserver: strings in, unit vectors out."""

import queue

import numpy as np
import pytest
import torch
from calls import ask, ask_at_once, executions, queued_seconds, request
from tritonclient import grpc
from tritonclient.utils import InferenceServerException
from waiting import wait_until

from align_zoo import create_align
from align_zoo.inputs.decode import decode_image
from align_zoo.runtime.machine import cores

OUTPUTS = ["EMBEDDING", "CHECKPOINT", "RUNTIME", "RESIZE", "RESIZE_CHECK", "FEATURES"]
TEXTS = [b"a red circle", b"blue", b"the digit three", b"a photo of a big green star", b"ring"]


@pytest.fixture(scope="module")
def reference(served_name):
    return create_align(served_name)


@torch.inference_mode()
def test_images_equal_the_model_in_process(triton, reference, images):
    model, transform, _ = reference
    pixels = torch.stack([transform(decode_image(data)) for data in images])
    expected = model.encode_image(pixels, normalize=True).numpy()
    answer = ask(triton, "align_image", images).as_numpy("EMBEDDING")
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, expected, atol=1e-5)


@torch.inference_mode()
def test_texts_equal_the_model_in_process(triton, reference):
    model, _, tokenizer = reference
    expected = model.encode_text(tokenizer([t.decode() for t in TEXTS]), normalize=True).numpy()
    answer = ask(triton, "align_text", TEXTS)
    np.testing.assert_allclose(answer.as_numpy("EMBEDDING"), expected, atol=1e-5)
    temperature = np.full((len(TEXTS), 1), model.temperature.item())
    np.testing.assert_allclose(answer.as_numpy("TEMPERATURE"), temperature, rtol=1e-6)


def test_each_text_has_its_tokens_counted(triton, reference):
    _, _, tokenizer = reference
    tokens = tokenizer([t.decode() for t in TEXTS])["attention_mask"].sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(ask(triton, "align_text", TEXTS).as_numpy("TOKENS"), tokens)


def named(*outputs):
    return {"outputs": [grpc.InferRequestedOutput(name) for name in outputs]}


@torch.inference_mode()
def test_feature_maps_come_when_they_are_named(triton, reference, images):
    model, transform, _ = reference
    answer = ask(triton, "align_image", images, **named("FEATURES", "EMBEDDING"))
    pixels = torch.stack([transform(decode_image(data)) for data in images])
    expected = model.image.feature_maps(pixels).numpy()
    np.testing.assert_allclose(answer.as_numpy("FEATURES"), expected, atol=1e-4)
    alone = ask(triton, "align_image", images).as_numpy("EMBEDDING")
    np.testing.assert_allclose(answer.as_numpy("EMBEDDING"), alone, atol=1e-6)


@pytest.mark.parametrize("options", [{}, named(*OUTPUTS)], ids=["none-named", "all-named"])
def test_feature_maps_are_left_out_otherwise(options, triton, images):
    answer = ask(triton, "align_image", images[:2], **options)
    assert {output.name for output in answer.get_response().outputs} == {*OUTPUTS} - {"FEATURES"}


def test_requests_with_and_without_maps_are_mixed(triton, images):
    done = queue.SimpleQueue()
    for i in range(12):
        triton.async_infer(
            "align_image",
            request("align_image", [images[i % 3]]),
            callback=lambda result, error, i=i: done.put((i, result, error)),
            **(named("FEATURES", "EMBEDDING") if i % 4 == 1 else {}),
        )
    alone = ask(triton, "align_image", images[:3]).as_numpy("EMBEDDING")
    for _ in range(12):
        i, result, error = done.get(timeout=90)
        assert error is None
        assert (result.as_numpy("FEATURES") is not None) == (i % 4 == 1)
        np.testing.assert_allclose(result.as_numpy("EMBEDDING"), alone[[i % 3]], atol=1e-6)


@pytest.mark.parametrize("model", ["align_image", "align_text"])
def test_embeddings_are_unit_rows_of_a_named_checkpoint(triton, model, images):
    answer = ask(triton, model, images[:3] if model == "align_image" else TEXTS[:3])
    np.testing.assert_allclose(np.linalg.norm(answer.as_numpy("EMBEDDING"), axis=1), 1, atol=1e-5)
    names = answer.as_numpy("CHECKPOINT")
    assert names.shape == (3, 1)
    assert len(set(names.ravel())) == 1


@pytest.mark.parametrize("model", ["align_image", "align_text"])
def test_answers_name_runtime_and_reason(triton, model, images):
    answer = ask(triton, model, images[:2] if model == "align_image" else TEXTS[:2])
    told = f"onnx (threads: {cores()}): the fastest on a CPU"
    assert set(answer.as_numpy("RUNTIME").ravel()) == {told.encode()}


def test_both_models_name_the_same_checkpoint(triton, images):
    image = ask(triton, "align_image", images[:1]).as_numpy("CHECKPOINT")
    assert image == ask(triton, "align_text", TEXTS[:1]).as_numpy("CHECKPOINT")


@pytest.mark.parametrize("model", ["align_image", "align_text"])
def test_requests_of_different_sizes_share_a_batch(triton, model, images):
    items = images if model == "align_image" else [b"cat", b"dog", b"a bird", *TEXTS]
    alone = np.concatenate([ask(triton, model, [item]).as_numpy("EMBEDDING") for item in items])
    requests, rows = [], []
    for i in range(24):
        size = 1 + i % 3
        rows.append([(i + k) % len(items) for k in range(size)])
        requests.append([items[row] for row in rows[-1]])
    # What comes while the model works makes the next batch.
    long = [f"{i} of many long texts that nobody has asked for before".encode() for i in range(64)]
    work = images * 2 if model == "align_image" else long
    before = executions(triton, model)
    _, *answers = ask_at_once(triton, model, [work, *requests])
    assert executions(triton, model) - before < 1 + len(requests)
    for answer, expected in zip(answers, rows, strict=True):
        np.testing.assert_allclose(answer, alone[expected], atol=1e-5)


BAD = {
    "align_image": [
        ([b""], "the image is empty"),
        ([b"hello"], "not an image in an accepted format"),
        (["GOOD", "TRUNCATED"], "item 1: the PNG image is truncated or damaged"),
    ],
    "align_text": [
        ([b""], "the text is empty"),
        ([b"\x00 "], "the text is blank"),
        ([b"cat", b"dog", b"\xff\xfe"], "item 2: the text is not UTF-8"),
    ],
}


@pytest.mark.parametrize(
    ("model", "items", "reason"),
    [(model, items, reason) for model, cases in BAD.items() for items, reason in cases],
)
def test_a_bad_request_fails_alone_with_its_reason(triton, model, items, reason, images):
    good = images if model == "align_image" else TEXTS
    swaps = {"GOOD": images[0], "TRUNCATED": images[1][:-40]}
    bad = [swaps[item] if isinstance(item, str) else item for item in items]
    alone = [ask(triton, model, [item]).as_numpy("EMBEDDING") for item in good[:4]]
    answers = ask_at_once(triton, model, [[good[0]], [good[1]], bad, [good[2]], [good[3]]])
    error = answers.pop(2)
    assert isinstance(error, InferenceServerException)
    assert error.status() == "StatusCode.INVALID_ARGUMENT"
    assert error.message().startswith(reason)
    for answer, expected in zip(answers, alone, strict=True):
        np.testing.assert_allclose(answer, expected, atol=1e-5)


RETURN = {"parameters": {"errors": "return"}}


@pytest.mark.parametrize("model", ["align_image", "align_text"])
def test_each_item_has_its_own_error_on_request(triton, model, images):
    good = images[:2] if model == "align_image" else TEXTS[:2]
    answer = ask(triton, model, [good[0], b"", b"\xff", good[1]], **RETURN)
    first, empty, bad, last = answer.as_numpy("ERROR").ravel().tolist()
    assert (first, last) == (b"", b"")
    assert b"is empty" in empty and bad
    vectors = answer.as_numpy("EMBEDDING")
    alone = ask(triton, model, good).as_numpy("EMBEDDING")
    np.testing.assert_allclose(vectors[[0, 3]], alone, atol=1e-6)
    assert not vectors[1:3].any()
    if model == "align_text":
        assert (answer.as_numpy("TOKENS").ravel() > 0).tolist() == [True, False, False, True]


@pytest.mark.parametrize("model", ["align_image", "align_text"])
def test_bad_items_alone_have_errors_and_zeros(triton, model):
    answer = ask(triton, model, [b"", b""], **RETURN)
    assert all(answer.as_numpy("ERROR").ravel())
    assert answer.as_numpy("EMBEDDING").tolist() == np.zeros((2, 128)).tolist()


def test_errors_named_without_the_parameter_are_empty(triton):
    answer = ask(triton, "align_text", TEXTS[:2], **named("EMBEDDING", "ERROR"))
    assert answer.as_numpy("ERROR").tolist() == [[b""], [b""]]
    with pytest.raises(InferenceServerException, match="is empty"):
        ask(triton, "align_text", [b""], **named("EMBEDDING", "ERROR"))


def test_feature_maps_come_with_errors_in_place(triton, images):
    asked = named("FEATURES", "EMBEDDING", "ERROR") | RETURN
    answer = ask(triton, "align_image", [b"", images[0]], **asked)
    bad, good = answer.as_numpy("FEATURES")
    assert not bad.any() and good.any()
    alone = ask(triton, "align_image", images[:1]).as_numpy("EMBEDDING")
    np.testing.assert_allclose(answer.as_numpy("EMBEDDING"), [0 * alone[0], alone[0]], atol=1e-6)


def test_request_over_the_batch_size_is_refused(triton):
    with pytest.raises(InferenceServerException, match="batch-size must be <= 64"):
        ask(triton, "align_text", [b"cat"] * 65)


def test_no_request_waits_while_the_model_idles(triton):
    """With a queue policy Triton 2.51 overlooks one in some hundred requests for half a second."""
    before = queued_seconds(triton, "align_text")
    for _ in range(600):
        ask(triton, "align_text", TEXTS[:1])
    ask_at_once(triton, "align_text", [TEXTS[:3]] * 16)  # the last of a burst wait longest
    assert queued_seconds(triton, "align_text") - before < 0.5


def test_cancelled_requests_are_not_computed(triton):
    long = [
        [f"{n} {i} of many long texts of this test".encode() for i in range(64)] for n in range(26)
    ]
    before = executions(triton, "align_text")
    *work, gone = ask_at_once(triton, "align_text", [*long, [b"gone"]], [60] * len(long) + [0.02])
    assert all(len(answer) == 64 for answer in work)
    assert "Deadline" in str(gone)
    wait_until(lambda: executions(triton, "align_text") - before >= len(long))
    assert executions(triton, "align_text") - before == len(long)
