"""A level of one's own: -Laplace u = g with u >= 0, by the same cycles.

    python -m examples.nonnegative

Where u > 0 the equation holds; where u = 0 only -Laplace u >= g does, as if the constraint pushed
from below. `NonnegativeLevel` is all it takes: whatever has the methods of `mgcore.level.Level` can
be walked by `mgcore.cycle.run`. Two lines of a cycle know of the constraint:

- the smoother is projected Gauss-Seidel, no value below its bound (Cryer, SIAM J. Control 9, 1971);
- a coarse value may fall by what all nodes around it can bear, so that no correction breaks the
  constraint, and the energy never rises (Mandel, Appl. Math. Optim. 11, 1984; monotone multigrid,
  Kornhuber, Numer. Math. 69, 1994).

Prints how cycles and the smoother alone converge, writes figures/nonnegative.png.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from scipy.ndimage import maximum_filter

from mgcore import Grid, Stencil, run, v_cycle


class State(NamedTuple):
    """A problem and its iterate, node values with a border of zeros: u >= lower, -Laplace u = g."""

    u: np.ndarray
    g: np.ndarray
    lower: np.ndarray


@njit(cache=True)
def projected_gauss_seidel(u: np.ndarray, g: np.ndarray, lower: np.ndarray, a: float) -> None:
    """One red-black sweep, in place; a = h^-2."""
    for colour in range(2):
        for i in range(1, u.shape[0] - 1):
            for j in range(1 + (i + 1 + colour) % 2, u.shape[1] - 1, 2):
                around = u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1]
                u[i, j] = max(lower[i, j], (g[i, j] / a + around) / 4)


# --- the level ------------------------------------------------------------------------------------


class NonnegativeLevel:
    """One grid of 2^s + 1 nodes a side on the unit square, zero on the border."""

    def __init__(self, grid: Grid, coarse: NonnegativeLevel | None):
        self.grid, self.coarse = grid, coarse
        self.a = grid.spacing[0] ** -2
        self.A = Stencil.laplacian((self.a, self.a))
        self.R = Stencil.tensor([[1 / 4, 1 / 2, 1 / 4]] * 2, every=2)
        self.P = (4 * self.R).transpose()

    def start(self, g: Any, u: Any = None) -> State:
        """The state for node values of g and of a first guess."""
        lower = np.zeros(self.grid.shape)
        first = np.zeros_like(lower) if u is None else _zero_border(np.asarray(u, float))
        return State(first, np.asarray(g, float), lower)

    def smooth(self, state: State, steps: int) -> State:
        """Projected Gauss-Seidel, which on the coarsest grid, of one unknown, is exact."""
        for _ in range(steps):
            projected_gauss_seidel(*state, self.a)
        return state

    def restrict(self, state: State) -> State:
        """A' e = R r, starting from e = 0; e may be as low as all nodes around can bear."""
        u, g, lower = state
        r = _zero_border(g - self.A.apply(u))
        room = maximum_filter(lower - u, 3)[::2, ::2]
        return State(np.zeros_like(room), _zero_border(self.R.apply(r)), room)

    def prolong(self, state: State, coarse: State) -> State:
        """u + P e."""
        return self._with(state, state.u + self.P.apply(coarse.u)[:-1, :-1])

    def interpolate(self, state: State, coarse: State) -> State:
        """P u', which no cubic would keep above zero."""
        return self._with(state, self.P.apply(coarse.u)[:-1, :-1])

    def solution(self, state: State) -> np.ndarray:
        """Node values of u."""
        return state.u

    def residual_norm(self, state: State) -> float:
        """||g - A u||_2 but for what the constraint takes."""
        r = _zero_border(state.g - self.A.apply(state.u))
        return float(np.sqrt(np.sum(np.where(state.u > state.lower, r, np.maximum(0, r)) ** 2)))

    def descend(self, state: State, steps: int) -> tuple[State, State]:
        """Smooth, then restrict."""
        state = self.smooth(state, steps)
        return state, self.restrict(state)

    def ascend(self, state: State, coarse: State, steps: int) -> State:
        """Prolong, then smooth."""
        return self.smooth(self.prolong(state, coarse), steps)

    def _with(self, state: State, u: np.ndarray) -> State:
        return state._replace(u=np.maximum(u, state.lower))  # rounding alone is below


def _zero_border(values: np.ndarray) -> np.ndarray:
    out = np.zeros_like(values)
    out[1:-1, 1:-1] = values[1:-1, 1:-1]
    return out


# --- a problem ------------------------------------------------------------------------------------


def nonnegative_levels(n: int) -> list[NonnegativeLevel]:
    """The chain of grids below n x n nodes, n = 2^s + 1, the finest first."""
    levels: list[NonnegativeLevel] = []
    for grid in reversed(list(Grid((n, n)).chain())):
        levels.insert(0, NonnegativeLevel(grid, levels[0] if levels else None))
    return levels


class Held(NamedTuple):
    """u >= 0, and the norms of the residual before the first cycle and after each."""

    u: np.ndarray
    residuals: list[float]


def solve(g: np.ndarray, rtol: float = 1e-8, maxiter: int = 100, levels: int | None = None) -> Held:
    """V(2,2) until the residual is `rtol` times that of u = 0; on one level the smoother alone."""
    chain = nonnegative_levels(len(g))[:levels]
    fine, cycle = chain[0], v_cycle(len(chain), 2, 2)
    state = fine.start(g)
    residuals = [fine.residual_norm(state)]
    while residuals[-1] > rtol * residuals[0] and len(residuals) <= maxiter:
        state = run(chain, cycle, state)
        residuals.append(fine.residual_norm(state))
    return Held(fine.solution(state), residuals)


def two_springs(n: int, load: float, distance: float) -> np.ndarray:
    """g of two sources in a square that is drained everywhere alike."""
    x, y = Grid((n, n)).coordinates()
    g = np.full((n, n), -float(load))
    for strength, at in ((300, 0.5 - distance / 2), (200, 0.5 + distance / 2)):
        g += strength * np.exp(-80 * ((x - at) ** 2 + (y - 0.5) ** 2))
    return g


def draw(g: np.ndarray, cycles: Held, sweeps: Held, path: Path) -> None:
    """g, u with what is held at zero, and how both methods converge."""
    import matplotlib.pyplot as plt

    from mgcore.plotting import new_axes, plot_constraint, plot_convergence, plot_field

    left, middle, right = new_axes(3, (5.0, 4.2))
    plot_field(left, g, cmap="cividis").set_title("g")
    plot_constraint(middle, cycles.u).set_title("u, and where it is held at 0")
    curves = {"V(2,2)": cycles.residuals, "the smoother, four sweeps a cycle": sweeps.residuals}
    plot_convergence(right, curves).set_title("residual")
    left.figure.savefig(path, dpi=120)
    plt.close(left.figure)


def main() -> None:
    """Solve by cycles and by the smoother alone, print, draw."""
    g = two_springs(129, 60.0, 0.4)
    cycles, sweeps = solve(g), solve(g, levels=1, maxiter=200)
    print(f"held at zero: {(cycles.u[1:-1, 1:-1] == 0).mean():.1%} of {127**2} unknowns")
    for name, held in (("V(2,2)", cycles), ("the smoother alone, four sweeps each", sweeps)):
        r = held.residuals
        print(f"{name}: residual {r[0]:.1e} -> {r[-1]:.1e} in {len(r) - 1} cycles")
    path = Path("figures") / "nonnegative.png"
    path.parent.mkdir(exist_ok=True)
    draw(g, cycles, sweeps, path)
    print(f"figure: {path}")


if __name__ == "__main__":
    main()
