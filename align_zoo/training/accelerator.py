"""The processes, the device and the precision of a training, by Accelerate.

Accelerate reads environment variables, which ``accelerate launch`` sets from its options and from
the file that ``accelerate config`` wrote. A variable that asks for an unsupported kind of training
is refused by its name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta

from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs

from align_zoo.training.errors import TrainingError

__all__ = ["HONOURED", "NO_MATTER", "REFUSED", "open_accelerator"]

_PRECISIONS = ("no", "bf16", "fp16")

HONOURED = {
    "ACCELERATE_CPU_AFFINITY",
    "ACCELERATE_DEBUG_MODE",
    "ACCELERATE_ENABLE_RICH",
    "ACCELERATE_LOG_LEVEL",
    "ACCELERATE_MIXED_PRECISION",
    "ACCELERATE_TORCH_DEVICE",
    "ACCELERATE_USE_CPU",
}

NO_MATTER = {
    # Read only with a refused variable.
    "ACCELERATE_ALLOW_CP_STANDALONE",
    "ACCELERATE_CONFIG_DS_FIELDS",
    "ACCELERATE_DEEPSPEED_",
    "ACCELERATE_DYNAMO_",
    "ACCELERATE_FP8_",
    "ACCELERATE_GRADIENT_CLIPPING",
    "ACCELERATE_SAGEMAKER_DISTRIBUTED_TYPE",
    # Read on TPUs alone, or by functions of Accelerate that are not called.
    "ACCELERATE_BYPASS_DEVICE_MAP",
    "ACCELERATE_DEBUG_RDV_FILE",
    "ACCELERATE_DOWNCAST_BF16",
    "ACCELERATE_IN_TPU_POD",
    "ACCELERATE_INIT_INCLUDE_BUFFERS",
    "ACCELERATE_NUM_PROCESSES",
}
"""Variables without effect here; a name that ends in ``_`` stands for all names that begin so."""

_OFF = {"", "0", "false", "f", "n", "no", "off"}

REFUSED = {
    "ACCELERATE_DYNAMO_BACKEND": ({"", "no"}, "the model is not trained compiled"),
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": (
        {"", "1"},
        "gradients are not accumulated: pairs are compared within one batch only; use a larger "
        "--batch-size, --grad-checkpointing or more processes",
    ),
    "ACCELERATE_USE_DEEPSPEED": (_OFF, "the model is not trained by DeepSpeed"),
    "ACCELERATE_USE_FSDP": (_OFF, "the model is not split among processes"),
    "ACCELERATE_USE_MEGATRON_LM": (_OFF, "the model is not trained by Megatron-LM"),
    "ACCELERATE_USE_PARALLELISM_CONFIG": (_OFF, "the model is not split among processes"),
    "ACCELERATE_USE_SAGEMAKER": (_OFF, "SageMaker's own ways to distribute are not provided for"),
}
"""For each variable the values that change nothing, in small letters, and the reason to refuse
other values."""


def open_accelerator(mixed_precision: str | None = None, *, cpu: bool = False) -> Accelerator:
    """Return Accelerate's view of the processes.

    Args:
        mixed_precision: "no", "bf16" or "fp16"; ACCELERATE_MIXED_PRECISION by default.
        cpu: do without a GPU.

    Raises:
        TrainingError: a variable asks for an unsupported kind of training, or the device lacks
            the precision; the message names the variable or the option.
    """
    _refuse_settings(os.environ)
    by = f"--mixed-precision {mixed_precision}"
    if mixed_precision is None:
        mixed_precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no").lower()
        by = f"ACCELERATE_MIXED_PRECISION={mixed_precision}"
    if mixed_precision not in _PRECISIONS:
        raise TrainingError(f"{by} is not provided for; there are {', '.join(_PRECISIONS)}")
    # The first process measures alone while the others wait. With many held-out pairs the wait
    # is longer than Accelerate's default limit of ten minutes.
    patience = InitProcessGroupKwargs(timeout=timedelta(hours=2))
    try:
        accelerator = Accelerator(
            mixed_precision=mixed_precision, cpu=cpu, kwargs_handlers=[patience]
        )
    except (ValueError, RuntimeError) as error:
        given = sorted(name for name in os.environ if name.startswith("ACCELERATE_"))
        reason = str(error).partition("\n")[0].rstrip(".")
        raise TrainingError(
            f"Accelerate cannot train so: {reason}. It was given {', '.join([by, *given])}"
        ) from error
    if mixed_precision == "fp16" and accelerator.device.type == "cpu":
        # Accelerate would train in float32 without a warning.
        raise TrainingError(f"{by} needs a GPU; a CPU has bf16")
    return accelerator


def _refuse_settings(environment: Mapping[str, str]) -> None:
    for name, (harmless, why) in REFUSED.items():
        value = environment.get(name, "").strip()
        if value.lower() not in harmless:
            raise TrainingError(
                f"{name} is {value!r}, and {why}. Unset it; `accelerate launch` sets it from its "
                "options and from what `accelerate config` wrote"
            )
