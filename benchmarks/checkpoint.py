"""A checkpoint of align-base's true shape, with random weights that are alive."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.inputs import WORDS
from tests.checkpoints import lively_model, save_checkpoint

__all__ = ["BASE", "base_checkpoint"]

BASE = Path("build/benchmarks/align-base")


def base_checkpoint(folder: Path = BASE) -> Path:
    """The folder, made the first time. Speed does not depend on the weights' values."""
    if not (folder / "model.safetensors").is_file():
        from transformers import AlignConfig

        print(f"making a checkpoint of base size in {folder} ...", flush=True)
        draft = folder.with_name(f"{folder.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        save_checkpoint(lively_model(AlignConfig(), size=289), draft, words=WORDS)
        draft.rename(folder)
    return folder
