"""MgNet: the multigrid cycle with trainable convolutions, walked by mgcore's driver."""

from mgnet.classifier import MgNet
from mgnet.kernel import SymmetricKernel, train_smoother
from mgnet.level import ConvLevel
from mgnet.poisson import poisson_levels

__all__ = ["ConvLevel", "MgNet", "SymmetricKernel", "poisson_levels", "train_smoother"]
