"""How the towers run: exported, in ONNX Runtime, or in PyTorch."""
