"""Packs of a client's images, beside other callers, through the gateway and a real tritonserver."""

import io
import threading

import grpc
import numpy as np
import pytest
from doors import stub_at
from messages import message
from PIL import Image
from tritonclient.grpc import service_pb2
from waiting import wait_until

from align_client import AlignClient, InvalidInput

PACK = 16


def png(colour, side):
    file = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def client(doors):
    with AlignClient(doors.grpc_url, timeout=60) as client:
        yield client


def computed(sockets):
    """The number of images that the model has computed, by its own count."""
    with stub_at(f"unix:{sockets}/grpc:1") as bare:
        request = service_pb2.ModelStatisticsRequest(name="align_image")
        (stats,) = bare.ModelStatistics(request).model_stats
        return stats.inference_count


def test_packed_images_have_their_own_answers(client):
    images = [png((5 * i, 255 - 5 * i, 90), 60) for i in range(50)]
    packed = client.embed_image([*images[:20], b"bad", *images[20:]], on_error="return")
    assert isinstance(packed.pop(20), InvalidInput)
    alone = np.concatenate([client.embed_image(image) for image in images])
    np.testing.assert_allclose(np.stack(packed), alone, atol=1e-6)


def test_single_image_waits_for_two_packs(client, doors, sockets):
    slow = [png("red", 1500)] * 20 * PACK
    before = computed(sockets)
    large = threading.Thread(target=client.embed_image, args=(slow,))
    large.start()
    wait_until(lambda: computed(sockets) > before)
    with AlignClient(doors.grpc_url, timeout=60) as other:
        begin = computed(sockets)
        other.embed_image(slow[0])
        # Two packs before it, one that was computed meanwhile, and itself.
        assert computed(sockets) - begin <= 3 * PACK + 1
    assert large.is_alive()
    large.join()


def test_single_image_passes_packs_of_many_callers(own_doors):
    pack, single = (message("align_image", [png("red", 300)] * items) for items in (PACK, 1))
    answered = []
    with stub_at(own_doors(queue_seconds=600).grpc_url) as stub:
        calls = [stub.ModelInfer.future(pack) for _ in range(24)]
        for call in calls:
            call.add_done_callback(answered.append)
        wait_until(lambda: answered)
        begin = len(answered)
        stub.ModelInfer(single)
        # Two packs that tritonserver had already, and those that were answered while the single
        # image was on its way: one, or a few on a busy machine. First come, first served is 23.
        assert len(answered) - begin <= 8
        wait_until(lambda: len(answered) == len(calls))
    assert {call.code() for call in calls} == {grpc.StatusCode.OK}


def test_bad_items_of_a_request_have_one_line(stub, shared, tmp_path_factory):
    request = message("align_image", [b"", png("red", 60), b"bad", b"bad"], id="mine")
    request.parameters["errors"].string_param = "return"
    stub.ModelInfer(request)
    (log,) = tmp_path_factory.getbasetemp().glob("triton0/triton.log")
    words = "request 'mine': 3 of 4 items cannot be used (1 empty, 2 format)"
    wait_until(lambda: log.read_text().count(words) == 1)


@pytest.mark.parametrize("items", [1, 3])
def test_plain_request_has_no_errors_output(stub, items):
    answer = stub.ModelInfer(message("align_image", [png("red", 60)] * items))
    assert "ERROR" not in {output.name for output in answer.outputs}
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(message("align_image", [png("red", 60), b"bad"]))
    assert "item 1: " in caught.value.details()
