"""Between callers and tritonserver: who may come in, how many at once, and the truth about it."""

import os

# gRPC reads it when it is imported. By itself it writes a line for each failed TLS handshake, at
# ERROR for each call with too many headers, and a thread of it waits until somebody reads them.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
