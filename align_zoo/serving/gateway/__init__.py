"""Between callers and tritonserver: who may come in, how many at once, and the truth about it."""

import os

# gRPC reads it when it is imported. By itself it writes a line for each failed TLS handshake.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
