"""MgNet: the multigrid cycle with trainable convolutions, walked by mgcore's driver."""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":  # an installed one that lacks something says itself what
        raise
    raise ImportError("mgnet needs PyTorch: pip install 'mgcore[torch]'", name="torch") from None

from mgnet.classifier import Classifier
from mgnet.kernel import SymmetricKernel, train_smoother
from mgnet.level import ConvLevel, FeatureLevel, ResidualLevel
from mgnet.loading import load
from mgnet.mgnet import MgNet
from mgnet.poisson import poisson_levels, solve_poisson
from mgnet.pretrained import load_pretrained
from mgnet.zoo import build

__all__ = [
    "Classifier",
    "ConvLevel",
    "FeatureLevel",
    "MgNet",
    "ResidualLevel",
    "SymmetricKernel",
    "build",
    "load",
    "load_pretrained",
    "poisson_levels",
    "solve_poisson",
    "train_smoother",
]
