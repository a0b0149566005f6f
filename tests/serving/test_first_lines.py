"""What somebody sees who starts a service: what happens, where it listens, and nothing else."""

import json

import pytest
from serving import begin, serving
from waiting import wait_until

from align_zoo.serving.triton.output import needless

HEADER = "I1130 01:53:23.277191 30093 server.cc:604] "
TABLE = [HEADER, "+---+", "| a |", "+---+", ""]
NO_GPU = [
    'W1130 01:52:47.035509 1 pinned_memory_manager.cc:273] "Unable to allocate pinned system '
    'memory, pinned memory pool will not be available: CUDA driver version is insufficient"',
    'I1130 01:52:47.037193 1 cuda_memory_manager.cc:117] "CUDA memory pool disabled"',
    'E1130 01:52:47.037289 1 server.cc:241] "CudaDriverHelper has not been initialized."',
    "Error: Failed to initialize NVML",
    'W1130 01:53:23.278044 1 metrics.cc:798] "DCGM unable to start: DCGM initialization error"',
]
TELLING = [
    'I1130 01:52:47.043289 1 model_lifecycle.cc:472] "loading: align_image:1"',
    "E1130 01:52:47.043289 1 model_lifecycle.cc:621] \"failed to load 'align_text' version 1\"",
    "| a table of a model's own |",
    "",
    "exporting align_tiny",
]


def passed_on(lines, *, gpu):
    is_needless = needless(gpu=gpu)
    return [line for line in lines if not is_needless(line)]


@pytest.mark.parametrize("gpu", [False, True])
def test_lines_of_this_start_are_passed_on(gpu):
    assert passed_on([*TELLING, *TABLE, *TELLING], gpu=gpu) == TELLING * 2


def test_cuda_warnings_are_shown_with_a_gpu():
    assert passed_on(NO_GPU, gpu=True) == NO_GPU
    assert passed_on(NO_GPU, gpu=False) == []


@pytest.mark.served
def test_service_logs_its_start_and_addresses(tmp_path):
    with serving(tmp_path) as service:
        wait_until(lambda: "ready on" in service.log.read_text())
        # The test's own questions while the service started are logged later, in one line.
        lines = service.log.read_text().splitlines()
        first, *between, last = (line for line in lines if '"event": "request"' not in line)
        ports = {"gRPC": service.url, "HTTP": service.http, "metrics": service.metrics}
    assert first == "align-zoo: loading align_tiny"
    assert last.startswith("align-zoo: ready on ")
    for name, url in ports.items():
        place = url.removeprefix("http://").removesuffix("/metrics")
        assert f"{place} ({name})" in last
    assert passed_on(between, gpu=False) == between
    started = json.loads(next(line for line in between if '"event": "started"' in line))
    assert started["triton_lines_left_out"] > 20


@pytest.mark.served
def test_verbose_passes_every_line_on(tmp_path):
    with serving(tmp_path, "--verbose") as service:
        wait_until(lambda: "ready on" in service.log.read_text())
        text = service.log.read_text()
    assert "| server_version " in text
    assert '"triton_lines_left_out": 0' in text


@pytest.mark.served
def test_failed_start_is_not_logged_as_ready(tmp_path):
    with serving(tmp_path, model=tmp_path / "nowhere", start=False) as service:
        begin(service)
        assert service.process.wait(60) == 1
        *_, last = service.log.read_text().splitlines()
    assert "ready on" not in service.log.read_text()
    assert last.startswith("align-zoo: ")
