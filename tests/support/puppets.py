"""A real Triton whose models do as they are told (puppet_model.py)."""

import shutil
from pathlib import Path

import tritonclient.grpc
from waiting import wait_until

CONFIG = """
backend: "python"
max_batch_size: {batch}
input {{ name: "{input}" data_type: TYPE_{kind} dims: [ 1 ] }}
output {{ name: "EMBEDDING" data_type: TYPE_FP32 dims: [ -1 ] }}
output {{ name: "CHECKPOINT" data_type: TYPE_STRING dims: [ 1 ] }}
output {{ name: "TEMPERATURE" data_type: TYPE_FP32 dims: [ 1 ] }}
{resize}
dynamic_batching {{ default_queue_policy {{ max_queue_size: 4 }} }}
instance_group {{ kind: KIND_CPU }}
"""

RESIZE = """
output {{ name: "RESIZE" data_type: TYPE_INT32 dims: [ 3 ] }}
parameters {{ key: "resize" value {{ string_value: "{}" }} }}
"""


def write_model(repository, name, *, resize="", **settings):
    """A puppet; with ``resize`` ("58 58 2; 40 30 3", in turns) it looks at images instead."""
    (repository / name / "1").mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).with_name("puppet_model.py"), repository / name / "1" / "model.py")
    settings = {"input": "IMAGE", "kind": "STRING", "batch": 8, **settings}
    (repository / name / "config.pbtxt").write_text(
        CONFIG.format(resize=RESIZE.format(resize) if resize else "", **settings)
    )


class Puppets:
    """A tritonserver with explicit model control, and the repository that it loads from."""

    def __init__(self, server, repository):
        self.url = server.grpc_url
        self.repository = repository
        self.loaded = {}
        self.control = tritonclient.grpc.InferenceServerClient(server.grpc_url)

    def load(self, name, **settings):
        """Serve this model as it is described, a fresh one only where it is another."""
        if self.loaded.get(name) != settings:
            write_model(self.repository, name, **settings)
            self.control.load_model(name)
            self.loaded[name] = settings

    def unload(self, name):
        self.loaded.pop(name, None)
        self.control.unload_model(name)
        wait_until(lambda: not self.control.is_model_ready(name))
