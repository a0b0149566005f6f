"""The runtimes of the towers: ONNX Runtime with exported graphs, and PyTorch."""

import os

# From 1.29 on, ONNX Runtime's builds for Linux send events of each session to Microsoft, unless
# this variable is set at the import. A checkpoint's shape is its owner's business.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
