"""Muon turns kernels of fixed length."""

import pytest
import torch
from torch import nn

from mgnet import MgNet
from mgnet.optim import Muon, make_optimizers, orthogonalise
from mgnet.recipe import Recipe


@pytest.mark.parametrize("shape", [(8, 72), (64, 16), (5, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_orthogonalise_evens_out_singular_values(shape, dtype):
    torch.manual_seed(0)
    G = torch.randn(shape, dtype=dtype)
    X = orthogonalise(G, steps=8)
    assert X.dtype == dtype
    values = torch.linalg.svdvals(X.double())
    assert values.min() > 0.6
    assert values.max() < 1.3
    # The singular vectors stay: X^T G is symmetric and positive.
    S = X.double().mT @ G.double()
    assert (S - S.mT).abs().max() < 0.1 * S.abs().max()


def test_three_steps_lift_all_but_the_smallest_singular_values():
    # What Muon uses: values above a fiftieth of the Frobenius norm end between .6 and 1.3.
    values = torch.tensor([0.02, 0.05, 0.1, 0.3, 0.9], dtype=torch.float64)
    values = values / values.norm()
    U, V = (torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))[0] for _ in range(2))
    lifted = torch.linalg.svdvals(orthogonalise(U @ values.diag() @ V.mT))
    assert lifted.min() > 0.6
    assert lifted.max() < 1.3


def test_one_step_by_hand():
    torch.manual_seed(0)
    W = torch.nn.Parameter(torch.randn(4, 3, 3, 3, dtype=torch.float64))
    before = W.detach().clone()
    W.grad = torch.randn_like(W)
    Muon([W], lr=0.1, momentum=0.6).step()
    step = W.grad + 0.6 * W.grad
    expected = before * (4**0.5 / before.norm())
    expected -= 0.1 * orthogonalise(step.reshape(4, 27)).reshape_as(W)
    torch.testing.assert_close(W.detach(), expected)


def test_it_finds_the_direction_of_a_matrix():
    torch.manual_seed(0)
    target = torch.linalg.qr(torch.randn(6, 6))[0]
    W = torch.nn.Parameter(torch.randn(6, 6))
    optimizer = Muon([W])
    for k in range(300):
        optimizer.param_groups[0]["lr"] = 0.2 * (1 - k / 300)
        optimizer.zero_grad()
        (W - target).square().sum().backward()
        optimizer.step()
    assert (W.detach() - target).norm() < 0.1 * target.norm()


def test_a_closure_is_called_with_gradients_on():
    W = torch.nn.Parameter(torch.eye(3))
    optimizer = Muon([W])

    def closure():
        optimizer.zero_grad()
        loss = W.sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Muon([torch.nn.Parameter(torch.ones(3))]), "matrices and kernels"),
        (lambda: Muon([torch.nn.Parameter(torch.ones(3, 3))], lr=-1), "lr must be"),
        (lambda: Muon([torch.nn.Parameter(torch.ones(3, 3))], momentum=1), "momentum < 1"),
    ],
)
def test_bad_hyperparameters(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("decay", ["kernels", "all"])
def test_optimizers_have_what_the_recipe_says(decay):
    recipe = Recipe(
        lr=0.03, momentum=0.7, sgd_lr=0.2, sgd_momentum=0.8, nesterov=False, weight_decay=1e-3,
        decay=decay,
    )  # fmt: skip
    model = MgNet(1, 10, channels=(4, 8), steps=(2, 1))
    muon, sgd = make_optimizers(model, recipe)
    assert isinstance(muon, Muon)
    (kernels,) = muon.param_groups
    assert (kernels["lr"], kernels["momentum"]) == (0.03, 0.7)
    matrices, rest = sgd.param_groups
    for group in (matrices, rest):
        assert (group["lr"], group["momentum"], group["nesterov"]) == (0.2, 0.8, False)
    assert matrices["weight_decay"] == 1e-3
    assert rest["weight_decay"] == (1e-3 if decay == "all" else 0)
    ids = [id(p) for group in (kernels, matrices, rest) for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    assert {id(p) for p in rest["params"]} == {
        id(p) for p in model.parameters() if p.requires_grad and p.ndim == 1
    }


def test_two_steps_of_sgd_by_hand():
    recipe = Recipe(optimizer="sgd", sgd_lr=0.1, sgd_momentum=0.5, weight_decay=0.2)
    model = nn.Linear(1, 1).double()
    W = model.weight
    w, b, speeds = W.item(), model.bias.item(), [0.0, 0.0]
    (sgd,) = make_optimizers(model, recipe)
    for gradient in (1.0, -3.0):
        W.grad, model.bias.grad = (
            torch.full_like(W, gradient),
            torch.full_like(model.bias, gradient),
        )
        sgd.step()
        pulls = [gradient + 0.2 * w, gradient]  # biases do not decay
        speeds = [0.5 * v + pull for v, pull in zip(speeds, pulls, strict=True)]
        w, b = (x - 0.1 * (pull + 0.5 * v)  # Nesterov's
                for x, pull, v in zip((w, b), pulls, speeds, strict=True))  # fmt: skip
    assert W.item() == pytest.approx(w)
    assert model.bias.item() == pytest.approx(b)
