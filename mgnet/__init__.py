"""MgNet: the multigrid cycle with trainable convolutions, walked by mgcore's driver."""

from mgnet.classifier import MgNet
from mgnet.level import ConvLevel

__all__ = ["ConvLevel", "MgNet"]
