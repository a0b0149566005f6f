"""A gRPC server of our own that speaks Triton's protocol, and refuses as it is told."""

import struct
import threading
from collections import Counter
from concurrent import futures

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as pb
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from align_client.shrink import Resize, resize_fingerprint
from align_client.transport import Batch

SERVICE = "inference.GRPCInferenceService"
MESSAGES = [("grpc.max_receive_message_length", 64_000_000), ("grpc.so_reuseport", 0)]


class Scripted:
    """Answers every item with a unit vector of ``checkpoint``, once the refusals are used up.

    Args:
        port: 0 for a free one.
        credentials: grpc's for a server with TLS; None without.
        checkpoint: what it says that it serves.
        token: the bearer token that it wants.
        resize: [height, width, filter] that it says it resizes to. It then answers PNG files of
            that size with [1, 0], others with [0, 1].
        seconds: how long an inference takes.
        errors: whether it knows the parameter errors: True or False; or its configuration says so,
            and the parameter is "refused" or "ignored". An item that begins with "bad" is refused,
            and a number is answered with a vector of its own.
    """

    def __init__(
        self,
        *,
        port=0,
        credentials=None,
        checkpoint="a",
        token=None,
        resize=None,
        seconds=0,
        errors=False,
    ):
        self.checkpoint = checkpoint
        self.token = token
        self.resize = resize
        self.seconds = seconds
        self.errors = errors
        self.at_once = self.most_at_once = self.cancelled = 0
        """Inferences."""
        self._counting = threading.Lock()
        self.refusals = []
        """(code, words, how often), the first first."""
        self.requests = []
        """Of each inference its model, id and bytes."""
        self.items = []
        """Of each inference its number of items."""
        self.parameters = []
        """Of each inference the names of its parameters."""
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=MESSAGES)
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    SERVICE,
                    {
                        name: grpc.unary_unary_rpc_method_handler(
                            self._guarded(answer),
                            kind.FromString,
                            lambda message: message.SerializeToString(),
                        )
                        for name, (kind, answer) in {
                            "ServerReady": (
                                pb.ServerReadyRequest,
                                lambda _: pb.ServerReadyResponse(ready=True),
                            ),
                            "ModelReady": (
                                pb.ModelReadyRequest,
                                lambda _: pb.ModelReadyResponse(ready=True),
                            ),
                            "ModelConfig": (pb.ModelConfigRequest, self._config),
                            "ModelInfer": (pb.ModelInferRequest, self._infer),
                        }.items()
                    },
                )
            ]
        )
        address = f"127.0.0.1:{port}"
        if credentials:
            self.port = self._server.add_secure_port(address, credentials)
        else:
            self.port = self._server.add_insecure_port(address)
        self._server.start()

    @property
    def url(self):
        return f"127.0.0.1:{self.port}"

    def refuse(self, code, words, times=1):
        """What the next inferences are answered with."""
        self.refusals += [(getattr(grpc.StatusCode, code), words)] * times

    def count(self):
        """How often each request came, by its id."""
        return Counter(id for _, id, _ in self.requests)

    def stop(self):
        self._server.stop(None).wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _guarded(self, answer):
        def guarded(request, context):
            said = dict(context.invocation_metadata()).get("authorization")
            if self.token and said is None:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "a bearer token is needed")
            if self.token and said != f"Bearer {self.token}":
                words = "the bearer token is not accepted"
                context.abort(grpc.StatusCode.UNAUTHENTICATED, words)
            if isinstance(request, pb.ModelInferRequest):
                self.requests.append((request.model_name, request.id, request.ByteSize()))
                self.items.append(request.inputs[0].shape[0])
                self.parameters.append({*request.parameters})
                if self.refusals:
                    context.abort(*self.refusals.pop(0))
                self._take_time(context)
                if refusal := self._fault(request):
                    context.abort(grpc.StatusCode.INVALID_ARGUMENT, refusal)
            return answer(request)

        return guarded

    def _take_time(self, context):
        ended = threading.Event()
        context.add_callback(ended.set)
        self._count(1)
        if ended.wait(self.seconds):
            with self._counting:
                self.cancelled += 1
        self._count(-1)

    def _count(self, change):
        with self._counting:
            self.at_once += change
            self.most_at_once = max(self.most_at_once, self.at_once)

    def _config(self, request):
        answer = pb.ModelConfigResponse()
        answer.config.max_batch_size = 8
        if self.errors:
            answer.config.output.add(name="ERROR")
        return answer

    def _fault(self, request):
        """The words of a server that fails a request for its first bad item; "" without one."""
        if "errors" in request.parameters and self.errors is True:
            return ""
        if "errors" in request.parameters and self.errors == "refused":
            return (
                "the request's parameter 'errors' is not accepted: accepted are priority, timeout"
            )
        contents = _contents(request)
        bad = next((i for i, item in enumerate(contents) if item.startswith(b"bad")), None)
        if bad is None:
            return ""
        return f"item {bad}: it is bad" if len(contents) > 1 else "it is bad"

    def _infer(self, request):
        items = request.inputs[0].shape[0]
        answer = pb.ModelInferResponse(model_name=request.model_name)

        def add(name, kind, array):
            answer.outputs.add(name=name, datatype=kind, shape=array.shape)
            raw = serialize_byte_tensor(array).item() if kind == "BYTES" else array.tobytes()
            answer.raw_output_contents.append(raw)

        vector = [0.6, 0.8]
        if self.resize and request.model_name == "align_image":
            width, height = struct.unpack(">II", request.raw_input_contents[0][20:28])
            vector = [1, 0] if [height, width] == self.resize[:2] else [0, 1]
            add("RESIZE", "INT32", np.array([self.resize], np.int32))
            add(
                "RESIZE_CHECK",
                "UINT32",
                np.array([[resize_fingerprint(Resize(*self.resize))]], np.uint32),
            )
        vectors = np.tile(np.array([vector], np.float32), (items, 1))
        for i, item in enumerate(_contents(request)):
            if item.isdigit():
                vectors[i] = np.cos(int(item)), np.sin(int(item))
        if "errors" in request.parameters and self.errors is True:
            bad = [item.startswith(b"bad") for item in _contents(request)]
            vectors[bad] = 0
            errors = np.array([[b"it is bad" if each else b""] for each in bad], np.object_)
            add("ERROR", "BYTES", errors)
        add("EMBEDDING", "FP32", vectors)
        add("CHECKPOINT", "BYTES", np.array([[self.checkpoint]] * items, np.object_))
        add("TEMPERATURE", "FP32", np.full((items, 1), 0.5, np.float32))
        return answer


def _contents(request):
    (raw,) = request.raw_input_contents
    return deserialize_bytes_tensor(raw).tolist()


def counts(*servers):
    """How many inferences each server has had."""
    return [len(server.requests) for server in servers]


def know_batches(client):
    """Spare the client its question for the batch, which would take a turn of a replica."""

    async def batch(model, call):
        return Batch(8, errors=False)

    client._align.transport.batch = batch


def replicas(client):
    """What a client knows of each of its servers."""
    return client._align.transport.replicas.replicas
