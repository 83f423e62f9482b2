"""Clone a flower into a photograph: Poisson problems on real pictures, a colour at a time.

    python -m examples.clone_photo

The dahlia of a photograph that scikit-learn ships is cut out at half its size, 146 x 154 pixels,
and put into the same photograph at three other places, by gradients rather than colours (Pérez,
Gangnet & Blake 2003, https://doi.org/10.1145/882262.882269): inside a rectangle -Laplace u = -div v
with the photograph's own values on the rim and, on each face between two pixels, v the stronger of
the gradients there, that of the flower or that of the photograph. All nine right-hand sides, three
places in three colours, share one hierarchy. Writes figures/clone.png.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import mgcore


class Place(NamedTuple):
    """Where the upper left corner of a patch goes, and whether the patch is mirrored."""

    row: int
    column: int
    mirrored: bool = False

    def window(self, patch: np.ndarray) -> tuple[slice, slice]:
        """The pixels of the photograph that the patch covers, its rim included."""
        rows, columns = patch.shape[:2]
        return slice(self.row, self.row + rows), slice(self.column, self.column + columns)


PLACES = (Place(8, 4), Place(22, 466, mirrored=True), Place(230, 450, mirrored=True))


class Cloning(NamedTuple):
    """Pictures with values 0 to 1, shape (rows, columns, 3), and the solves that made the last."""

    photograph: np.ndarray
    pasted: np.ndarray
    cloned: np.ndarray
    windows: list[tuple[slice, slice]]
    levels: mgcore.level.Hierarchy
    solutions: list[mgcore.Solution]
    seconds: float

    def jump(self, picture: np.ndarray) -> float:
        """Root mean square step from the rims to the pixels next to them inside, 0 to 1."""
        steps = []
        for window in self.windows:
            part = picture[window]
            for side in (part, part[::-1], part.swapaxes(0, 1), part.swapaxes(0, 1)[::-1]):
                steps.append((side[1] - side[0])[1:-1])
        return float(np.sqrt(np.mean(np.concatenate(steps) ** 2)))


def photographs() -> tuple[np.ndarray, np.ndarray]:
    """The photograph of a dahlia, and the flower alone at half the size: (rows, columns, 3)."""
    from sklearn.datasets import load_sample_image

    photograph = load_sample_image("flower.jpg") / 255
    rows, columns = (n // 2 for n in photograph.shape[:2])
    blocks = photograph[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, 3)
    return photograph, blocks.mean(axis=(1, 3))[38:184, 80:234]


def guidance(source: np.ndarray, target: np.ndarray, mixed: bool = True) -> np.ndarray:
    """-div v at the pixels inside, v the gradient of `source`, or of `target` where stronger."""
    g = np.zeros(source.shape)
    for axis in (0, 1):
        v, other = np.diff(source, axis=axis), np.diff(target, axis=axis)  # on faces
        if mixed:
            v = np.where(abs(other) > abs(v), other, v)
        inside = (slice(None),) * axis + (slice(1, -1),)
        g[inside] -= np.diff(v, axis=axis)
    return g


def clone(
    photograph: np.ndarray, patch: np.ndarray, places: Sequence[Place] = PLACES, mixed: bool = True
) -> Cloning:
    """Put the patch into the photograph at several places, one after the other."""
    began = time.perf_counter()
    rows, columns = patch.shape[:2]
    levels = mgcore.poisson_levels((rows, columns), spacing=1, smoother="sor")
    pasted, cloned = photograph.copy(), photograph.copy()
    solutions = []
    for place in places:
        window = place.window(patch)
        source = patch[:, ::-1] if place.mirrored else patch
        pasted[window][1:-1, 1:-1] = source[1:-1, 1:-1]
        for colour in range(3):
            target = cloned[(*window, colour)]
            g = guidance(source[..., colour], target, mixed)
            solutions.append(mgcore.solve(levels, g, boundary=target, rtol=1e-6))
            target[:] = solutions[-1].u
    seconds = time.perf_counter() - began
    windows = [place.window(patch) for place in places]
    return Cloning(photograph, pasted, cloned, windows, levels, solutions, seconds)


def draw(cloning: Cloning, path: Path) -> None:
    """The photograph, with flowers pasted and cloned, and one of the rectangles close up."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Rectangle

    fig, axes = plt.subplots(2, 2, figsize=(12, 8.5), layout="constrained")
    rows, columns = cloning.windows[-1]
    close = (
        slice(rows.start - 43, rows.stop + 43),
        slice(columns.start - 10, columns.stop + 10),
    )
    near = np.concatenate([cloning.pasted[close], cloning.cloned[close]], axis=1)
    for ax, picture, title in (
        (axes[0, 0], cloning.photograph, "photograph, and where the flower will go"),
        (axes[0, 1], cloning.pasted, "pasted"),
        (axes[1, 0], cloning.cloned, "cloned: gradients in place of colours"),
        (axes[1, 1], near, "pasted and cloned, close up"),
    ):
        ax.imshow(np.clip(picture, 0, 1))
        ax.set_title(title)
        ax.set_axis_off()
    for rows, columns in cloning.windows:
        width, height = columns.stop - columns.start, rows.stop - rows.start
        box = Rectangle((columns.start, rows.start), width, height, fill=False, edgecolor="w")
        axes[0, 0].add_patch(box)
    fig.savefig(path, dpi=120)
    plt.close(fig)


def main() -> None:
    """Clone, say how the rims look, draw."""
    photograph, patch = photographs()
    clone(photograph, patch)  # compiles, or loads what was compiled
    cloning = clone(photograph, patch)
    print(cloning.levels)
    for place, red in zip(PLACES, cloning.solutions[::3], strict=True):
        print(f"\nred, at row {place.row}, column {place.column}: {red}")
    print(
        f"\n{len(cloning.solutions)} right-hand sides of {cloning.levels[0].size} unknowns in "
        f"{cloning.seconds:.2f} s, levels and guidance included"
    )
    print(
        "step across the rims, root mean square of 0 to 1: "
        f"pasted {cloning.jump(cloning.pasted):.4f}, cloned {cloning.jump(cloning.cloned):.4f}, "
        f"the photograph itself {cloning.jump(photograph):.4f}"
    )
    path = Path("figures") / "clone.png"
    path.parent.mkdir(exist_ok=True)
    draw(cloning, path)
    print(f"figure: {path}")


if __name__ == "__main__":
    main()
