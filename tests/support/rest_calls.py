"""Images as JSON has them, and what the answers of the HTTP for users' tools have."""

import base64
from pathlib import Path

import numpy as np

from align_zoo.checkpoint.folder import EMBEDDED

SAMPLES = EMBEDDED["align_tiny"].parent / "samples"
TEXTS = ["a red star", "the digit three", "blue"]


def sample(name):
    return Path(SAMPLES / f"{name}.png").read_bytes()


def encoded(data):
    return base64.b64encode(data).decode()


def data_uri(data, kind="image/png"):
    return f"data:{kind};base64,{encoded(data)}"


def output(answer, name, dtype):
    """One output of a ModelInferResponse, in one row."""
    names = [each.name for each in answer.outputs]
    return np.frombuffer(answer.raw_output_contents[names.index(name)], dtype)


def rows(answer):
    """The embeddings of an answer in OpenAI's shape, as numbers or as base64."""
    assert answer["object"] == "list"
    assert [each["index"] for each in answer["data"]] == list(range(len(answer["data"])))
    return np.stack([vector(each["embedding"]) for each in answer["data"]])


def vector(embedding):
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding), "<f4")
    return np.array(embedding)
