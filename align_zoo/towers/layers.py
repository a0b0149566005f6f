"""Layers that timm does not have: ALIGN's stride-2 convolution, and a classifier by cosine."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["CosineLinear", "FixedPadConv2d"]


class FixedPadConv2d(nn.Conv2d):
    """Stride-2 convolution padded by ``k // 2 - 1`` left and top, ``k // 2`` right and bottom.

    This is Keras's ``correct_pad`` for even inputs, which ALIGN applies at EVERY input size
    (``AlignVisionDepthwiseLayer`` and ``AlignVisionEmbeddings`` in transformers). timm's
    ``pad_type="same"`` depends on the input size and agrees at even sizes only: at ALIGN's
    289 timm's padding is silently wrong.

    Input ``[N, C, H, W]``, output ``[N, O, H // 2, W // 2]``. ``padding`` stays 0 on the
    module, the weights are those of an ordinary ``nn.Conv2d``.

    Raises:
        ValueError: the kernel is not odd and square, or the stride is not 2.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        groups: int = 1,
        bias: bool = False,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if kernel_size % 2 == 0:
            raise ValueError(f"FixedPadConv2d needs an odd kernel size, not {kernel_size}")
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=2,
            groups=groups,
            bias=bias,
            device=device,
            dtype=dtype,
        )
        self.reach = kernel_size // 2
        # Two exact formulations: a zero row and column in front of the kernel, or around the
        # activation. Copying the smaller tensor is cheaper: measured on a CPU, padding the kernel
        # is 1.1x to 5x faster for the depthwise convolutions, and 1.3x slower for the stem with
        # its 3 channels.
        self.pad_kernel = groups > 1

    @classmethod
    def like(cls, conv: nn.Conv2d) -> FixedPadConv2d:
        """Make a ``FixedPadConv2d`` of ``conv``'s shape that shares its parameters."""
        (kernel, other), (stride, _) = conv.kernel_size, conv.stride
        if kernel != other or stride != 2:
            raise ValueError(f"no fixed padding for kernel {conv.kernel_size}, stride {stride}")
        new = cls(
            conv.in_channels,
            conv.out_channels,
            kernel,
            groups=conv.groups,
            bias=conv.bias is not None,
            device=torch.device("meta"),
        )
        new.weight, new.bias = conv.weight, conv.bias
        return new

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve ``x`` [N, C, H, W] to [N, O, H // 2, W // 2]."""
        pad_kernel = self.pad_kernel
        if not torch.jit.is_scripting():  # TorchScript does not know the next line
            # Runtimes such as ONNX's merge a padding of the activation into the convolution, and
            # torch's older ONNX exporter, which timm's onnx_export uses, knows fixed kernels alone.
            exporting = torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export()
            pad_kernel = pad_kernel and not exporting
        if pad_kernel:
            weight = F.pad(self.weight, (1, 0, 1, 0))
            return F.conv2d(x, weight, self.bias, self.stride, self.reach, 1, self.groups)
        before, after = self.reach - 1, self.reach
        x = F.pad(x, (before, after, before, after))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


class CosineLinear(nn.Linear):
    """A classifier [N, D] -> [N, C] by the direction of its input alone, without a bias.

    With the weight's rows ``unit label embedding / temperature`` the outputs are ALIGN's zero-shot
    logits.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias=False, device=device, dtype=dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute logits [N, C] of embeddings [N, D] of any length."""
        return F.linear(F.normalize(x, dim=-1), self.weight)
