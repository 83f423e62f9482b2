"""Stir a photograph: a pressure keeps a simulated flow free of divergence.

    python -m examples.project_flow

Jets blow into a closed box of 300 x 450 nodes and carry a photograph along that scikit-learn ships.
Each time step moves the velocity with itself and then projects it: -Laplace p = -div v with no flow
through the walls ("neumann"), v <- v - grad p. Velocities live on the faces of the volumes around
the nodes, where `mgcore.divergence` of `mgcore.gradient` is exactly the operator that is solved
for, and what is left of the divergence is the residual of the solve. One hierarchy and one array
serve all time steps. V cycles go on from the pressure of the step before, whose residual is a tenth
of that of p = 0: this saves one of five cycles, and costs what three cycles of full multigrid cost
from nothing. Writes figures/flow.png.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import map_coordinates

import mgcore
from mgcore import divergence, gradient

#: A component for each axis, on the faces across it: between neighbours along that axis.
Velocity = list[np.ndarray]


class Projection(NamedTuple):
    """A velocity without divergence, and the solve for the pressure that took it out."""

    velocity: Velocity
    solution: mgcore.Solution


class Stirring(NamedTuple):
    """A photograph before and after, (rows, columns, 3), and the flow that stirred it.

    The `duration` is the flow's, `seconds` are how long it took to compute.
    """

    photograph: np.ndarray
    halfway: np.ndarray
    stirred: np.ndarray
    gusts: Velocity
    first: Projection
    velocity: Velocity
    levels: mgcore.level.Hierarchy
    cycles: list[int]
    duration: float
    seconds: float


# --- volumes around the nodes ---------------------------------------------------------------------


def along(values: np.ndarray, axis: int, ndim: int) -> np.ndarray:
    """Values along one axis, shaped to broadcast."""
    return values.reshape([-1 if k == axis else 1 for k in range(ndim)])


def energy(velocity: Velocity, grid: mgcore.Grid) -> float:
    """Kinetic energy, the integral of |v|^2 / 2."""
    total = 0.0
    for k, v in enumerate(velocity):
        lengths = [axis.widths if j == k else axis.mass for j, axis in enumerate(grid.axes)]
        total += float((v**2 * reduce(np.multiply.outer, lengths)).sum()) / 2
    return total


def swirl(psi: np.ndarray, grid: mgcore.Grid) -> Velocity:
    """The velocity (d psi/dy, -d psi/dx) of a stream function in the cells between nodes.

    Its divergence is zero up to rounding; walls are streamlines, with psi = 0.
    """
    around = []
    for k, axis in enumerate(grid.axes):
        last = np.roll(psi, 1, k)
        step = psi - last if axis.periodic else np.diff(psi, axis=k, prepend=0, append=0)
        around.append(step / along(axis.mass, k, 2))
    return [around[1], -around[0]]


def project(
    levels: mgcore.level.Hierarchy, velocity: Velocity, p0: Any = None, rtol: float = 1e-10
) -> Projection:
    """Subtract the gradient of the pressure that takes all of the divergence.

    A first guess p0 of the pressure is overwritten with it.
    """
    grid = levels[0].grid
    # Full multigrid makes a first guess of its own, which is no better for another one.
    cycle = "fmg" if p0 is None else "v"
    g = -divergence(velocity, grid)
    solution = mgcore.solve(levels, g, p0, cycle=cycle, rtol=rtol, out=p0)
    pairs = zip(velocity, gradient(solution.u, grid), strict=True)
    return Projection([v - dp for v, dp in pairs], solution)


# --- a flow in a box of mesh width 1 --------------------------------------------------------------


def face_places(shape: Sequence[int], across: int) -> np.ndarray:
    """Where the faces across an axis lie: (ndim, *faces)."""
    places = np.indices([n - (k == across) for k, n in enumerate(shape)], float)
    places[across] += 0.5
    return places


def sample(field: np.ndarray, places: np.ndarray, across: int | None = None) -> np.ndarray:
    """A field, at nodes or on the faces across an axis, linearly interpolated at places."""
    index = places.copy()
    if across is not None:
        index[across] -= 0.5
    return map_coordinates(field, index, order=1, mode="nearest")


def flow_at(velocity: Velocity, places: np.ndarray) -> np.ndarray:
    """The velocity at places: (ndim, *places)."""
    return np.stack([sample(v, places, k) for k, v in enumerate(velocity)])


def departures(velocity: Velocity, places: np.ndarray, dt: float) -> np.ndarray:
    """Where what is at `places` now was a time dt ago, by the midpoint rule."""
    middle = places - dt / 2 * flow_at(velocity, places)
    return places - dt * flow_at(velocity, middle)


def advect(velocity: Velocity, dt: float) -> Velocity:
    """Each component carried along by the flow."""
    shape = velocity[1].shape[0], velocity[0].shape[1]
    return [
        sample(v, departures(velocity, face_places(shape, k), dt), k)
        for k, v in enumerate(velocity)
    ]


def gusts(shape: tuple[int, int], speed: float = 140.0) -> Velocity:
    """Four jets in still air, in nodes a second; not free of divergence."""
    velocity = []
    for k in (0, 1):
        places = face_places(shape, k)
        total = np.zeros(places.shape[1:])
        # row and column as parts of the box, and the direction
        for row, column, *towards in (
            (0.52, 0.15, 0.1, 1.0), (0.46, 0.85, -0.1, -1.0), (0.85, 0.45, -0.8, 0.2),
            (0.18, 0.62, 0.8, -0.3),
        ):  # fmt: skip
            y, x = places[0] - row * shape[0], places[1] - column * shape[1]
            total += speed * towards[k] * np.exp(-(x**2 + y**2) / (0.09 * shape[0]) ** 2)
        velocity.append(total)
    return velocity


def stir(photograph: np.ndarray, duration: float = 4.0, steps: int = 60) -> Stirring:
    """Let the gusts carry a photograph about, for so many seconds in an even number of steps."""
    rows, columns, _ = photograph.shape
    shape = rows, columns
    levels = mgcore.poisson_levels(shape, spacing=1, sides="neumann", smoother="sor")
    wind = gusts(shape)
    first = project(levels, wind)  # compiles, or loads what was compiled
    began = time.perf_counter()
    velocity, p, dt = first.velocity, None, duration / steps
    nodes = np.indices(shape, float)
    # Where what is at each node came from. The photograph itself is looked up only once and so
    # stays sharp, however often the flow is interpolated.
    origin = nodes
    halfway = stirred = photograph
    cycles = []
    for step in range(steps):
        velocity, solution = project(levels, advect(velocity, dt), p, rtol=1e-6)
        p = solution.u
        cycles.append(solution.nit)
        departed = departures(velocity, nodes, dt)
        origin = np.stack([sample(x, departed) for x in origin])
        if step + 1 in (steps // 2, steps):
            halfway = stirred
            stirred = np.stack([sample(c, origin) for c in np.moveaxis(photograph, 2, 0)], axis=2)
    took = time.perf_counter() - began
    return Stirring(
        photograph, halfway, stirred, wind, first, velocity, levels, cycles, duration, took
    )


def picture() -> np.ndarray:
    """A pavilion above a lake, 300 x 450 pixels, values 0 to 1."""
    from sklearn.datasets import load_sample_image

    return load_sample_image("china.jpg")[20:320, 20:470] / 255


def draw(stirring: Stirring, path: Path) -> None:
    """The photograph as it is stirred; divergence before and after projecting; streamlines."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import LogNorm

    grid = stirring.levels[0].grid
    fig, axes = plt.subplots(2, 3, figsize=(14, 7), layout="constrained")
    for ax, photograph, title in (
        (axes[0, 0], stirring.photograph, "photograph"),
        (axes[0, 1], stirring.halfway, f"after {stirring.duration / 2:g} s"),
        (axes[0, 2], stirring.stirred, f"after {stirring.duration:g} s"),
    ):
        ax.imshow(np.clip(photograph, 0, 1))
        ax.set_title(title)
    before, after = (abs(divergence(v, grid)) for v in (stirring.gusts, stirring.first.velocity))
    smallest = 1e-14 * before.max()
    norm = LogNorm(smallest, before.max())
    for ax, field, title in (
        (axes[1, 0], before, "|div v| of the gusts"),
        (axes[1, 1], after, "|div v| after the first projection"),
    ):
        image = ax.imshow(np.maximum(field, smallest), norm=norm, cmap="magma")
        ax.set_title(title)
    fig.colorbar(image, ax=axes[1, :2], location="bottom", shrink=0.5, label="1/s")
    nodes = np.indices(grid.shape, float)
    down, right = flow_at(stirring.velocity, nodes)
    speed = np.hypot(down, right)
    image = axes[1, 2].imshow(speed, cmap="Blues")
    fig.colorbar(image, ax=axes[1, 2], location="bottom", shrink=0.8, label="nodes/s")
    axes[1, 2].streamplot(
        nodes[1, 0], nodes[0, :, 0], right, down, color="k", linewidth=0.6, arrowsize=0.7,
        density=1.6,
    )  # fmt: skip
    axes[1, 2].set(xlim=(0, grid.shape[1] - 1), ylim=(grid.shape[0] - 1, 0))
    axes[1, 2].set_title(f"speed and streamlines after {stirring.duration:g} s")
    for ax in axes.flat:
        ax.set_axis_off()
    fig.savefig(path, dpi=120)
    plt.close(fig)


def main() -> None:
    """Stir, say what the projections did, draw."""
    stirring = stir(picture())
    grid = stirring.levels[0].grid
    print(stirring.levels)
    print(f"\nthe first projection: {stirring.first.solution}")
    largest = [abs(divergence(v, grid)).max() for v in (stirring.gusts, stirring.first.velocity)]
    energies = [energy(v, grid) for v in (stirring.gusts, stirring.first.velocity)]
    print(
        f"largest divergence {largest[0]:.2e} before, {largest[1]:.2e} after; "
        f"{energies[1] / energies[0]:.1%} of the kinetic energy are left"
    )
    print(
        f"{len(stirring.cycles)} time steps in {stirring.seconds:.1f} s, "
        f"{np.mean(stirring.cycles):.1f} cycles each from the last pressure"
    )
    path = Path("figures") / "flow.png"
    path.parent.mkdir(exist_ok=True)
    draw(stirring, path)
    print(f"figure: {path}")


if __name__ == "__main__":
    main()
