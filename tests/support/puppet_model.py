"""A model for the real Triton that answers as the item tells it.

An item that is a JSON object names what is to happen; of a list, the first entry at the first
call with this item, and so on. Any other item is answered as ``{}`` is: by a unit vector of the
checkpoint "a".

A puppet that says how it resizes takes PNG files only, no smaller than 16 x 16 where it does not
resize, and answers with their width and height as a direction.
"""

import itertools
import json
import os
import struct
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.input = config["input"][0]["name"]
        self.outputs = [output["name"] for output in config["output"]]
        self.calls = {}
        resize = config["parameters"].get("resize", {"string_value": ""})["string_value"]
        self.sizes = itertools.cycle([list(map(int, s.split())) for s in resize.split(";")])

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        size = next(self.sizes)
        items = pb_utils.get_input_tensor_by_name(request, self.input).as_numpy().ravel()
        orders = [self.look(item) if size else self.order(item) for item in items]
        for order in orders:
            time.sleep(order.get("seconds", 0))
            if "die" in order:
                os._exit(1)
            if size == [0, 0, 0] and min(order["seen"]) < 16:
                invalid = pb_utils.TritonError(
                    "smaller than the crop", pb_utils.TritonError.INVALID_ARG
                )
                return pb_utils.InferenceResponse(error=invalid)
            if "error" in order:
                return pb_utils.InferenceResponse(error=pb_utils.TritonError(order["error"]))
        outputs = {
            "EMBEDDING": np.array([o.get("embedding", [1, 0, 0, 0]) for o in orders], np.float32),
            "CHECKPOINT": np.array([[o.get("checkpoint", "a")] for o in orders], np.object_),
            "TEMPERATURE": np.array([[o.get("temperature", 0.5)] for o in orders], np.float32),
            "RESIZE": np.array([size] * len(orders), np.int32),
        }
        rows = orders[0].get("rows", len(orders))
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor(name, outputs[name][:rows])
                for name in self.outputs
                if name != orders[0].get("without")
            ]
        )

    def look(self, item):
        seen = struct.unpack(">II", item[16:24])  # where a PNG has them
        return {"seen": seen, "embedding": [*(seen / np.linalg.norm(seen)), 0, 0]}

    def order(self, item):
        try:
            order = json.loads(item)
        except ValueError:
            return {}
        if isinstance(order, list):
            call = self.calls[item] = self.calls.get(item, -1) + 1
            return order[min(call, len(order) - 1)]
        return order if isinstance(order, dict) else {}
