"""What is sent, and what comes back."""

import contextlib
import io
import json
import urllib.error
import urllib.request
from typing import NamedTuple

import grpc
import numpy as np
from calls import request
from PIL import Image
from tritonclient.grpc import service_pb2


class Reply(NamedTuple):
    status: int
    headers: dict
    body: bytes

    @property
    def error(self):
        return json.loads(self.body)["error"]


def message(model, items, id=""):
    """A ModelInferRequest."""
    (tensor,) = request(model, items)
    asked = service_pb2.ModelInferRequest(model_name=model, id=id)
    asked.inputs.append(tensor._get_tensor())
    asked.raw_input_contents.append(tensor._get_content())
    return asked


def embeddings(answer):
    """The first output of a ModelInferResponse: float32, in one row."""
    return np.frombuffer(answer.raw_output_contents[0], dtype=np.float32)


@contextlib.contextmanager
def refused(code, words):
    """A gRPC call in this block ends with ``code``, and a message that begins with ``words``."""
    import pytest

    with pytest.raises(grpc.RpcError) as caught:
        yield caught
    assert (caught.value.code().name, caught.value.details()[: len(words)]) == (code, words)


def http(port, path, data=None, *, method=None, headers=None, tls=None, host="127.0.0.1"):
    """One HTTP call, whatever its status."""
    url = f"http{'s' if tls else ''}://{host}:{port}{path}"
    asked = urllib.request.Request(url, data, headers or {}, method=method)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls)
    )
    try:
        with opener.open(asked, timeout=60) as answer:
            return Reply(answer.status, dict(answer.headers), answer.read())
    except urllib.error.HTTPError as error:
        return Reply(error.code, dict(error.headers), error.read())


def json_request(*texts, name="TEXT"):
    """The body of an inference of texts."""
    tensor = {"name": name, "shape": [len(texts), 1], "datatype": "BYTES", "data": list(texts)}
    return json.dumps({"inputs": [tensor]}).encode()


def in_protobuf(request):
    """KServe's JSON as the message of gRPC, with the data as contents."""
    asked = service_pb2.ModelInferRequest(model_name="align_text", id=request.get("id", ""))
    for name, value in request.get("parameters", {}).items():
        _set(asked.parameters[name], value)
    for each in request["inputs"]:
        tensor = asked.inputs.add(name=each["name"], datatype=each["datatype"], shape=each["shape"])
        tensor.contents.bytes_contents.extend(map(str.encode, each["data"]))
        for name, value in each.get("parameters", {}).items():
            _set(tensor.parameters[name], value)
    for each in request.get("outputs", []):
        output = asked.outputs.add(name=each["name"])
        for name, value in each.get("parameters", {}).items():
            _set(output.parameters[name], value)
    return asked


def _set(parameter, value):
    kinds = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
    setattr(parameter, kinds[type(value)], value)


def heavy_image(size=700):
    """A PNG that takes a while to decode."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (size, size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "PNG", compress_level=1)
    return file.getvalue()
