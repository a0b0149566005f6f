"""A contender's side of the protocol: a request per line on stdin, an answer per line on stdout.

Arrays go through files. This module needs numpy only, so that any peer's environment can run it.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import numpy as np


class Contender(Protocol):
    """The interface of a contender."""

    def about(self) -> dict[str, Any]:
        """Return versions and settings."""

    def pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Compute unit rows [N, D] of preprocessed images [N, 3, H, W]."""

    def texts(self, texts: list[str]) -> np.ndarray:
        """Compute unit rows [N, D] of texts."""

    def images(self, paths: list[Path]) -> np.ndarray:
        """Compute unit rows [N, D] of encoded files."""

    def classify(self, image: Path, labels: list[str]) -> dict[str, float]:
        """Compute a probability for each label."""


def serve(load: Callable[[Path], Contender]) -> None:
    """Load the folder named on the command line, and answer until stdin ends."""
    # A library's prints belong in the log, not between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    folder, files = Path(sys.argv[1]), Path(sys.argv[2])
    contender: Contender | None = None
    for number in count():
        try:
            if contender is None:
                contender = load(folder)
                answer: dict[str, Any] = {"about": contender.about()}
            else:
                line = sys.stdin.readline()
                if not line:
                    return
                answer = _answer(contender, json.loads(line), files / f"{number}-rows.npy")
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


def _answer(contender: Contender, request: dict[str, Any], rows: Path) -> dict[str, Any]:
    do: Callable[..., Any] = getattr(contender, request["do"])
    arguments: list[Any]
    if request["do"] == "pixels":
        arguments = [np.load(request["pixels"])]
    elif request["do"] == "texts":
        arguments = [request["texts"]]
    elif request["do"] == "images":
        arguments = [[Path(path) for path in request["paths"]]]
    else:
        arguments = [Path(request["image"]), request["labels"]]
    begin = time.perf_counter()
    for _ in range(request["repeats"]):
        result = do(*arguments)
    seconds = (time.perf_counter() - begin) / request["repeats"]
    if isinstance(result, np.ndarray):
        np.save(rows, result)
        return {"seconds": seconds, "rows": str(rows)}
    return {"seconds": seconds, "scores": result}
