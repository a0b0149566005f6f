"""The client for asyncio answers as the client for threads; thousands of calls may wait at once."""

import asyncio
import gc
import inspect
import re
import time
import warnings

import numpy as np
import pytest
from PIL import Image
from scripted import Scripted
from waiting import wait_until

from align_client import AlignClient, AlignClientError, AsyncAlignClient, InvalidInput, Overloaded

METHODS = [
    name
    for name, _ in inspect.getmembers(AlignClient, inspect.isfunction)
    if not name.startswith("_")
]


@pytest.fixture
def slow():
    with Scripted(seconds=0.05) as server:
        yield server


def run(use, url, **options):
    """Run ``use(client)`` in a new event loop and return its result."""

    async def within():
        async with AsyncAlignClient(url, **options) as client:
            return await use(client)

    return asyncio.run(within())


class TestMirror:
    def test_both_have_the_same_methods(self):
        assert len(METHODS) == 8
        public = [name for name in vars(AsyncAlignClient) if not name.startswith("_")]
        assert sorted(public) == METHODS

    @pytest.mark.parametrize("name", ["__init__", *METHODS])
    def test_a_method_has_the_same_signature_and_words(self, name):
        ours, theirs = getattr(AlignClient, name), getattr(AsyncAlignClient, name)
        assert inspect.signature(ours) == inspect.signature(theirs)
        assert inspect.getdoc(ours) == inspect.getdoc(theirs)
        assert inspect.iscoroutinefunction(theirs) == (name != "__init__")

    @pytest.mark.parametrize("name", ["__init__", *METHODS])
    def test_every_argument_is_documented(self, name):
        arguments = list(inspect.signature(getattr(AlignClient, name)).parameters)[1:]
        doc = inspect.getdoc(AlignClient if name == "__init__" else getattr(AlignClient, name))
        assert re.findall(r"^    (\w+): ", doc, re.MULTILINE) == arguments

    def test_every_answer_is_that_of_the_other_client(self, server):
        rng = np.random.default_rng(0)
        images = [Image.fromarray(rng.integers(0, 256, (200, 300, 3), np.uint8)) for _ in range(3)]
        labels = ["a red circle", "a blue square"]

        def calls(client):
            return [
                client.classify(images[0], labels, template="a photo of {}"),
                client.classify(images, labels, top_k=1),
                client.classify([*images, b"words"], labels, on_error="return"),
                client.similarity(images, labels),
                client.embed_image(images),
                client.embed_image([images[0], b"words"], on_error="return"),
                client.embed_text([f"text {i}" for i in range(100)]),
                client.embed_text(["a", ""], on_error="return"),
                client.temperature(),
                client.ready(),
                client.ready(deep=True),
            ]

        async def awaited(client):
            return [await call for call in calls(client)]

        with AlignClient(server.grpc_url, timeout=60) as client:
            ours = calls(client)
        theirs = run(awaited, server.grpc_url, timeout=60)
        for one, other in zip(ours, theirs, strict=True):
            same(one, other)

    @pytest.mark.parametrize(
        "options", [{"timeout": 0}, {"max_in_flight": 0}, {"shrink": 3}, {"label_cache_size": -1}]
    )
    def test_an_option_out_of_range_is_named(self, options):
        with pytest.raises(InvalidInput, match=next(iter(options))):
            AsyncAlignClient("localhost:1", **options)


def same(one, other):
    """Compare answers: sums may differ in rounding, and errors in the request's id."""
    if isinstance(one, AlignClientError):
        assert type(one) is type(other) and one.message == other.message
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype and np.abs(one - other).max() < 1e-5
    elif isinstance(one, (list, tuple)):
        for a, b in zip(one, other, strict=True):
            same(a, b)
    elif isinstance(one, float):
        assert one == pytest.approx(other, abs=1e-3)
    else:
        assert one == other


class TestConcurrency:
    def test_thousands_of_concurrent_calls_are_answered(self, slow):
        slow.seconds = 0

        async def use(client):
            return await asyncio.gather(*(client.embed_image(b"%d" % i) for i in range(2000)))

        rows = run(use, slow.url)
        assert len(rows) == 2000 and all(row.shape == (1, 2) for row in rows)

    def test_max_in_flight_bounds_requests(self, slow):
        async def use(client):
            single = [client.embed_image(b"image") for _ in range(10)]
            await asyncio.gather(client.embed_image([b"image"] * 10), *single)

        run(use, slow.url, max_in_flight=3)
        assert slow.most_at_once == 3

    def test_large_batch_does_not_delay_other_tasks(self, slow):
        async def use(client):
            large = asyncio.ensure_future(client.embed_image([b"image"] * 100))
            await asyncio.sleep(0.1)
            await client.embed_image([b"image"] * 3)
            assert not large.done()
            await large

        run(use, slow.url, max_in_flight=4)

    def test_event_loop_stays_free_while_images_shrink(self, slow):
        image = Image.effect_noise((6000, 4000), 100).convert("RGB")
        longest = 0.0

        async def use(client):
            nonlocal longest
            work = asyncio.ensure_future(client.embed_image([image] * 3))
            while not work.done():
                before = time.monotonic()
                await asyncio.sleep(0.001)
                longest = max(longest, time.monotonic() - before)
            await work
            return time.monotonic()

        slow.resize = [50, 50, 2]
        start = time.monotonic()
        whole = run(use, slow.url) - start
        assert longest < whole / 2

    def test_resize_is_asked_for_once(self, slow):
        image = np.zeros((200, 300, 3), np.uint8)
        slow.resize = [50, 50, 2]
        run(lambda client: client.embed_image([image] * 5), slow.url)
        assert len(slow.requests) == 1 + 5

    def test_refused_requests_are_sent_again(self, slow):
        slow.refuse("RESOURCE_EXHAUSTED", "overloaded: queue", times=5)
        assert run(lambda c: c.embed_image([b"image"] * 5), slow.url).shape == (5, 2)
        with pytest.raises(Overloaded):
            slow.refuse("RESOURCE_EXHAUSTED", "overloaded: queue")
            run(lambda c: c.embed_image(b"image"), slow.url, retries=False)

    def test_refused_requests_pause_before_the_next_try(self, slow):
        slow.refuse("RESOURCE_EXHAUSTED", "overloaded: queue", times=3)
        start = time.monotonic()
        run(lambda c: c.embed_image(b"image"), slow.url)
        assert time.monotonic() - start > 0.35  # half of 0.1 + 0.2 + 0.4


class TestEnds:
    def test_finished_call_is_freed(self, slow):
        async def use(client):
            await client.embed_text("a")
            with pytest.raises(InvalidInput):
                await client.embed_image("nowhere")
            return len(client._runtime._running)

        assert run(use, slow.url) == 0

    def test_cancelling_a_task_cancels_its_requests(self, slow):
        slow.seconds = 2

        async def use(client):
            task = asyncio.ensure_future(client.embed_image([b"image"] * 50))
            while len(slow.requests) < 8:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert client._runtime._slots._value == 8
            sent = len(slow.requests)
            slow.seconds = 0
            await client.embed_text("works")
            assert len(slow.requests) == sent + 1

        start = time.monotonic()
        run(use, slow.url, max_in_flight=8)
        wait_until(lambda: slow.cancelled >= 8, 5)  # the server hears of it a moment later
        assert time.monotonic() - start < 10

    def test_cancelled_trial_leaves_replica_to_next_request(self, slow):
        slow.seconds = 2

        async def use(client):
            client._align.transport.replicas.replicas[0].failures = 1  # and its rest is over
            task = asyncio.ensure_future(client.embed_image(b"image"))
            while not slow.requests:
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.wait({task})
            slow.seconds = 0
            for _ in range(2):
                await client.embed_image(b"image")
            assert len(slow.requests) == 2

        with Scripted() as other:
            run(use, [slow.url, other.url])

    def test_closing_ends_the_calls_under_way(self, slow):
        slow.seconds = 1

        async def use():
            client = AsyncAlignClient(slow.url)
            calls = [client.embed_image([b"image"] * 40), client.embed_text("a")]
            tasks = [asyncio.ensure_future(call) for call in calls]
            await asyncio.sleep(0.2)
            await client.close()
            await client.close()
            for task in tasks:
                with pytest.raises(AlignClientError, match="closed"):
                    await task
            with pytest.raises(AlignClientError, match="closed"):
                await client.embed_text("a")

        start = time.monotonic()
        asyncio.run(use())
        assert time.monotonic() - start < 5

    def test_cancellation_during_close_stays_cancellation(self, slow):
        slow.seconds = 1

        async def use():
            client = AsyncAlignClient(slow.url)
            task = asyncio.ensure_future(client.embed_text("a"))
            await asyncio.sleep(0.2)
            task.cancel()
            await client.close()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(use())

    def test_client_belongs_to_first_event_loop(self, slow):
        client = AsyncAlignClient(slow.url)
        assert asyncio.run(client.embed_text("a")).shape == (1, 2)
        with pytest.raises(AlignClientError, match="one in each event loop"):
            asyncio.run(client.embed_text("a"))
        asyncio.run(client.close())

    def test_client_is_closed_in_its_event_loop(self, slow):
        client = AsyncAlignClient(slow.url)
        loop = asyncio.new_event_loop()
        loop.run_until_complete(client.embed_text("a"))
        with pytest.raises(AlignClientError, match="one in each event loop"):
            asyncio.run(client.close())
        assert loop.run_until_complete(client.embed_text("a")).shape == (1, 2)
        loop.run_until_complete(client.close())
        loop.close()

    def test_closing_leaves_no_warning(self, slow):
        async def use(client):
            bad = client.embed_image([b"image"] * 5 + ["nowhere"])
            gone = asyncio.ensure_future(client.embed_image([b"image"] * 50))
            with pytest.raises(InvalidInput, match="image 5"):
                await bad
            gone.cancel()
            await asyncio.wait({gone})

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run(use, slow.url)
            gc.collect()
