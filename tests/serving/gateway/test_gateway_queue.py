"""The queue of a model: how many are let through, in which order, and who is refused."""

import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from visitors import at_a_queue, seconds_an_item, settled

from align_zoo.serving.gateway.refusal import Reason, Refusal

STEPS = st.lists(
    st.tuples(st.sampled_from(["arrive", "arrive", "go", "cancel"]), st.integers(1, 12)),
    max_size=40,
)


@given(steps=STEPS, at_once=st.integers(1, 8))
@example(steps=[("arrive", 1), ("arrive", 2), ("arrive", 1)], at_once=2)
def test_smaller_requests_pass_first_within_the_bound(steps, at_once):
    async def visit(visitors, _):
        items, waiting = {}, []

        def rank(number):
            return items[number], number

        for number, (what, size) in enumerate(steps):
            if what == "arrive":
                items[number] = min(size, at_once)
                waiting.append(number)
                await visitors.arrive(number, size)
            elif what == "go" and visitors.inside:
                await visitors.go(sorted(visitors.inside)[size % len(visitors.inside)])
            elif what == "cancel" and waiting:
                gone = waiting.pop(size % len(waiting))
                await visitors.cancel(gone)
            went = [each for each in waiting if each in visitors.entered]
            waiting = [each for each in waiting if each not in went]
            assert all(rank(one) < rank(other) for one in went for other in waiting)
            through = sum(items[each] for each in visitors.inside)
            assert visitors.queue.through == through <= at_once
            assert visitors.queue.waiting == len(waiting)
            assert not waiting or through + min(map(rank, waiting))[0] > at_once, "it could go"

    at_a_queue(visit, at_once)


@given(
    seconds=st.sampled_from([0.01, 0.125, 1.0]),
    bound=st.sampled_from([0.5, 1.0, 3.0]),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=30),
)
def test_only_requests_over_the_wait_bound_are_refused(seconds, bound, sizes):
    async def visit(visitors, clock):
        await seconds_an_item(visitors, clock, seconds)
        inside, waiting = 0, []
        for name, size in enumerate(sizes):
            await visitors.arrive(name, size)
            in_front = [each for each in waiting if each <= size]
            ahead = inside + sum(in_front)
            at_once = not in_front and inside + size <= 4
            too_long = ahead * seconds > bound * 1.000001
            assert (name in visitors.refused) == too_long, (ahead, seconds, bound)
            if name in visitors.refused:
                assert visitors.refused[name].reason is Reason.QUEUE_SECONDS
                assert visitors.refused[name].message.startswith("overloaded: ")
            elif at_once:
                inside += size
            else:
                waiting.append(size)

    at_a_queue(visit, at_once=4, queue_seconds=bound)


@pytest.mark.parametrize(
    ("seconds", "first"),
    [pytest.param(4.6, "single", id="soon"), pytest.param(5, "pack", id="late")],
)
def test_single_item_passes_packs_that_came_shortly_before(seconds, first):
    async def visit(visitors, clock):
        await visitors.arrive("inside", 16)
        await visitors.arrive("pack", 10**9)
        clock.now += seconds
        await visitors.arrive("single")
        await visitors.go("inside")
        assert visitors.entered[1] == first

    at_a_queue(visit, at_once=16, queue_seconds=10.0)


def test_packs_in_the_queue_refuse_no_single_item():
    async def visit(visitors, clock):
        await seconds_an_item(visitors, clock, 0.1)
        for name in range(10):
            await visitors.arrive(name, 16)
        assert visitors.refused.keys() == {8, 9}
        await visitors.arrive("single")
        assert visitors.queue.foreseen() == pytest.approx(1.7, rel=0.05)
        await visitors.go(0)
        assert list(visitors.inside) == ["single"]

    at_a_queue(visit, at_once=16, queue_seconds=12.0)


def test_nothing_is_refused_before_a_measurement():
    async def visit(visitors, _):
        for name in range(50):
            await visitors.arrive(name)
        assert not visitors.refused

    at_a_queue(visit, at_once=1, queue_seconds=0.001)


def test_a_full_queue_refuses_at_once():
    async def visit(visitors, _):
        for name in "abcd":
            await visitors.arrive(name)
        assert set(visitors.refused) == {"d"}
        assert visitors.refused["d"].reason is Reason.QUEUE_FULL
        await visitors.go("a")
        await visitors.arrive("e")  # "b" has made room
        assert set(visitors.refused) == {"d"}

    at_a_queue(visit, at_once=1, queue_size=2)


def test_a_queue_of_large_requests_is_full_sooner():
    async def visit(visitors, _):
        await visitors.arrive("inside", size=10**6)
        for name in "abc":
            await visitors.arrive(name, size=4 * 10**6)
        assert set(visitors.refused) == {"c"}
        assert visitors.refused["c"].reason is Reason.QUEUE_FULL
        assert "requests of 8 MB wait already" in visitors.refused["c"].message
        await visitors.cancel("a")
        await visitors.arrive("d", size=4 * 10**6)  # "a" has made room
        assert set(visitors.refused) == {"c"}

    at_a_queue(visit, at_once=1, queue_bytes=10**7)


def test_cancelled_request_leaves_the_queue_at_once():
    async def visit(visitors, _):
        for name in "abc":
            await visitors.arrive(name)
        await visitors.cancel("b")
        assert visitors.queue.waiting == 1
        await visitors.go("a")
        assert visitors.entered == ["a", "c"]

    at_a_queue(visit, at_once=1)


def test_cancelled_large_request_holds_up_no_others():
    async def visit(visitors, clock):
        await visitors.arrive("small")
        await visitors.arrive("large", 4)
        clock.now += 0.5  # too late to pass it
        await visitors.arrive("next", 3)
        assert list(visitors.inside) == ["small"]
        await visitors.cancel("large")
        assert list(visitors.inside) == ["small", "next"]

    at_a_queue(visit, at_once=4, queue_seconds=10.0)


def test_request_cancelled_at_its_turn_passes_it_on():
    async def visit(visitors, _):
        for name in "abc":
            await visitors.arrive(name)
        visitors.inside["a"].set()
        await asyncio.sleep(0)  # "a" leaves, and "b" has its turn but has not run yet
        visitors.tasks["b"].cancel()
        await settled()
        assert visitors.entered == ["a", "c"]

    at_a_queue(visit, at_once=1)


def test_request_over_the_bound_goes_alone():
    async def visit(visitors, _):
        await visitors.arrive("a")
        await visitors.arrive("huge", 10**9)
        assert list(visitors.inside) == ["a"]
        await visitors.go("a")
        assert list(visitors.inside) == ["huge"]

    at_a_queue(visit, at_once=4)


def test_huge_item_count_is_capped_at_the_bound():
    async def visit(visitors, clock):
        await seconds_an_item(visitors, clock, 0.1)
        await visitors.arrive("liar", 10**9)
        assert visitors.queue.foreseen() == pytest.approx(0.4, rel=0.05)

    at_a_queue(visit, at_once=4)


def test_all_waiting_requests_can_be_refused():
    async def visit(visitors, _):
        for name in "abc":
            await visitors.arrive(name)
        away = Refusal(Reason.NOT_READY, "server not ready: it is restarting")
        visitors.queue.refuse_waiting(away)
        await settled()
        assert visitors.refused == {"b": away, "c": away}
        assert list(visitors.inside) == ["a"]

    at_a_queue(visit, at_once=1)


def test_early_requests_are_refused_once_wait_is_known():
    async def visit(visitors, clock):
        for name in range(50):
            await visitors.arrive(name)
        clock.now += 0.1
        await visitors.go(0)  # it took 0.1 s: 2 s, twice the bound, are enough for 20 before one
        stay = 1 + 1 + 19
        assert sorted(visitors.refused) == list(range(stay, 50))
        assert {each.reason for each in visitors.refused.values()} == {Reason.QUEUE_SECONDS}

    at_a_queue(visit, at_once=1, queue_seconds=1.0)


@pytest.mark.parametrize("idle", [1, 60, 1e5])
def test_full_intake_returns_after_idle_time(idle):
    async def visit(visitors, clock):
        await seconds_an_item(visitors, clock, 0.2)
        clock.now += idle
        for name in range(16):
            await visitors.arrive(name)
            clock.now += 0.01  # the first is at work
        assert not visitors.refused
        assert visitors.queue.foreseen() == pytest.approx(16 * 0.2, rel=0.05)

    at_a_queue(visit, at_once=2)


def test_bound_follows_a_slowing_server():
    async def visit(visitors, clock):
        await seconds_an_item(visitors, clock, 0.01)
        await visitors.arrive("a")
        fast = visitors.queue.foreseen()
        clock.now += 5  # it hangs
        assert visitors.queue.foreseen() > 20 * fast

    at_a_queue(visit, at_once=1)
