"""Many images travel several in a request, and each has an answer of its own."""

import asyncio
import threading

import numpy as np
import pytest
from scripted import Scripted

from align_client import (
    AlignClient,
    AlignClientError,
    AsyncAlignClient,
    DeadlineExceeded,
    InvalidInput,
    Overloaded,
    ServerUnavailable,
)

IMAGES = [b"%d" % i for i in range(100)]
VECTORS = np.array([[np.cos(i), np.sin(i)] for i in range(100)], np.float32)
BAD = (3, 4, 50, 99)
MIXED = [b"bad" if i in BAD else image for i, image in enumerate(IMAGES)]


def ask(kind, server, method, *arguments, client=None, **options):
    """One call of a new client, for threads or for asyncio."""
    made = {"timeout": 30, **(client or {})}
    if kind == "sync":
        with AlignClient(server.url, **made) as threads:
            return getattr(threads, method)(*arguments, **options)

    async def asked():
        async with AsyncAlignClient(server.url, **made) as tasks:
            return await getattr(tasks, method)(*arguments, **options)

    return asyncio.run(asked())


def assert_answered(answers):
    """Check the answers to MIXED: errors in the places of bad images, vectors in the others."""
    for i, answer in enumerate(answers):
        if i in BAD:
            assert isinstance(answer, InvalidInput) and str(answer).startswith(f"image {i}: it is")
            assert answer.request_id
        else:
            np.testing.assert_array_equal(answer, VECTORS[i])


@pytest.fixture(params=["sync", "async"])
def kind(request):
    return request.param


@pytest.fixture
def server():
    with Scripted(errors=True) as server:
        yield server


def test_many_images_travel_together_in_order(kind, server):
    np.testing.assert_array_equal(ask(kind, server, "embed_image", IMAGES), VECTORS)
    assert len(server.items) == 15 and max(server.items) == 7  # of 16 at once, and 8 in a batch


def test_request_holds_at_most_a_batch(kind, server):
    ask(kind, server, "embed_image", IMAGES * 5)
    assert max(server.items) == 8 and sum(server.items) == 500


def test_few_images_travel_alone(kind, server):
    ask(kind, server, "embed_image", IMAGES[:16])
    assert server.items == [1] * 16


def test_request_holds_few_bytes(kind, server):
    images = [b"%d" % i + b" " * 1_500_000 for i in range(40)]
    ask(kind, server, "embed_image", images)
    assert set(server.items) == {1, 2}
    assert max(size for _, _, size in server.requests) < 4_100_000


def test_one_call_fills_no_queue(kind):
    with Scripted(errors=True, seconds=0.01) as slow:
        ask(kind, slow, "embed_image", IMAGES * 5)
        assert slow.most_at_once == 2  # of 8 images: as many images as requests of one


def test_bad_image_leaves_others_their_answers(kind, server):
    assert_answered(ask(kind, server, "embed_image", MIXED, on_error="return"))
    assert len(server.items) == 15


def test_first_bad_image_is_raised(kind, server):
    with pytest.raises(InvalidInput, match=r"^image 3: it is bad \(request \w+\)$"):
        ask(kind, server, "embed_image", MIXED)


def test_unreadable_image_leaves_its_pack(kind, server, tmp_path):
    images = [*IMAGES[:20], str(tmp_path / "nowhere.jpg"), None, *IMAGES[22:]]
    answers = ask(kind, server, "embed_image", images, on_error="return")
    errors = {i: answer for i, answer in enumerate(answers) if isinstance(answer, AlignClientError)}
    assert sorted(errors) == [20, 21]
    assert "does not exist" in str(errors[20])


@pytest.mark.parametrize("method", ["classify", "similarity"])
def test_images_are_packed_for_comparison(kind, server, method):
    answers = ask(kind, server, method, MIXED, ["1", "2"], on_error="return")
    assert {i for i, each in enumerate(answers) if isinstance(each, InvalidInput)} == set(BAD)
    assert max(server.items) == 7


@pytest.mark.parametrize("errors", [False, "refused", "ignored"])
def test_older_server_gets_images_alone(kind, errors):
    with Scripted(errors=errors) as older:
        assert_answered(ask(kind, older, "embed_image", MIXED, on_error="return"))
        # A server that ignores the parameter answers the packs without a bad image.
        assert older.items.count(1) == (16 if errors == "ignored" else 100)


def test_updated_server_gets_packs():
    with Scripted() as server, AlignClient(server.url) as client:
        client.embed_image(IMAGES)
        assert max(server.items) == 1
        server.errors = True
        client.embed_image(IMAGES)
        assert max(server.items) == 7


@pytest.mark.parametrize("errors", [True, False, "refused", "ignored"])
def test_bad_texts_have_errors_in_place(kind, errors):
    texts = [f"bad {i}" if i in BAD else str(i) for i in range(100)]
    with Scripted(errors=errors) as server:
        answers = ask(kind, server, "embed_text", texts, on_error="return")
        assert {i for i, each in enumerate(answers) if isinstance(each, InvalidInput)} == set(BAD)
        assert all(str(answers[i]).startswith(f"text {i}: it is bad") for i in BAD)
        if errors is True:
            assert len(server.items) == 13


def test_refusal_of_whole_request_is_not_repeated(kind, server):
    server.refuse("INVALID_ARGUMENT", "poisoned: the server died 2 times of this request")
    with pytest.raises(InvalidInput, match="poisoned"):
        ask(kind, server, "embed_text", ["a", "b"])
    assert server.items == [2]


def test_single_text_is_refused_as_before(kind, server):
    (answer,) = ask(kind, server, "embed_text", ["bad"], on_error="return")
    assert isinstance(answer, InvalidInput)
    assert server.parameters == [set()]


@pytest.mark.parametrize("others", ["", " and others"], ids=["alone", "with-others"])
def test_images_of_a_deadly_pack_are_sent_alone(kind, server, others):
    server.refuse("ABORTED", f"server restarted: it died while it worked on this request{others}")
    np.testing.assert_array_equal(ask(kind, server, "embed_image", IMAGES), VECTORS)
    assert server.items.count(1) >= 7


@pytest.mark.parametrize(
    ("others", "sent"), [("", 9), (" and others", 10)], ids=["alone", "with-others"]
)
def test_deadly_image_of_a_pack_ends_two_servers(kind, server, others, sent):
    words = "server restarted: it died while it worked on this request"
    server.refuse("ABORTED", words)
    server.refuse("ABORTED", words + others)
    options = {"on_error": "return", "client": {"max_in_flight": 1}}
    answers = ask(kind, server, "embed_image", IMAGES[:8], **options)
    assert [isinstance(each, ServerUnavailable) for each in answers[1:]] == [False] * 7
    assert isinstance(answers[0], ServerUnavailable) is (not others)
    assert server.items == [8] + [1] * (sent - 1)


def test_refused_pack_is_sent_again_whole(kind, server):
    server.refuse("RESOURCE_EXHAUSTED", "overloaded: queue", times=3)
    np.testing.assert_array_equal(ask(kind, server, "embed_image", IMAGES), VECTORS)
    assert len(server.items) == 15 + 3 and server.items.count(1) <= 1


def test_images_have_the_error_of_their_pack(kind, server):
    server.refuse("RESOURCE_EXHAUSTED", "overloaded: queue", times=100)
    client = {"retries": False}
    answers = ask(kind, server, "embed_image", IMAGES, on_error="return", client=client)
    assert {type(answer) for answer in answers} == {Overloaded}


def test_deadline_ends_all_packs(kind):
    with Scripted(errors=True, seconds=10) as slow:
        answers = ask(kind, slow, "embed_image", IMAGES, on_error="return", client={"timeout": 0.5})
        assert {type(answer) for answer in answers} == {DeadlineExceeded}


def test_absent_server_is_the_error_of_all(kind, server):
    server.stop()
    client = {"timeout": 0.5}
    answers = ask(kind, server, "embed_image", IMAGES, on_error="return", client=client)
    assert {type(answer) for answer in answers} <= {ServerUnavailable, DeadlineExceeded}
    with pytest.raises(AlignClientError):
        ask(kind, server, "embed_image", IMAGES, client=client)


def test_single_image_passes_a_large_call():
    """The large call of one caller does not hold up the single image of another."""
    with Scripted(errors=True, seconds=0.01) as server, AlignClient(server.url) as client:
        large = threading.Thread(target=client.embed_image, args=(IMAGES * 20,))
        large.start()
        while not server.items:
            pass
        client.embed_image(IMAGES[0])
        assert large.is_alive()
        large.join()
