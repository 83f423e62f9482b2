"""The whitened stem: patches become uncorrelated, of variance one, and nothing of it is trained."""

import pytest
import torch

from mgnet import MgNet, load, stem
from mgnet.data import load as load_data
from mgnet.recipe import Recipe
from mgnet.stem import Whitening
from mgnet.training import Trainer


def correlated(*shape):
    """Noise that is smooth along the grid."""
    torch.manual_seed(0)
    x = torch.randn(*shape)
    for axis in range(2, x.ndim):
        x = x + 0.7 * x.roll(1, axis)
    return x


@pytest.mark.parametrize("shape", [(4000, 2, 16), (1500, 2, 12, 12), (400, 1, 8, 8, 8)])
def test_patches_become_white(shape):
    x, dim = correlated(*shape), len(shape) - 2
    white = Whitening(dim, shape[1])
    assert white.channels == 2 * shape[1] * 2**dim
    white.fit(x, eps=0.0)
    y = white(x)
    half = white.channels // 2
    rows = y.transpose(0, 1).flatten(1)
    torch.testing.assert_close(rows[half:], -rows[:half])
    covariance = torch.cov(rows[:half].double())
    torch.testing.assert_close(covariance, torch.eye(half).double(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("chunk", [1, 700, 2**24])
def test_large_pictures_are_taken_in_chunks(monkeypatch, chunk):
    x = correlated(30, 2, 12, 12) + 5
    patches = x.double().unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 8)
    variances, vectors = torch.linalg.eigh(torch.cov(patches.T))
    kernels = (vectors / (variances + 5e-4).sqrt()).T.flip(0).float()
    monkeypatch.setattr(stem, "CHUNK", chunk)
    white, seen = Whitening(2, 2), []
    white.fit(x - 1, lambda part: seen.append(part.numel()) or part + 1)
    assert max(seen) <= max(chunk, x[0].numel())
    torch.testing.assert_close(white.weight[:8].flatten(1), kernels)
    if chunk == 2**24:  # small pictures, to the last bit
        white.fit(x)
        assert torch.equal(white.weight[:8].flatten(1), kernels)


def test_it_halves_the_grid():
    assert Whitening(2, 3)(torch.randn(5, 3, 32, 32)).shape == (5, 24, 31, 31)
    model = MgNet(3, 7, channels=(8, 16), steps=(1, 1), stem="whitened")
    assert [tuple(u.shape[1:]) for u in model.features(torch.randn(2, 3, 32, 32))] == [
        (8, 15, 15), (16, 8, 8),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="at least 6 pixels a side"):
        model(torch.randn(2, 3, 5, 5))
    assert model(torch.randn(2, 3, 6, 6)).shape == (2, 7)


def test_the_first_kernels_have_the_largest_variance():
    white = Whitening(2, 1)
    white.fit(correlated(500, 1, 12, 12))
    norms = white.weight[:4].flatten(1).norm(dim=1)
    assert bool((norms.diff() > 0).all())  # a small variance is made one by a large kernel


def test_it_is_found_from_the_training_pictures_and_saved(tmp_path):
    digits = load_data("digits")
    model = MgNet(1, 10, channels=(8, 16), steps=(1, 1), stem="whitened")
    recipe = Recipe(epochs=1, batch_size=128, shift=1, precision="float32", layout="contiguous")
    run = Trainer(model, digits, recipe, folder=tmp_path, progress=False)
    by_hand = Whitening(2, 1)
    by_hand.fit(run.model.normalise(digits.train_images))
    assert torch.equal(model.stem[0].weight, by_hand.weight)
    run.fit()
    assert torch.equal(model.stem[0].weight, by_hand.weight)
    again = load(tmp_path)
    assert torch.equal(again(digits.test_images), run.model(digits.test_images))
    # A classifier that is trained further keeps its kernels.
    other = Trainer(again, digits, recipe, progress=False)
    assert torch.equal(other.model.network.stem[0].weight, by_hand.weight)


@pytest.mark.parametrize("shape", [(5, 3, 8), (5, 1, 8, 8), (5, 3, 1, 8)])
def test_examples_of_another_kind_are_refused(shape):
    with pytest.raises(ValueError, match="pictures must have shape|pictures of at least 2 pixels"):
        Whitening(2, 3).fit(torch.zeros(shape, dtype=torch.uint8))
