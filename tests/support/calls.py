"""Calls of a real server through tritonclient."""

import queue

import numpy as np
from tritonclient import grpc

INPUTS = {"align_image": "IMAGE", "align_text": "TEXT"}


def request(model, items):
    tensor = grpc.InferInput(INPUTS[model], [len(items), 1], "BYTES")
    tensor.set_data_from_numpy(np.array(items, dtype=np.object_).reshape(-1, 1))
    return [tensor]


def ask(client, model, items, **options):
    """One request; tritonclient's result."""
    return client.infer(model, request(model, items), client_timeout=60, **options)


def ask_at_once(client, model, requests, timeouts=()):
    """All requests before the first answer; for each its embeddings [N, D] or its error.

    ``timeouts`` are those of the first requests, in seconds; the others wait for a minute.
    """
    waits = [*timeouts, *[60] * (len(requests) - len(timeouts))]
    done = queue.SimpleQueue()
    for i, items in enumerate(requests):
        client.async_infer(
            model,
            request(model, items),
            callback=lambda result, error, i=i: done.put((i, result, error)),
            client_timeout=waits[i],
        )
    answers = dict.fromkeys(range(len(requests)))
    for _ in requests:
        i, result, error = done.get(timeout=90)
        answers[i] = error or result.as_numpy("EMBEDDING")
    return list(answers.values())


def executions(client, model):
    """How many batches the model has computed."""
    (stats,) = client.get_inference_statistics(model).model_stats
    return stats.execution_count


def queued_seconds(client, model):
    """How long all requests of the model together have waited."""
    statistics = client.get_inference_statistics(model)
    return statistics.model_stats[0].inference_stats.queue.ns / 1e9
