"""Trained smoothers: their symmetry, their factors, and the gradients that find them."""

import numpy as np
import pytest
import torch

import mgnet
from mgcore import run
from mgcore.convergence import asymptotic_factor
from mgcore.cycle import full_multigrid, v_cycle
from mgnet import SymmetricKernel, train_smoother


def factor(weights, n, pre=1, post=1):
    levels = mgnet.poisson_levels((n, n), smoother=SymmetricKernel(weights), coarsest=1)
    with torch.no_grad():
        return asymptotic_factor(levels, v_cycle(len(levels), pre, post))


def test_the_stencil_is_symmetric():
    stencil = SymmetricKernel([3.0, 2.0, 1.0]).stencil()
    torch.testing.assert_close(stencil, torch.tensor([[1.0, 2, 1], [2, 3, 2], [1, 2, 1]]).double())
    cube = SymmetricKernel([4.0, 3.0, 2.0, 1.0]).stencil()
    assert cube.shape == (3, 3, 3)
    assert sorted(cube.flatten().tolist()) == [1.0] * 8 + [2.0] * 12 + [3.0] * 6 + [4.0]
    assert SymmetricKernel([2.0, 1.0]).stencil().tolist() == [1, 2, 1]


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_kernel_of_its_centre_alone_is_jacobi(ndim):
    omega = 0.8
    kernel = SymmetricKernel([omega / (2 * ndim)] + [0.0] * ndim)
    shape = (17,) * ndim
    a = mgnet.poisson_levels(shape, smoother=kernel, coarsest=1)
    from mgcore import Jacobi

    b = mgnet.poisson_levels(shape, smoother=Jacobi(omega), coarsest=1)
    g = np.random.default_rng(0).standard_normal(shape)
    cycle = v_cycle(len(a))
    torch.testing.assert_close(
        a[0].solution(run(a, cycle, a[0].start(g))), b[0].solution(run(b, cycle, b[0].start(g)))
    )


@pytest.mark.parametrize(("n", "published"), [(65, 0.098), (129, 0.100)])
def test_the_best_known_kernel(n, published):
    assert factor([0.3272, 0.0930, 0.0326], n) == pytest.approx(published, rel=0.05)


def test_the_best_known_kernel_for_two_steps():
    assert factor([0.3595, 0.1121, 0.0441], 129, 2, 2) == pytest.approx(0.046, rel=0.05)


def test_the_best_smoothing_factor_of_a_five_point_kernel():
    # kernel (12, 2)/41: mu = 9/41 = .2195 by Fourier analysis over the high frequencies
    theta = np.linspace(-np.pi, np.pi, 257)
    x, y = np.meshgrid(theta, theta)
    A = 4 - 2 * np.cos(x) - 2 * np.cos(y)
    kernel = SymmetricKernel([12 / 41, 2 / 41, 0.0]).stencil().detach().numpy()
    B = sum(kernel[i + 1, j + 1] * np.cos(i * x + j * y) for i in (-1, 0, 1) for j in (-1, 0, 1))
    high = np.maximum(abs(x), abs(y)) >= np.pi / 2 - 1e-12
    assert abs(1 - B * A)[high].max() == pytest.approx(9 / 41, abs=1e-6)
    assert factor([12 / 41, 2 / 41, 0.0], 129) == pytest.approx(0.158, rel=0.05)


def test_gradients_flow_through_the_cycle():
    kernel = SymmetricKernel([0.25, 0.05, 0.01])
    levels = mgnet.poisson_levels((9, 9), smoother=kernel, coarsest=1)
    error = torch.randn(9, 9, dtype=torch.float64)

    def norm(weights):
        with torch.no_grad():
            kernel.weights.copy_(weights)
        state = run(levels, v_cycle(len(levels)), levels[0].start(0 * error, error))
        return levels[0].solution(state).norm()

    weights = kernel.weights.detach().clone()
    norm(weights).backward()
    step = 1e-6
    for k in range(3):
        shift = step * torch.eye(3, dtype=torch.float64)[k]
        with torch.no_grad():
            slope = (norm(weights + shift) - norm(weights - shift)) / (2 * step)
        assert kernel.weights.grad[k] == pytest.approx(float(slope), rel=1e-5)


@pytest.mark.slow
def test_training_goes_from_jacobi_to_better_than_red_black():
    kernel = SymmetricKernel([0.2, 0.0, 0.0])
    levels = mgnet.poisson_levels((33, 33), smoother=kernel, coarsest=1)
    factors = train_smoother(levels, steps=300, lr=0.003, progress=False)
    assert factors[0] > 0.25
    assert factor(kernel.weights.tolist(), 33) < 0.115  # red-black has .119


def test_one_kernel_serves_levels_of_both_precisions():
    kernel = SymmetricKernel([0.3, 0.1, 0.03])
    g = np.ones((9, 9))
    solutions = []
    chains = [
        mgnet.poisson_levels((9, 9), smoother=kernel, coarsest=1, dtype=d)
        for d in ("float32", "float64")
    ]
    for levels in chains:
        state = run(levels, v_cycle(len(levels)), levels[0].start(g))
        solutions.append(levels[0].solution(state).double())
    torch.testing.assert_close(*solutions, rtol=1e-5, atol=1e-7)
    assert kernel.weights.dtype == torch.float64


def test_kernels_scale_with_the_mesh():
    kernel = SymmetricKernel([0.3, 0.1, 0.03])
    r = torch.ones(1, 1, 7, 7, dtype=torch.float64)
    fine, coarse = (
        mgnet.poisson_levels((9, 9), extent=extent, smoother=kernel)[0].B[0] for extent in (1, 2)
    )
    torch.testing.assert_close(4 * fine(r), coarse(r))


@pytest.mark.parametrize("ndim", [1, 3])
def test_training_in_other_dimensions(ndim):
    kernel = SymmetricKernel([0.8 / (2 * ndim)] + [0.0] * ndim)
    levels = mgnet.poisson_levels((9,) * ndim, smoother=kernel, coarsest=1)
    factors = train_smoother(levels, steps=30, lr=0.003, batch=2, progress=False)
    assert min(factors) < factors[0]


def test_bad_input():
    with pytest.raises(ValueError, match="2, 3 or 4 weights"):
        SymmetricKernel([1.0])
    with pytest.raises(ValueError, match="no parameter of these levels is trainable"):
        train_smoother(mgnet.poisson_levels((9, 9)))
    with pytest.raises(ValueError, match="solved directly .* coarsest=1"):
        train_smoother(mgnet.poisson_levels((9, 9), smoother=SymmetricKernel([0.2, 0.0, 0.0])))
    levels = mgnet.poisson_levels((9, 9), smoother=SymmetricKernel([0.2, 0.0, 0.0]), coarsest=1)
    with pytest.raises(ValueError, match="full multigrid begins a problem"):
        train_smoother(levels, cycle=full_multigrid)


def test_measuring_a_factor_keeps_no_graph_of_all_cycles(monkeypatch):
    levels = mgnet.poisson_levels((9, 9), smoother=SymmetricKernel([0.2, 0.0, 0.0]), coarsest=1)
    start, given = levels[0].start, []

    def watched(g, u):
        given.append(u)
        return start(g, u)

    monkeypatch.setattr(levels[0], "start", watched)
    asymptotic_factor(levels, v_cycle(len(levels)), cycles=3, last=1)
    assert len(given) == 3
    assert not any(u.requires_grad for u in given[1:])
