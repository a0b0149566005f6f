"""A failed request leaves its error in memory, and not its image."""

import asyncio
import gc
import tracemalloc
import weakref

import pytest
from PIL import Image
from scripted import Scripted
from waiting import wait_until

from align_client import AlignClient, AlignClientError, AsyncAlignClient, InvalidInput, Overloaded

SIZE = 1_000_000
COUNT = 10


def blocking(url, call, **options):
    with AlignClient(url, **options) as client:
        return call(client)


def in_a_loop(url, call, **options):
    async def within():
        async with AsyncAlignClient(url, **options) as client:
            return await call(client)

    return asyncio.run(within())


@pytest.fixture(params=[blocking, in_a_loop])
def use(request):
    """Return the answer of one call, and close the client."""
    return request.param


@pytest.fixture
def server():
    with Scripted() as server:
        yield server


@pytest.fixture
def paths(tmp_path):
    """Make files, so that only the client holds their bytes."""
    paths = [tmp_path / f"{i}.jpg" for i in range(COUNT)]
    for path in paths:
        path.write_bytes(bytes(SIZE))
    return paths


@pytest.fixture
def held():
    """Python's additional bytes since the test began, without running the cycle collector.

    They are waited for: the client's threads end a moment after their answer.
    """
    gc.collect()
    gc.disable()
    tracemalloc.start()
    start = tracemalloc.get_traced_memory()[0]
    yield lambda: tracemalloc.get_traced_memory()[0] - start
    tracemalloc.stop()
    gc.enable()


def test_returned_errors_do_not_hold_images(server, use, paths, held):
    server.refuse("INVALID_ARGUMENT", "bad", times=COUNT)
    errors = use(server.url, lambda client: client.embed_image(paths, on_error="return"))
    assert [type(error) for error in errors] == [InvalidInput] * COUNT
    assert errors[0].__cause__ is not None
    server.requests.clear()
    wait_until(lambda: held() < SIZE, seconds=10)


def test_errors_of_damaged_images_hold_no_images(server, use, paths, held):
    Image.effect_noise((1000, 1000), 100).save(paths[0], "BMP")
    paths[0].write_bytes(paths[0].read_bytes()[: SIZE // 2])
    images = [Image.open(paths[0]) for _ in range(COUNT)]
    alive = [weakref.ref(image) for image in images]
    errors = use(server.url, lambda client: client.embed_image(images, on_error="return"))
    assert all("cannot be decoded" in str(error) for error in errors)
    images.clear()
    wait_until(lambda: not any(image() for image in alive), seconds=10)


def test_retried_request_leaves_no_garbage(server, use, paths, held):
    server.refuse("RESOURCE_EXHAUSTED", "overloaded: queue", times=COUNT)
    assert use(server.url, lambda client: client.embed_image(paths)).shape == (COUNT, 2)
    server.requests.clear()
    wait_until(lambda: held() < SIZE, seconds=10)


@pytest.mark.parametrize("count", [1, COUNT])
def test_handled_error_leaves_no_garbage(server, use, paths, held, count):
    def call(client):
        return client.embed_image(paths[:count])

    for _ in range(COUNT):
        server.refuse("RESOURCE_EXHAUSTED", "overloaded: queue", times=count)
        with pytest.raises(Overloaded):
            use(server.url, call, retries=False)
    server.requests.clear()
    wait_until(lambda: held() < SIZE, seconds=10)


def test_returned_error_keeps_callers_error(server):
    try:
        raise KeyError("the caller's")
    except KeyError as error:
        (mine,) = blocking(server.url, lambda c: c.embed_image(["nowhere"], on_error="return"))
        assert isinstance(mine, AlignClientError) and mine.__context__ is None
        assert error.__traceback__ is not None
