"""Requests at a queue that stay inside until they are told to go, and a clock to be set."""

import asyncio

from align_zoo.serving.gateway.model_queue import ModelQueue
from align_zoo.serving.gateway.refusal import Refusal


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Visitors:
    """Requests at a queue, each a task that stays inside until it is told to go."""

    def __init__(self, queue):
        self.queue = queue
        self.inside = {}
        self.tasks = {}
        self.refused = {}
        self.entered = []

    async def arrive(self, name, items=1, size=0, alone=lambda: False):
        self.tasks[name] = asyncio.create_task(self._visit(name, items, size, alone))
        await settled()

    async def _visit(self, name, items, size, alone):
        try:
            async with self.queue.turn(items, size, alone):
                self.inside[name] = asyncio.Event()
                self.entered.append(name)
                try:
                    await self.inside[name].wait()
                finally:
                    del self.inside[name]
        except Refusal as refusal:
            self.refused[name] = refusal

    async def go(self, *names):
        for name in names:
            self.inside[name].set()
        await settled()

    async def cancel(self, name):
        self.tasks[name].cancel()
        await settled()

    async def everybody_out(self):
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def settled():
    for _ in range(10):
        await asyncio.sleep(0)


def at_a_queue(visit, at_once=4, queue_size=1000, queue_seconds=10.0, queue_bytes=10**9):
    """Run ``visit(visitors, clock)``; then nobody may be left inside."""

    async def run():
        clock = Clock()
        queue = ModelQueue(
            at_once,
            queue_size=queue_size,
            queue_bytes=queue_bytes,
            queue_seconds=queue_seconds,
            clock=clock,
        )
        visitors = Visitors(queue)
        await visit(visitors, clock)
        await visitors.everybody_out()
        assert (queue.through, queue.waiting) == (0, 0)

    asyncio.run(run())


async def seconds_an_item(visitors, clock, seconds):
    """Let the queue learn how long an item takes."""
    for i in range(20):
        await visitors.arrive(f"measured {i}")
        clock.now += seconds
        await visitors.go(f"measured {i}")
