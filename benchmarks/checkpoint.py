"""Makes a checkpoint of align-base's true shape, with random weights."""

from __future__ import annotations

import shutil
from pathlib import Path

from filelock import FileLock

from benchmarks.inputs import WORDS
from tests.support.checkpoints import lively_model, save_checkpoint

__all__ = ["BASE", "base_checkpoint"]

BASE = Path("build/benchmarks/align-base")


def base_checkpoint(folder: Path = BASE) -> Path:
    """Return the folder, and make it the first time; speed does not depend on the weights."""
    if not (folder / "model.safetensors").is_file():
        from transformers import AlignConfig

        print(f"making a checkpoint of base size in {folder} ...", flush=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if (folder / "model.safetensors").is_file():  # made by another process meanwhile
                return folder
            draft = folder.with_name(f"{folder.name}.draft")
            shutil.rmtree(draft, ignore_errors=True)
            save_checkpoint(lively_model(AlignConfig(), size=289), draft, words=WORDS)
            draft.rename(folder)
    return folder
