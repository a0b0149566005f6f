"""Nothing that we use reports to anybody."""

import os
import subprocess
import sys

CODE = "import align_zoo; align_zoo.load_encoder('align_tiny').embed_texts(['a'])"


def test_onnx_runtime_begins_no_session_of_its_telemetry(tmp_path):
    """Which would leave a file: it does with ``ORT_DISABLE_TELEMETRY=``, and then reports."""
    # Either of these would switch it off.
    quiet = {"CI", "ORT_RUNNING_UNIT_TESTS", "ORT_DISABLE_TELEMETRY"}
    env = {name: value for name, value in os.environ.items() if name not in quiet}
    subprocess.run([sys.executable, "-c", CODE], env={**env, "TMPDIR": str(tmp_path)}, check=True)
    assert not list(tmp_path.iterdir())
