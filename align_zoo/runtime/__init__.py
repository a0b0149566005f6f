"""How the towers run: exported, in ONNX Runtime, or in PyTorch."""

import os

# From 1.29 on, ONNX Runtime's builds for Linux send events of each session to Microsoft unless
# this is set when it is imported. What a checkpoint looks like is its owner's business.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
