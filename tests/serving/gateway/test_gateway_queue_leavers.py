"""A queue whose visitors leave before they are answered, or are not what it was made for."""

import asyncio

import pytest
from visitors import at_a_queue, seconds_an_item, settled

from align_zoo.serving.gateway.refusal import Reason, Refusal

AWAY = Refusal(Reason.NOT_READY, "server not ready: it is restarting")


def test_early_leaver_does_not_count_as_finished():
    async def visit(visitors, clock):
        await seconds_an_item(visitors, clock, 0.1)
        for name in range(100):
            await visitors.arrive(name)
            clock.now += 0.001
            await visitors.cancel(name)
        await visitors.arrive("stays")
        assert visitors.queue.foreseen() == pytest.approx(0.1, rel=0.2)

    at_a_queue(visit)


def test_leaver_at_its_turn_is_not_finished():
    async def visit(visitors, clock):
        await seconds_an_item(visitors, clock, 0.1)
        for name in range(100):
            await visitors.arrive("inside")
            await visitors.arrive(name)
            visitors.tasks["inside"].cancel()
            await asyncio.sleep(0)  # it leaves, and the other has its turn but has not run yet
            assert visitors.queue.waiting == 0
            await visitors.cancel(name)
        await visitors.arrive("stays")
        assert visitors.queue.foreseen() == pytest.approx(0.1, rel=0.2)

    at_a_queue(visit, at_once=1)


def test_requests_unanswered_at_death_are_not_finished():
    async def visit(visitors, clock):
        await seconds_an_item(visitors, clock, 0.1)
        for _ in range(100):
            with pytest.raises(Refusal):
                async with visitors.queue.turn(1):
                    clock.now += 0.001
                    raise Refusal(Reason.DIED, "server restarted: it died")
        await visitors.arrive("stays")
        assert visitors.queue.foreseen() == pytest.approx(0.1, rel=0.2)

    at_a_queue(visit)


def test_cancellation_during_refusal_leaves_nothing_behind():
    async def visit(visitors, _):
        for name in "ab":
            await visitors.arrive(name)
        visitors.queue.refuse_waiting(AWAY)
        await visitors.cancel("b")
        assert (visitors.queue.through, visitors.queue.waiting) == (1, 0)

    at_a_queue(visit, at_once=1)


def test_refusal_during_cancellation_leaves_nothing_behind():
    async def visit(visitors, _):
        for name in "abc":
            await visitors.arrive(name)
        visitors.tasks["b"].cancel()
        visitors.queue.refuse_waiting(AWAY)
        await settled()
        assert visitors.tasks["b"].cancelled()
        assert visitors.refused == {"c": AWAY}
        assert (visitors.queue.through, visitors.queue.waiting) == (1, 0)

    at_a_queue(visit, at_once=1)


def test_request_over_the_byte_bound_may_wait_alone():
    async def visit(visitors, _):
        await visitors.arrive("inside")
        await visitors.arrive("large", size=11)
        await visitors.arrive("next", size=1)
        assert set(visitors.refused) == {"next"}
        await visitors.go("inside")
        assert list(visitors.inside) == ["large"]

    at_a_queue(visit, at_once=1, queue_bytes=10)


def test_waiting_bytes_may_reach_the_bound():
    async def visit(visitors, _):
        await visitors.arrive("inside")
        await visitors.arrive("a", size=4)
        await visitors.arrive("b", size=6)
        assert not visitors.refused

    at_a_queue(visit, at_once=1, queue_bytes=10)


def test_zero_wait_bound_admits_to_an_empty_queue():
    async def visit(visitors, clock):
        await seconds_an_item(visitors, clock, 0.1)
        await visitors.arrive("a")
        await visitors.arrive("b")
        assert list(visitors.inside) == ["a"]
        assert set(visitors.refused) == {"b"}

    at_a_queue(visit, queue_seconds=0)


def test_large_request_goes_alone_after_bound_shrinks():
    async def visit(visitors, _):
        await visitors.arrive("a")
        await visitors.arrive("large", 4)
        visitors.queue.at_once = 2  # another checkpoint's server, with smaller batches
        await visitors.go("a")
        assert list(visitors.inside) == ["large"]

    at_a_queue(visit, at_once=4)


def test_hanging_server_is_predicted_as_slow():
    async def visit(visitors, clock):
        await seconds_an_item(visitors, clock, 0.01)
        for name in "abcd":
            await visitors.arrive(name)
        clock.now += 8
        assert visitors.queue.foreseen() == pytest.approx(8, rel=0.05)

    at_a_queue(visit, at_once=4)
