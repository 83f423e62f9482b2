"""Multistep and Chebyshev iterations: the plain one at the start, exact in both forms, and fast."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from mgcore.cycle import slash_cycle
from mgnet import FeatureLevel, MgNet, ResidualLevel
from mgnet.conv import FixedConv
from mgnet.iteration import Chebyshev, Iteration, Multistep

RULES = ["multistep", "chebyshev"]
FORMS = ["feature", "residual"]


def network(iteration, form="residual", seed=0, **options):
    torch.manual_seed(seed)
    options = {"channels": (4, 6), "steps": (3, 4), "num_classes": 5} | options
    return MgNet(iteration=iteration, form=form, **options).double()


def shake(model):
    """Give the trained weights of the rules some other values."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if ".iteration." in name:
                p.add_(0.3 * torch.randn(p.shape, dtype=p.dtype))


@pytest.mark.parametrize("share_A", [True, False])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("iteration", RULES)
def test_at_the_start_it_is_the_plain_iteration(iteration, form, share_A):
    f = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    plain = network("single", form, share_A=share_A)
    model = network(iteration, form, share_A=share_A)
    torch.testing.assert_close(model(f), plain(f), rtol=0, atol=0)
    shake(model)
    assert (model(f) - plain(f)).abs().max() > 1e-3


@pytest.mark.parametrize("Pi", [True, False])
@pytest.mark.parametrize("iteration", RULES)
def test_the_forms_agree_when_A_is_shared(iteration, Pi):
    residual = network(iteration, "residual", Pi=Pi)
    shake(residual)
    feature = network(iteration, "feature", Pi=Pi)
    feature.load_state_dict(residual.state_dict())
    f = torch.randn(6, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(residual(f), feature(f), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("iteration", RULES)
def test_every_weight_is_trained(iteration, form):
    model = network(iteration, form)
    model(torch.randn(4, 3, 8, 8, dtype=torch.float64)).square().sum().backward()
    weights = {n: p for n, p in model.named_parameters() if ".iteration." in n}
    sizes = [p.numel() for p in weights.values()]
    assert sizes == {"multistep": [3, 6], "chebyshev": [2, 3]}[iteration]
    assert all(p.ndim == 1 and (p.grad != 0).all() for p in weights.values())
    # A level of one iteration has nothing to weigh.
    assert all(level.iteration is None for level in network(iteration, steps=(1, 1)).levels)


@pytest.mark.parametrize("kind", [FeatureLevel, ResidualLevel])
def test_multistep_by_hand(kind):
    A, B = FixedConv(torch.tensor([0.5]).double()), FixedConv(torch.tensor([0.75]).double())
    rule = Multistep(3).double()
    w10, w20, w21 = 0.25, -0.5, 0.125
    rule.w.data = torch.tensor([w10, w20, w21]).double()
    level = kind(A, B, iteration=rule)
    g, u0 = torch.randn(2, 1, 1, 5, dtype=torch.float64)

    def e(u):
        return 0.75 * (g - 0.5 * u)

    u1 = u0 + e(u0)
    u2 = w10 * u0 + (1 - w10) * u1 + e(u1)
    u3 = w20 * u0 + w21 * u1 + (1 - w20 - w21) * u2 + e(u2)
    state = level.smooth(level.start(g, u0), 3)
    torch.testing.assert_close(level.solution(state), u3)
    torch.testing.assert_close(level.residual(state), g - 0.5 * u3)
    # A fourth iteration begins the rule anew.
    state = level.smooth(level.start(g, u0), 4)
    torch.testing.assert_close(level.solution(state), u3 + e(u3))


def chebyshev_polynomial(k, x):
    """T_k by its definition."""
    return np.where(abs(x) <= 1, np.cos(k * np.arccos(np.clip(x, -1, 1))),
                    np.sign(x) ** k * np.cosh(k * np.arccosh(np.maximum(abs(x), 1))))  # fmt: skip


@pytest.mark.parametrize("kind", [FeatureLevel, ResidualLevel])
@pytest.mark.parametrize("iterations", [1, 2, 7, 20])
def test_the_classical_omegas_reduce_the_error_by_the_chebyshev_polynomial(kind, iterations):
    """Jacobi on the five-point stencil, accelerated: eigenvectors are sines, as is well known."""
    n = 15  # unknowns along an axis, h = 1/16
    cross = torch.tensor([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]], dtype=torch.float64)
    rule = Chebyshev(iterations).double()
    rho = math.cos(math.pi / (n + 1))
    omega = [1 / (1 - rho**2 / 2)]
    while len(omega) < iterations - 1:
        omega.append(1 / (1 - rho**2 * omega[-1] / 4))
    rule.omega.data = torch.tensor(omega[: iterations - 1], dtype=torch.float64)
    level = kind(
        FixedConv(cross, padding=1),
        FixedConv(torch.full((1, 1), 0.25, dtype=torch.float64)),
        iteration=rule,
    )
    error = np.random.default_rng(0).standard_normal((n, n))
    u = torch.from_numpy(error)[None, None]
    state = level.smooth(level.start(torch.zeros_like(u), u), iterations)

    k = np.arange(1, n + 1)
    sines = np.sin(np.pi * np.outer(k, k) / (n + 1)) * math.sqrt(2 / (n + 1))  # orthogonal
    jacobi = np.add.outer(np.cos(np.pi * k / (n + 1)), np.cos(np.pi * k / (n + 1))) / 2
    reduced = chebyshev_polynomial(iterations, jacobi / rho)
    reduced = reduced / chebyshev_polynomial(iterations, np.array(1 / rho))
    expected = sines @ (reduced * (sines @ error @ sines)) @ sines
    assert abs(level.solution(state)[0, 0].detach().numpy() - expected).max() <= 1e-12
    # Plain Jacobi reduces the slowest mode by rho alone in each iteration.
    if iterations >= 7:
        assert abs(reduced).max() < 0.6 * rho**iterations


@pytest.mark.parametrize("iteration", RULES)
def test_one_graph_under_compile(iteration):
    model = MgNet(channels=4, steps=(3, 2), iteration=iteration).eval()
    f = torch.randn(2, 3, 8, 8)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(f), model(f))
    assert model.cycle == slash_cycle((3, 2))
    assert f"{iteration.capitalize()}(iterations=3)" in repr(model)


def test_unknown_iterations():
    with pytest.raises(ValueError, match="unknown iteration 'newton'; known are 'single', 'multi"):
        MgNet(iteration="newton")


def test_a_rule_of_ones_own():
    class Average(Iteration):
        """Half of the last two iterates, and e."""

        def _later(self, i):
            return [0.5, 0.5], 1.0

    g = torch.ones(1, 1, 3)
    level = FeatureLevel(nn.Identity(), nn.Identity(), iteration=Iteration(2))
    torch.testing.assert_close(level.smooth(level.start(g), 2).u, g)
    level.iteration = Average(2)
    torch.testing.assert_close(level.smooth(level.start(g), 2).u, 0.5 * g)
