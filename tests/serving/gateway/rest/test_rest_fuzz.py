"""Any JSON at all is answered, or refused in the envelope that the document has."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from messages import http
from rest_calls import data_uri, sample
from tries import tries

from align_zoo.serving.gateway.rest import openapi

IMAGE = data_uri(sample("red-star"))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a star", "float", "return", "image", "data:,", "http://a", IMAGE]),
    st.text(max_size=20).filter(lambda text: text.isprintable()),
)
WORDS = st.sampled_from(["text", "image", "type", "image_url", "url", "content", "role", "x"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
SCHEMAS = openapi.document()["components"]
ENVELOPE = Draft202012Validator({"$ref": "#/components/schemas/Envelope", "components": SCHEMAS})


def fields(name):
    known = st.sampled_from(sorted(SCHEMAS["schemas"][name]["properties"]))
    return st.dictionaries(known, VALUES, min_size=1, max_size=5)


REQUESTS = {
    "/v1/embeddings": ("EmbeddingsRequest", "Embeddings"),
    "/v2/embed": ("EmbedRequest", "Embed"),
    "/v1/classify": ("ClassifyRequest", "Classified"),
}


@pytest.mark.parametrize("path", REQUESTS)
def test_any_request_is_answered_or_refused_by_name(doors, path):
    request, answer = REQUESTS[path]
    reference = {"$ref": f"#/components/schemas/{answer}", "components": SCHEMAS}

    @settings(max_examples=tries(1000), suppress_health_check=list(HealthCheck))
    @given(fields(request))
    def check(found):
        reply = http(doors.gateway.http_port, path, json.dumps(found).encode())
        expected = Draft202012Validator(reference) if reply.status == 200 else ENVELOPE
        assert reply.status in (200, 400, 404), reply.body
        expected.validate(json.loads(reply.body))

    check()
