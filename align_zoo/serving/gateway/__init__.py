"""The gateway between callers and tritonserver: access, queues, health and metrics."""

import os

# gRPC reads the variable when it is imported. By default gRPC writes a line for each failed TLS
# handshake, and at ERROR for each call with too many headers, and its thread waits for a reader.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
