"""ModelStreamInfer: each request of a stream is answered as a single call is."""

import grpc
import numpy as np
import pytest
from doors import stub_at
from messages import embeddings, message
from tritonclient.grpc import service_pb2
from waiting import wait_until

REQUESTS = [
    message("align_text", [b"a red circle"], id="first"),
    message("align_text", [b""], id="second"),
    message("align_image", [b"no image"], id="third"),
    message("align_text", [b"a", b"blue"], id="fourth"),
]


def without_vectors(response):
    copy = service_pb2.ModelStreamInferResponse.FromString(response.SerializeToString())
    del copy.infer_response.raw_output_contents[:]
    return copy


@pytest.mark.parametrize("final", [False, True], ids=["plain", "wants-final"])
def test_a_stream_is_answered_as_tritonserver_answers_it(bare, stub, final):
    requests = []
    for each in REQUESTS:
        asked = service_pb2.ModelInferRequest.FromString(each.SerializeToString())
        if final:
            asked.parameters["triton_enable_empty_final_response"].bool_param = True
        requests.append(asked)
    # One at a time: tritonserver answers in the order in which it is ready.
    expected = [next(bare.ModelStreamInfer(iter([each]), timeout=30)) for each in requests]
    answers = list(stub.ModelStreamInfer(iter(requests), timeout=30))
    assert len(answers) == len(expected)
    for mine, theirs in zip(answers, expected, strict=True):
        if not mine.error_message:
            np.testing.assert_allclose(
                embeddings(mine.infer_response), embeddings(theirs.infer_response), atol=1e-6
            )
        assert without_vectors(mine) == without_vectors(theirs)


def test_a_refused_request_leaves_the_stream_open(stub):
    bad = message("align_text", [b"a"], id="mine")
    bad.outputs.add(name="RUNTIME").parameters["classification"].int64_param = 1
    refused, answered = stub.ModelStreamInfer(iter([bad, REQUESTS[0]]), timeout=30)
    assert refused.error_message.startswith("the output's parameter 'classification'")
    assert refused.infer_response.id == "mine"
    assert not answered.error_message and answered.infer_response.outputs


def test_a_long_stream_is_answered_in_order(stub):
    requests = (message("align_text", [b"a"], id=f"number {i}") for i in range(1000))
    answers = stub.ModelStreamInfer(requests, timeout=60)
    assert [each.infer_response.id for each in answers] == [f"number {i}" for i in range(1000)]


def test_stream_reads_at_most_64_unanswered_requests(own_doors, held):
    doors, sent = own_doors(at_once=1), []

    def endless():
        for i in range(100_000):
            sent.append(i)
            yield message("align_text", [b"a" * 100_000])

    with stub_at(doors.grpc_url) as stub, held():
        call = stub.ModelStreamInfer(endless(), timeout=60)
        wait_until(lambda: doors.gateway.waiting("align_text") >= 63)
        assert doors.gateway.waiting("align_text") == 63, "one is with tritonserver"
        call.cancel()
        wait_until(lambda: doors.gateway.waiting("align_text") == 0)
    assert len(sent) < 1000


def test_a_stream_whose_caller_leaves_leaves_nothing_behind(own_doors, held):
    doors = own_doors(at_once=1)
    with stub_at(doors.grpc_url) as stub:
        with held():
            call = stub.ModelStreamInfer(iter(REQUESTS[:1] * 5), timeout=60)
            wait_until(lambda: doors.gateway.waiting("align_text") == 4)
            call.cancel()
            wait_until(lambda: doors.gateway.waiting("align_text") == 0 and not doors.at_work)
        stub.ModelInfer(REQUESTS[0], timeout=30)


def test_a_streams_deadline_ends_it(own_doors, held):
    doors = own_doors()
    with held(), stub_at(doors.grpc_url) as stub:
        with pytest.raises(grpc.RpcError) as caught:
            next(stub.ModelStreamInfer(iter(REQUESTS), timeout=0.5))
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        wait_until(lambda: not doors.at_work)
