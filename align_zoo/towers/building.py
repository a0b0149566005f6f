"""Builds a tower by timm, and turns timm's errors into errors that name the way out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from timm.models import build_model_with_cfg
from torch import nn

from align_zoo.errors import CheckpointError, InvalidInput

__all__ = ["build_tower", "refuse_hf_names"]

_HINTS = {
    "act_layer": "the activation is hidden_act of config=",
    "norm_layer": "an image tower's norm is BatchNorm, with bn_eps= and bn_momentum=",
    "img_size": "an image tower takes images of any size",
    "block_args": "the blocks are those of config=",
    "stem_size": "the stem's width is that of config=",
    "round_chs_fn": "channels are rounded by depth_divisor of config=",
}


def build_tower(tower: type[nn.Module], variant: str, pretrained: bool, **kwargs: Any) -> nn.Module:
    """Build a tower by timm's ``build_model_with_cfg``, which takes the same arguments.

    Raises:
        InvalidInput: the tower does not take an argument; the message names the argument.
        CheckpointError: the weights cannot be found, or do not fit.
    """
    try:
        model: nn.Module = build_model_with_cfg(tower, variant, pretrained, **kwargs)
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError) as error:
        raise CheckpointError(
            f"the weights of {variant} are not in the hub cache, and the hub cannot be read "
            f"({type(error).__name__}). Connect once and set HF_HUB_OFFLINE=1 afterwards, or name "
            "a file of them: pretrained_cfg_overlay=dict(file='FOLDER/model.safetensors')"
        ) from error
    except FileNotFoundError as error:
        file = (kwargs.get("pretrained_cfg_overlay") or {}).get("file", error.filename)
        raise CheckpointError(
            f"the weights of {variant} cannot be read: {file} does not exist; name another by "
            "pretrained_cfg_overlay=dict(file=...)"
        ) from error
    except TypeError as error:
        argument = re.search(r"keyword argument '(\w+)'", str(error))
        if argument is None:
            raise
        hint = _HINTS.get(argument[1], "its shape is changed by config=, fields of config.json")
        raise InvalidInput(f"{variant} does not take {argument[1]}=: {hint}") from error
    return model


def refuse_hf_names(weights: Mapping[str, Any]) -> None:
    """Refuse Hugging Face's names, which timm's ``checkpoint_path`` does not convert.

    Raises:
        CheckpointError: the weights have Hugging Face's names.
    """
    if any(name.startswith(("vision_model.", "text_model.")) for name in weights):
        raise CheckpointError(
            "the weights have Hugging Face's names, which are converted for pretrained weights "
            "alone: instead of checkpoint_path=FILE give pretrained=True and "
            "pretrained_cfg_overlay=dict(file=FILE)"
        )
