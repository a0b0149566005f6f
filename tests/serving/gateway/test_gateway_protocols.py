"""One set of rules: gRPC and HTTP accept and refuse the same requests, with the same words."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from messages import in_protobuf, json_request
from tries import tries

from align_zoo.serving.gateway.allowed import judge
from align_zoo.serving.gateway.grpc_request import read
from align_zoo.serving.gateway.http_request import read_request
from align_zoo.serving.gateway.refusal import Reason, Refusal

INTEGERS = st.integers(-(2**63), 2**63 - 1)
VALUES = st.one_of(st.booleans(), INTEGERS, st.floats(), st.text(max_size=3))
NAMES = st.sampled_from(
    "priority timeout binary_data_output binary_data binary_data_size classification".split()
)
PARAMETERS = st.dictionaries(NAMES, VALUES, max_size=2)
OUTPUT = st.fixed_dictionaries(
    {"name": st.sampled_from(["EMBEDDING", "RUNTIME", "NONE"]), "parameters": PARAMETERS}
)
TENSOR = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["TEXT", "TEXT", "IMAGE", ""]),
        "datatype": st.sampled_from(["BYTES", "BYTES", "FP32", ""]),
        "shape": st.one_of(st.just([1, 1]), st.lists(INTEGERS)),
        "data": st.just(["a"]),
    }
)


@settings(max_examples=tries(300), deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "inputs": st.lists(TENSOR, min_size=1, max_size=2),
            "parameters": PARAMETERS,
            "outputs": st.lists(OUTPUT, max_size=2),
        }
    )
)
def test_both_protocols_judge_alike(request_):
    def verdict(judged):
        try:
            return judged()
        except Refusal as refusal:
            return refusal.reason, refusal.message

    over_grpc = verdict(lambda: judge(read(in_protobuf(request_).SerializeToString())))
    body = json.dumps(request_).encode()
    if b"NaN" in body or b"Infinity" in body:
        assert over_grpc[0] is Reason.MALFORMED
        return
    over_http = verdict(lambda: read_request(body, None, "align_text").items)
    assert over_grpc == over_http


@given(st.lists(st.text(), min_size=1, max_size=5), st.booleans())
def test_strings_of_json_reach_tritonserver_as_they_are(texts, nested):
    request = json.loads(json_request(*texts))
    if nested:
        request["inputs"][0]["data"] = [[text] for text in texts]
    written = read_request(json.dumps(request).encode(), None, "align_text")
    head, tensor = written.body[: written.json_length], written.body[written.json_length :]
    assert written.items == len(texts)
    assert json.loads(head)["inputs"][0]["parameters"] == {"binary_data_size": len(tensor)}
    strings = [len(text.encode()).to_bytes(4, "little") + text.encode() for text in texts]
    assert tensor == b"".join(strings)
