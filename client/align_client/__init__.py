"""A client of a Triton server that serves ALIGN; start with :class:`AlignClient`."""

from align_client.async_client import AsyncAlignClient
from align_client.client import AlignClient
from align_client.errors import (
    AlignClientError,
    DeadlineExceeded,
    InvalidInput,
    ModelUnavailable,
    Overloaded,
    ServerUnavailable,
    Unauthorized,
)
from align_client.images import ImageLike
from align_client.scores import Prediction
from align_client.security import Tls

__all__ = [
    "AlignClient",
    "AlignClientError",
    "AsyncAlignClient",
    "DeadlineExceeded",
    "ImageLike",
    "InvalidInput",
    "ModelUnavailable",
    "Overloaded",
    "Prediction",
    "ServerUnavailable",
    "Tls",
    "Unauthorized",
]

__version__: str


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module 'align_client' has no attribute {name!r}")
    from importlib.metadata import version

    return version("align-client")
