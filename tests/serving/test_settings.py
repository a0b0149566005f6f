"""What a served model reads from its environment and its config, and that it does so."""

import json
import re
import shutil
from pathlib import Path

import pytest
from calls import ask
from tritonclient import grpc
from waiting import wait_until

from align_zoo.errors import AlignZooError
from align_zoo.serving.model.settings import ServingSettings, image_limits
from align_zoo.serving.triton.command import ServeOptions
from align_zoo.serving.triton.launcher import run_server

REPOSITORY = Path(__file__).parents[2] / "model_repository"
TELLING_THREADS = """

class TritonPythonModel(TritonPythonModel):
    def initialize(self, args):
        import torch
        from pathlib import Path

        super().initialize(args)
        told = Path(args["model_repository"]).parent / f"{args['model_name']}.threads"
        batches = self.adapter._service._tower.batches
        compute = batches.function

        def telling(*inputs):
            told.write_text(str(torch.get_num_threads()))
            return compute(*inputs)

        batches.function = telling
"""
VARIABLES = {
    "ALIGN_ZOO_MODEL": "somebody/align",
    "ALIGN_ZOO_REVISION": "v2",
    "ALIGN_ZOO_THREADS": "3",
    "ALIGN_ZOO_RUNTIME": "onnx",
    "ALIGN_ZOO_DTYPE": "float32",
}


def test_each_variable_is_read():
    settings = ServingSettings.from_env(VARIABLES)
    assert settings == ServingSettings("somebody/align", "v2", 3, "onnx", "float32")


@pytest.mark.parametrize("env", [{}, dict.fromkeys(VARIABLES, "")], ids=["absent", "empty"])
def test_defaults_serve_real_weights_on_fastest_runtime(env):
    settings = ServingSettings.from_env(env)
    assert settings == ServingSettings("kakaobrain/align-base", None, None, "auto", "auto")


@pytest.mark.parametrize("threads", ["0", "-1", "2.5", " 2", "two", "²"])
def test_threads_that_are_no_number_are_named(threads):
    told = f"ALIGN_ZOO_THREADS is {threads!r}, not a whole number above 0"
    with pytest.raises(AlignZooError, match=re.escape(told)):
        ServingSettings.from_env({"ALIGN_ZOO_THREADS": threads})


def config(**parameters):
    """What Triton gives to a model of its config.pbtxt."""
    values = {name: {"string_value": value} for name, value in parameters.items()}
    return json.dumps({"name": "align_image", "parameters": values})


def test_image_limits_come_from_the_config():
    limits = image_limits(config(max_bytes="7", max_pixels="9", other="x"))
    assert limits == {"max_bytes": 7, "max_pixels": 9}


@pytest.mark.parametrize("none", ["{}", config()])
def test_config_without_limits_uses_the_defaults(none):
    assert image_limits(none) == {}


@pytest.mark.parametrize("value", ["20 MB", "2e7", "0", "-1", ""])
@pytest.mark.parametrize("name", ["max_bytes", "max_pixels"])
def test_a_limit_that_is_no_number_is_named(name, value):
    told = f"the parameter {name} in config.pbtxt is {value!r}, not a whole number above 0"
    with pytest.raises(AlignZooError, match=re.escape(told)):
        image_limits(config(**{name: value}))


@pytest.mark.served
def test_both_models_follow_and_log_the_settings(tmp_path, monkeypatch, images):
    monkeypatch.setenv("ALIGN_ZOO_THREADS", "3")
    repository = Path(shutil.copytree(REPOSITORY, tmp_path / "repository"))
    for model in ("align_image", "align_text"):
        with (repository / model / "1" / "model.py").open("a") as file:
            file.write(TELLING_THREADS)
    options = ServeOptions(
        model="align_tiny", runtime="torch", dtype="bfloat16", repository=repository
    ).on_free_ports()
    log = tmp_path / "log"
    with (
        run_server(options, log=log) as server,
        grpc.InferenceServerClient(server.grpc_url) as triton,
    ):
        for model, item in (("align_image", images[0]), ("align_text", b"cat")):
            answer = ask(triton, model, [item])
            (fingerprint,), (runtime,) = (
                answer.as_numpy(name)[0] for name in ("CHECKPOINT", "RUNTIME")
            )
            assert runtime == b"torch (bfloat16 on cpu, threads: 3): asked for"
            told = f"{model}: align_tiny ({fingerprint.decode()}) in {runtime.decode()}"
            wait_until(lambda told=told: told in log.read_text())
            assert (repository / f"{model}.threads").read_text() == "3"
