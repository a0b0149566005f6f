"""The child process tritonserver: found, started, read and ended."""
