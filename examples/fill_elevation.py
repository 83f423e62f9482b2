"""Fill a hole in a map of mountains: one Poisson problem on real data.

    python -m examples.fill_elevation

A square of 129 x 129 nodes of the elevation grid that matplotlib ships (the Jacksboro fault in
Tennessee, from the National Elevation Dataset) is cut out and filled by the membrane that hangs
on its rim: -Laplace u = 0 with the rim's elevations as border values, on nodes that lie 74 m apart
one way and 93 m the other. What was cut out tells how good the fill is. Writes
figures/elevation.png.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import mgcore

METRES_PER_DEGREE = 111_320.0  # of latitude


class Fill(NamedTuple):
    """The map in metres, the square cut out of it, and the solution that fills it."""

    elevation: np.ndarray
    hole: tuple[slice, slice]
    solution: mgcore.Solution

    def rms(self, guess: np.ndarray | float) -> float:
        """Root mean square difference between a guess and what was cut out, in metres."""
        inside = (slice(1, -1), slice(1, -1))
        return float(np.sqrt(np.mean((guess - self.elevation[self.hole])[inside] ** 2)))


def fill(corner: tuple[int, int] = (140, 200), nodes: int = 129) -> Fill:
    """Cut a square of `nodes` nodes a side out of the map and fill it."""
    from matplotlib.cbook import get_sample_data

    dem: Any = get_sample_data("jacksboro_fault_dem.npz")
    elevation = dem["elevation"].astype(float)  # rows go south, columns east
    latitude = float(dem["ymin"] + dem["ymax"]) / 2
    spacing = (
        float(dem["dy"]) * METRES_PER_DEGREE,
        float(dem["dx"]) * METRES_PER_DEGREE * np.cos(np.radians(latitude)),
    )
    hole = (slice(corner[0], corner[0] + nodes), slice(corner[1], corner[1] + nodes))
    solution = mgcore.solve_poisson(
        np.zeros((nodes, nodes)),
        boundary=elevation[hole],  # of which the rim alone is read
        extent=[h * (nodes - 1) for h in spacing],
    )
    return Fill(elevation, hole, solution)


def draw(filled: Fill, path: Path) -> None:
    """The map as it is, with the hole, and filled."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import LightSource

    cut = filled.elevation.copy()
    inside = tuple(slice(s.start + 1, s.stop - 1) for s in filled.hole)
    cut[inside] = np.nan
    mended = filled.elevation.copy()
    mended[filled.hole] = filled.solution.u
    low, high = filled.elevation.min(), filled.elevation.max()
    fig, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
    light = LightSource(azdeg=315, altdeg=45)
    for ax, field, title in (
        (axes[0], filled.elevation, "elevation as surveyed"),
        (axes[1], cut, "a square cut out"),
        (axes[2], mended, "filled by a membrane on its rim"),
    ):
        shaded = light.shade(
            np.nan_to_num(field, nan=low), plt.get_cmap("gist_earth"), vert_exag=0.05,
            blend_mode="soft", vmin=low - 150, vmax=high,
        )  # fmt: skip
        shaded[np.isnan(field)] = (1, 1, 1, 1)
        ax.imshow(shaded)
        ax.set_title(title)
        ax.set_axis_off()
    fig.savefig(path, dpi=120)
    plt.close(fig)


def main() -> None:
    """Fill the hole, say how well, draw it."""
    filled = fill()
    print(filled.solution)
    rim = filled.elevation[filled.hole][mgcore.boundary.on_border(filled.solution.u.shape)]
    membrane, mean = filled.rms(filled.solution.u), filled.rms(float(rim.mean()))
    print(
        "difference from the survey, root mean square: "
        f"membrane {membrane:.1f} m, the rim's mean height {mean:.1f} m"
    )
    path = Path("figures") / "elevation.png"
    path.parent.mkdir(exist_ok=True)
    draw(filled, path)
    print(f"figure: {path}")


if __name__ == "__main__":
    main()
