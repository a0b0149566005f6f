"""The towers in ONNX Runtime: export, layout for the processor, sessions."""
