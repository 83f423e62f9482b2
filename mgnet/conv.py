"""Convolutions in 1D, 2D and 3D, trained or fixed, and the layers that go with them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["FixedConv", "batch_norm", "conv", "convolve", "max_pool"]

_CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_BATCH_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_MAX_POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_STRAIGHT = (F.conv1d, F.conv2d, F.conv3d)
_TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)


def conv(
    dim: int, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1
) -> nn.Module:
    """A trained convolution without bias: padding keeps the grid, stride 2 halves it."""
    return _CONV[dim](
        in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False
    )


def batch_norm(dim: int, channels: int) -> nn.Module:
    """Batch normalisation with a trained scale and shift for each channel."""
    return _BATCH_NORM[dim](channels)


def max_pool(dim: int, size: int, stride: int | None = None, padding: int = 0) -> nn.Module:
    """The largest entry of each window; by default windows do not overlap."""
    return _MAX_POOL[dim](size, stride, padding)


class FixedConv(nn.Module):
    """A one-channel convolution with a given stencil, which is not trained.

    Parameters
    ----------
    stencil : Tensor
        Weights, one axis for each dimension of the grid, odd lengths; copied.
    stride, padding : int or tuple of int
    transpose : bool
        The transposed convolution: a prolongation with the stencil of a restriction.

    Notes
    -----
    `requires_grad_()` on the module turns the stencil into the start of a trained one.
    """

    def __init__(
        self,
        stencil: Tensor,
        *,
        stride: int | tuple[int, ...] = 1,
        padding: int = 0,
        transpose: bool = False,
    ):
        super().__init__()
        self.weight = nn.Parameter(stencil[None, None].clone(), requires_grad=False)
        self.stride, self.padding, self.transpose = stride, padding, transpose

    def forward(self, x: Tensor) -> Tensor:
        """Apply the stencil to ``(batch, 1, *grid)``."""
        return convolve(x, self.weight, self.stride, self.padding, transpose=self.transpose)


def convolve(
    x: Tensor,
    weight: Tensor,
    stride: int | tuple[int, ...] = 1,
    padding: int = 0,
    *,
    transpose: bool = False,
) -> Tensor:
    """Convolution in 1D, 2D or 3D, in the full precision of its dtype.

    On a GPU cuDNN rounds float32 inputs to the 10 bits of TF32 unless told otherwise. Networks can
    live with that; the residual of an equation, a small difference of large numbers, cannot.
    """
    apply: Any = (_TRANSPOSED if transpose else _STRAIGHT)[x.ndim - 3]
    if x.is_cuda and x.dtype == torch.float32:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return apply(x, weight, None, stride, padding)
    return apply(x, weight, None, stride, padding)
