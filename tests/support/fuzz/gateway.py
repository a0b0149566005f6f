"""Odd requests through a service: none ends its tritonserver, or changes another's answer."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from fuzz.outcomes import Outcomes
from fuzz.requests import Sent, odd_request

__all__ = ["try_requests"]

_AT_ONCE = 4
_SOUND_EVERY = 20
_SECONDS = 30.0
_TEXT = b"a red circle"
_INFER = "/inference.GRPCInferenceService/ModelInfer"
_REFUSALS = ("INVALID_ARGUMENT", "NOT_FOUND", "400", "404")
"""What a caller's mistake may be answered with."""


def try_requests(
    grpc_url: str,
    http_url: str,
    seeds: Iterable[int],
    expected: np.ndarray,
    progress: Callable[[int], None] = lambda count: None,
) -> Outcomes:
    """Send the request of each seed, four at a time, and a sound one after each twenty.

    Args:
        grpc_url: "127.0.0.1:8001", of a service with align_tiny.
        http_url: "127.0.0.1:8000", of the same.
        seeds: of the requests.
        expected: the embedding of "a red circle" [D].
        progress: called with 1 after each request.
    """
    outcomes, lock = Outcomes("requests, served"), threading.Lock()
    local = threading.local()

    def attempt(seed: int) -> None:
        sent, start = odd_request(seed), time.perf_counter()
        if not hasattr(local, "channel"):
            local.channel = grpc.insecure_channel(grpc_url, [("grpc.enable_http_proxy", 0)])
        result, words, _ = _send(sent, local.channel, http_url)
        seconds = time.perf_counter() - start
        fault = None if result in ("OK", "200", *_REFUSALS) else f"{result}: {words}"
        if not fault and seed % _SOUND_EVERY == 0:
            fault = _sound_fault(local.channel, http_url, expected)
        with lock:
            outcomes.tried += 1
            outcomes.timed(seed, seconds)
            if result in ("OK", "200"):
                outcomes.answered += 1
            else:
                outcomes.refused[result] += 1
            if fault:
                outcomes.faults.append(f"request {seed} ({sent.protocol}): {fault}")
            progress(1)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for future in [pool.submit(attempt, seed) for seed in seeds]:
            future.result()
    return outcomes


def _send(sent: Sent, channel: grpc.Channel, http_url: str) -> tuple[str, str, bytes]:
    """The code, what the error says, and the answer's body."""
    if sent.protocol == "grpc":
        try:
            return "OK", "", channel.unary_unary(_INFER)(sent.body, timeout=_SECONDS)
        except grpc.RpcError as error:
            return error.code().name, error.details() or "", b""
    connection = http.client.HTTPConnection(http_url, timeout=_SECONDS)
    headers = {}
    if sent.json_length is not None:
        headers["Inference-Header-Content-Length"] = sent.json_length
    try:
        connection.request("POST", f"/v2/models/{sent.model}/infer", sent.body, headers)
        answer = connection.getresponse()
        body = answer.read()
        return str(answer.status), "" if answer.status == 200 else body.decode("utf-8"), body
    except OSError as error:
        return type(error).__name__, str(error), b""
    finally:
        connection.close()


def _sound_fault(channel: grpc.Channel, http_url: str, expected: np.ndarray) -> str | None:
    """What is wrong with the answers to a sound request over both protocols."""
    asked = service_pb2.ModelInferRequest(model_name="align_text")
    asked.inputs.add(name="TEXT", datatype="BYTES", shape=[1, 1])
    asked.raw_input_contents.append(len(_TEXT).to_bytes(4, "little") + _TEXT)
    asked.outputs.add(name="EMBEDDING")
    tensor = {"name": "TEXT", "shape": [1, 1], "datatype": "BYTES", "data": [_TEXT.decode()]}
    body = json.dumps({"inputs": [tensor], "outputs": [{"name": "EMBEDDING"}]}).encode()
    over_grpc = Sent("grpc", "align_text", asked.SerializeToString(), None)
    for sent in (over_grpc, Sent("http", "align_text", body, None)):
        result, words, answer = _send(sent, channel, http_url)
        if result not in ("OK", "200"):
            return f"a sound request after it over {sent.protocol}: {result} {words}"
        if sent.protocol == "grpc":
            response = service_pb2.ModelInferResponse.FromString(answer)
            vector = np.frombuffer(response.raw_output_contents[0], np.float32)
        else:
            vector = np.array(json.loads(answer)["outputs"][0]["data"], np.float32)
        if not np.allclose(vector, expected, atol=1e-5):
            return f"another answer to a sound request after it over {sent.protocol}"
    return None
