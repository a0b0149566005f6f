"""Ask a Triton server that serves ALIGN; see :class:`AlignClient`."""

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

__all__ = [
    "AlignClient",
    "AlignClientError",
    "DeadlineExceeded",
    "ImageLike",
    "InvalidInput",
    "ModelUnavailable",
    "Overloaded",
    "Prediction",
    "ServerUnavailable",
    "Unauthorized",
]

__version__ = "0.1.0"
