"""The same driver on a GPU: classifier and solver against their twins on the CPU."""

import numpy as np
import pytest
import torch
from helpers import several

import mgcore
import mgnet

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU here"),
]


@pytest.mark.parametrize("form", ["residual", "feature"])
def test_the_classifier_agrees_with_the_cpu(form):
    torch.manual_seed(0)
    model = mgnet.MgNet(channels=(8, 16, 32), steps=(2, 2, 2), form=form).double()
    x = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    on_cpu = model(x)
    on_gpu = model.cuda()(x.cuda())
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(129,), (65, 33), (17, 17, 17)])
@pytest.mark.parametrize("cycle", ["v", "w", "f", "fmg"])
def test_the_solver_agrees_with_the_cpu(shape, cycle):
    g = np.random.default_rng(0).standard_normal((2, *shape))
    solutions = [
        mgcore.solve(
            several(mgnet.poisson_levels(shape, smoother="sor", coarsest=1, device=device)), g,
            cycle=cycle, boundary=1.0, rtol=1e-9,
        )
        for device in ("cpu", "cuda")
    ]  # fmt: skip
    assert solutions[1].u.is_cuda
    assert all(solution.success for solution in solutions)
    torch.testing.assert_close(solutions[1].u.cpu(), solutions[0].u, rtol=1e-8, atol=1e-10)


def test_solve_poisson_stays_where_g_is():
    g = torch.from_numpy(np.random.default_rng(0).standard_normal((33, 33)))
    a, b = mgnet.solve_poisson(g), mgnet.solve_poisson(g.cuda().float(), boundary=1.0)
    assert (b.u.dtype, b.u.device) == (torch.float32, g.cuda().device)
    torch.testing.assert_close(b.u.double().cpu() - 1, a.u, rtol=1e-3, atol=1e-4)
    assert mgnet.solve_poisson(g, device="cuda").u.is_cuda
    with pytest.raises(ValueError, match=r"convert it by boundary.to\(torch.float64, device='cuda"):
        mgnet.solve_poisson(g.cuda(), boundary=g)


def test_float32_keeps_its_precision():
    # cuDNN's default, TF32, would leave residuals a thousand times larger.
    g = np.random.default_rng(0).standard_normal((257, 257))
    a, b = (
        mgcore.solve(mgnet.poisson_levels((257, 257), dtype="float32", device=device), g, rtol=1e-4)
        for device in ("cpu", "cuda")
    )
    assert b.success
    assert b.nit == a.nit
    torch.testing.assert_close(b.u.cpu(), a.u, rtol=1e-4, atol=1e-6)


def test_training_runs_there():
    from mgnet.data import load
    from mgnet.training import Recipe, Trainer

    torch.manual_seed(0)
    model = mgnet.MgNet(1, 10, channels=(8, 16), steps=(2, 2))
    recipe = Recipe(epochs=3, batch_size=64, shift=1, flip="never", precision="bfloat16")
    history = Trainer(model, load("digits"), recipe, device="cuda", progress=False).fit()
    assert history[-1].train["accuracy"] > 0.8
