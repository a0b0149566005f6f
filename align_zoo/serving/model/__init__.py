"""What a served model does inside Triton's Python backend."""
