"""What was with a server at its death: what is refused from then on, and what is not."""

import asyncio
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import json_request, message
from visitors import Clock, at_a_queue

from align_zoo.serving.gateway.grpc_request import without_id
from align_zoo.serving.gateway.http_request import read_request
from align_zoo.serving.gateway.metrics import Metrics
from align_zoo.serving.gateway.refusal import Reason, Refusal
from align_zoo.serving.gateway.suspects import Content, Suspects
from align_zoo.serving.routing import Backend

MINUTE = 60.0
DIED = Refusal(Reason.DIED, "server restarted")


def content(name, model="align_text"):
    return Content(model, f"id of {name}", lambda: [name.encode()])


class Service:
    """Servers, one after the other, that end with whatever ``fatal`` says."""

    def __init__(self, fatal=()):
        self.clock, self.metrics = Clock(), Metrics()
        self.suspects = Suspects(self.metrics, self.clock)
        self.fatal = set(fatal)
        self.deaths = 0
        self.backend = self.next_backend()

    def next_backend(self):
        return Backend(self.deaths, None, None, None, {}, None)

    def work(self, *names):
        """All of them at once; the server answers, or dies with them."""
        dies = bool(self.fatal & set(names))
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.suppress(Refusal))
            for name in names:
                stack.enter_context(self.suspects.at_work(self.backend, content(name)))
            if dies:
                raise DIED
        if dies:
            self.die()

    def die(self, model=""):
        self.deaths += 1
        there = self.suspects.died(self.backend, model)
        self.backend = self.next_backend()
        return there

    def call(self, *names):
        """As the queue lets them through: suspects alone, all others together."""
        names = [name for name in names if not self.refused(name)]
        alone = [name for name in names if self.suspects.suspected(content(name))]
        for each in [[name] for name in alone] + [[name for name in names if name not in alone]]:
            if each:
                self.work(*each)

    def refused(self, name):
        try:
            self.suspects.check(content(name))
        except Refusal as refusal:
            assert refusal.reason is Reason.POISONED
            return True
        return False


@given(
    rounds=st.lists(st.sets(st.sampled_from("abcdefX"), min_size=1), max_size=20),
    everywhere=st.booleans(),
)
def test_innocent_requests_survive_two_deaths_by_poison(rounds, everywhere):
    service = Service(fatal="X")
    for names in rounds:
        service.call(*names | ({"X"} if everywhere else set()))
    assert service.deaths <= 2
    assert service.refused("X") == (service.deaths == 2)
    assert not any(map(service.refused, "abcdef"))


@given(poisons=st.lists(st.sampled_from("XYZ"), max_size=30))
def test_each_of_several_poisons_ends_two_servers(poisons):
    service = Service(fatal="XYZ")
    for name in poisons:
        service.call("a", name)
    assert service.deaths == sum(min(2, poisons.count(name)) for name in "XYZ")
    assert not service.refused("a")


@pytest.mark.parametrize(
    ("names", "words"),
    [(["X"], "server restarted"), (["X", "a", "b"], "server restarted and others")],
    ids=["alone", "with-others"],
)
def test_death_is_reported_with_and_without_others(names, words):
    async def call(name, dies):
        with pytest.raises(Refusal) as refused, service.suspects.at_work(backend, content(name)):
            await dies.wait()
            raise DIED
        return refused.value.message

    async def run():
        dies = asyncio.Event()
        calls = [asyncio.create_task(call(name, dies)) for name in names]
        await asyncio.sleep(0)
        dies.set()
        return await asyncio.gather(*calls)

    service = Service()
    backend = service.backend
    assert asyncio.run(run()) == [words] * len(names)


def test_an_answer_clears_a_suspect():
    service = Service()
    for _ in range(5):
        with service.suspects.at_work(service.backend, content("cat")):
            service.die()
        service.work("cat")
    assert not service.refused("cat")
    assert not service.suspects.suspected(content("cat"))


def test_two_suspects_are_served_until_third_death():
    service = Service(fatal=["X"])
    seen = []
    for _ in range(3):
        service.work("X", "a")
        seen.append((service.refused("X"), service.refused("a")))
    assert seen == [(False, False), (False, False), (True, True)]


def test_request_to_dying_server_is_no_suspect():
    service = Service()
    with contextlib.suppress(Refusal), service.suspects.at_work(service.backend, content("X")):
        raise DIED
    with contextlib.suppress(Refusal), service.suspects.at_work(service.backend, content("late")):
        raise DIED
    assert service.die() == 1
    assert service.suspects.suspected(content("X"))
    assert not service.suspects.suspected(content("late"))


@pytest.mark.parametrize(("seconds", "suspected"), [(5, True), (60, False)])
def test_request_of_recent_leaver_is_a_suspect(seconds, suspected):
    service = Service()
    with (
        contextlib.suppress(KeyboardInterrupt),
        service.suspects.at_work(service.backend, content("X")),
    ):
        raise KeyboardInterrupt
    service.clock.now += seconds
    service.die()
    assert service.suspects.suspected(content("X")) is suspected


@pytest.mark.parametrize(
    ("model", "suspected"), [("align_image", False), ("align_text", True), ("", True)]
)
def test_only_the_dead_models_requests_are_suspects(model, suspected):
    service = Service()
    with contextlib.suppress(Refusal), service.suspects.at_work(service.backend, content("X")):
        assert service.die(model) == suspected
        raise DIED
    assert service.suspects.suspected(content("X")) is suspected


def test_after_refusal_expires_one_death_is_enough():
    service = Service(fatal=["X"])
    service.call("X")
    service.call("X")
    service.clock.now += 9 * MINUTE
    assert service.refused("X")
    service.clock.now += 2 * MINUTE
    assert not service.refused("X")
    service.call("X")
    assert service.refused("X")
    service.clock.now += 21 * MINUTE
    assert not service.suspects.suspected(content("X"))
    assert not service.suspects._known  # nor is anything else read twice from then on


def test_remembered_suspects_are_bounded():
    service = Service()
    for number in range(50):
        names = [f"{number} {i}" for i in range(200)]
        service.fatal = {names[0]}
        service.work(*names)
    assert len(service.suspects._known) == 4096
    assert service.suspects.suspected(content("49 199"))


def test_poison_is_counted_and_logged_by_its_id(capfd):
    service = Service(fatal=["X"])
    for _ in range(5):
        service.call("X")
    count = service.metrics.registry.get_sample_value
    assert count("align_zoo_poisoned_requests_total", {"model": "align_text"}) == 1
    assert '"event": "poisoned", "id": "id of X", "model": "align_text"' in capfd.readouterr().err


def test_without_suspects_nothing_is_read():
    def parts():
        raise AssertionError("read")

    service = Service()
    unread = Content("align_text", "", parts)
    service.suspects.check(unread)
    assert not service.suspects.suspected(unread)
    with service.suspects.at_work(service.backend, unread):
        pass


def over_grpc(text, id):
    return without_id(message("align_text", [text.encode()], id).SerializeToString())


def in_json(text, id):
    return read_request(json_with_id(text, id), None, "align_text").without_id()


def in_json_and_bytes(text, id):
    asked = json.loads(json_with_id(text, id))
    tensor = len(text).to_bytes(4, "little") + text.encode()
    del asked["inputs"][0]["data"]
    asked["inputs"][0]["parameters"] = {"binary_data_size": len(tensor)}
    head = json.dumps(asked).encode()
    return read_request(head + tensor, str(len(head)), "align_text").without_id()


def json_with_id(text, id):
    return json.dumps({"id": id, **json.loads(json_request(text))}).encode()


@pytest.mark.parametrize("parts", [over_grpc, in_json, in_json_and_bytes])
@given(ids=st.lists(st.text(max_size=9), min_size=2, max_size=2), texts=st.permutations(["a", "b"]))
def test_a_request_is_the_same_whatever_its_id(parts, ids, texts):
    def digest(text, id):
        return Content("m", "", lambda: parts(text, id)).digest

    assert digest(texts[0], ids[0]) == digest(texts[0], ids[1])
    assert digest(texts[0], ids[0]) != digest(texts[1], ids[0])


def test_suspect_goes_alone_and_others_follow():
    suspected = {"b"}

    async def visit(visitors, _):
        for name in "abcd":
            await visitors.arrive(name, alone=lambda name=name: name in suspected)
        assert list(visitors.inside) == ["a"]
        await visitors.go("a")
        assert list(visitors.inside) == ["b"]
        await visitors.go("b")
        assert list(visitors.inside) == ["c", "d"]

    at_a_queue(visit, at_once=4)


def test_suspect_cleared_while_waiting_is_not_alone():
    suspected = {"a", "b", "c"}

    async def visit(visitors, _):
        for name in "abc":
            await visitors.arrive(name, alone=lambda name=name: name in suspected)
        assert list(visitors.inside) == ["a"]
        suspected.clear()
        await visitors.go("a")
        assert list(visitors.inside) == ["b", "c"]

    at_a_queue(visit, at_once=4)
