"""Heat through a composite: a coefficient that jumps, by conjugate gradients and one V cycle.

    python -m examples.conduct_heat

-div(a grad u) = 0 between a cold and a hot side, the others insulated; a is 1, and 1,000 in forty
round grains. Where a jumps so much, cycles alone diverge, and say so: coarse grids see grains of
other shapes. That spoils a few directions only, which conjugate gradients find: with one V cycle as
the preconditioner they take 14, 46 and 203 steps for jumps of 10, 100 and 1,000, without it 1,360,
3,713 and 9,232. Writes figures/heat.png.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.sparse.linalg import cg

import mgcore

RTOL = 1e-8
SIDES = ["dirichlet", "neumann"]


class Found(NamedTuple):
    """What conjugate gradients found.

    Attributes
    ----------
    u : ndarray
        Temperature at the nodes, (n, n).
    flux : ndarray
        Through each row of faces from the cold to the hot side, (n - 1,): of an exact solution all
        the same.
    steps : list of int
        Steps with the cycle and without.
    cycles : mgcore.Solution
        How far cycles alone came.
    """

    u: np.ndarray
    flux: np.ndarray
    steps: list[int]
    cycles: mgcore.Solution


def composite(n: int, contrast: float, grains: int = 40) -> np.ndarray:
    """a at (n, n) nodes: 1, and `contrast` in round grains."""
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, n)
    a = np.ones((n, n))
    for (row, column), radius in zip(rng.random((grains, 2)), rng.uniform(0.02, 0.08, grains),
                                     strict=True):  # fmt: skip
        a[(x[:, None] - row) ** 2 + (x - column) ** 2 < radius**2] = contrast
    return a


def conduct(a: np.ndarray) -> Found:
    """The temperature between u = 0 on the first row of nodes and u = 1 on the last."""
    n = len(a)
    levels = mgcore.poisson_levels(
        a.shape, sides=SIDES, coefficient=a, mean="harmonic", smoother="redblack"
    )
    # What sides give goes to the right-hand side: u = x + v, and v is zero there.
    x = np.broadcast_to(np.linspace(0, 1, n)[:, None], a.shape)
    g = levels[0].defect(np.zeros(a.shape), x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mgcore.ConvergenceWarning)
        cycles = mgcore.solve(levels, g, rtol=RTOL)
    A, b = levels.as_linear_operator(), levels.weigh(g)
    steps: list[int] = []
    for M in (levels.as_preconditioner(), None):
        steps.append(0)

        def count(v: np.ndarray) -> None:
            steps[-1] += 1

        v, info = cg(A, b, rtol=RTOL, maxiter=100_000, M=M, callback=count)
        if info:
            raise RuntimeError(f"conjugate gradients stopped after {info} steps")
        if M is not None:
            u = x + levels.spread(v)
    between = 2 / (1 / a[1:] + 1 / a[:-1])  # the harmonic mean, as levels take it
    columns = np.full(n, 1 / (n - 1))
    columns[[0, -1]] /= 2
    return Found(u, (between * np.diff(u, axis=0) * (n - 1)) @ columns, steps, cycles)


def draw(a: np.ndarray, found: Found, path: Path) -> None:
    """The grains, and the temperature with its isotherms, which grains hold apart."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 2, figsize=(10, 4.8), layout="constrained")
    axes[0].imshow(a > 1, cmap="Greys", origin="lower", extent=(0, 1, 0, 1))
    axes[0].set_title(f"grains that conduct {a.max():,.0f} times as well")
    image = axes[1].imshow(found.u, cmap="inferno", origin="lower", extent=(0, 1, 0, 1))
    x = np.linspace(0, 1, len(a))
    axes[1].contour(x, x, found.u, np.linspace(0.05, 0.95, 19), colors="w", linewidths=0.6)
    axes[1].set_title(f"temperature: {found.steps[0]} steps")
    fig.colorbar(image, ax=axes[1])
    fig.savefig(path, dpi=120)
    plt.close(fig)


def main() -> None:
    """Solve for three contrasts, say how many steps it took, draw the last."""
    print("contrast  cycles alone  cg with a V cycle  cg alone  conductivity  flux differs by")
    for contrast in (10.0, 100.0, 1000.0):
        a = composite(129, contrast)
        found = conduct(a)
        alone = str(found.cycles.nit) if found.cycles.success else found.cycles.status.name
        mean = found.flux.mean()
        print(
            f"{contrast:8,.0f}  {alone.lower():>12}  {found.steps[0]:17}  {found.steps[1]:8,}  "
            f"{mean:12.4f}  {np.ptp(found.flux) / mean:15.1e}"
        )
    path = Path("figures") / "heat.png"
    path.parent.mkdir(exist_ok=True)
    draw(a, found, path)
    print(f"figure: {path}")


if __name__ == "__main__":
    main()
