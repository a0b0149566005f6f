"""What each adapter is compared with, and the examples of docs/integrations.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from environments import ROOT

from align_zoo.checkpoint.folder import EMBEDDED

PAGE = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")
SAMPLES = EMBEDDED["align_tiny"].parent / "samples"


@pytest.fixture(scope="session")
def images() -> list[Path]:
    return [SAMPLES / f"{name}.png" for name in ("red-star", "green-ring", "digit-3")]


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return ["a red star", "a green ring", "the digit three and 4"]


@pytest.fixture(scope="session")
def expected(images, texts) -> dict[str, np.ndarray]:
    """The unit vectors of transformers' AlignModel, whose image processor resizes by Pillow."""
    import torch
    from PIL import Image
    from transformers import AlignModel, AutoTokenizer
    from transformers.models.efficientnet.image_processing_pil_efficientnet import (
        EfficientNetImageProcessorPil,
    )

    folder = EMBEDDED["align_tiny"]
    processor = EfficientNetImageProcessorPil.from_pretrained(folder)
    pixels = processor([Image.open(path) for path in images], return_tensors="pt")
    tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        output = AlignModel.from_pretrained(folder).eval()(**pixels, **tokens)
    return {"images": output.image_embeds.numpy(), "texts": output.text_embeds.numpy()}


@pytest.fixture
def example(tmp_path) -> Callable[..., list[str]]:
    """Run the blocks of a section as written, in an empty folder; return the lines they print.

    ``python`` is what runs them. Further arguments replace addresses.
    """
    (tmp_path / "align_zoo").mkdir()
    (tmp_path / "align_zoo" / "assets").symlink_to(ROOT / "align_zoo" / "assets")

    def run(heading: str, python: Path | str = sys.executable, **replaced: str) -> list[str]:
        (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
        env = {**os.environ, "HF_HUB_OFFLINE": "1"}
        env["PATH"] = f"{Path(python).parent}{os.pathsep}{env['PATH']}"
        printed = ""
        for language, code in re.findall(r"```(python|bash)\n(.*?)```", section, re.DOTALL):
            if code.startswith("pip install "):
                continue
            for address, ours in replaced.items():
                code = code.replace(address, ours)
            command = [python, "-c", code] if language == "python" else ["bash", "-euc", code]
            done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            printed += done.stdout
        return printed.splitlines()

    return run
