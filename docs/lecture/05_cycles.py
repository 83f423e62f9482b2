"""Cycles: two grids, V, W, F and full multigrid, one visit at a time."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="5 Cycles", css_file="pages.css")

with app.setup:
    import inspect
    from functools import cache
    from pathlib import Path

    import marimo as mo
    import numpy as np

    import mgcore
    from mgcore import Stencil, asymptotic_factor, poisson_levels, two_grid_factor
    from mgcore.canvas import Canvas
    from mgcore.convergence import cycle_seconds
    from mgcore.cycle import walk
    from mgcore.plotting import plot_cost, plot_factors, plot_step
    from mgcore.watch import watch

    canvas = Canvas(10.4, 5.0, font=11.2)


@app.cell
def _():
    mo.md(r"""
    # 5 Cycles

    What smoothing leaves is smooth, so a coarser grid can see it. **How often has each grid to be
    visited, and does the number of cycles grow with the number of unknowns?**

    /// admonition | Predict first
    Walk a V cycle: on which visit does the large, smooth part of the error vanish? A W cycle visits
    the coarse grids many times: is it twice as good as a V, and what does it cost on a fine grid?
    ///
    """)
    return


@app.cell
def _():
    kinds = {
        "V": mgcore.v_cycle,
        "W": mgcore.w_cycle,
        "F": mgcore.f_cycle,
        "full multigrid": mgcore.full_multigrid,
    }
    kind = mo.ui.dropdown(list(kinds), value="V", label="cycle")
    grids = mo.ui.slider(2, 6, 1, value=5, label="grids", show_value=True)
    steps = mo.ui.slider(1, 3, 1, value=1, label=r"steps $\nu$", show_value=True)
    play = mo.ui.refresh(options=["1s"], label="walk on")
    first_visit, begin_at = mo.state(1)
    ticks = set()  # of `play`, that have moved the slider
    # Shown here, as a cell that names `play` runs at each tick, and all that depends on it.
    mo.hstack([kind, grids, steps, play], justify="start", gap=1.5, wrap=True)
    return begin_at, first_visit, grids, kind, kinds, play, steps, ticks


@app.cell
def _(first_visit, grids, kind, kinds, steps):
    path = kinds[kind.value](grids.value, steps.value, steps.value)
    made = min(first_visit(), len(path))
    visit = mo.ui.slider(0, len(path), 1, value=made, label="visits made", show_value=True)
    visit
    return path, visit


@app.cell
def _(begin_at, path, play, ticks, visit):
    if play.value and play.value not in ticks:  # not when the slider was moved
        ticks.add(play.value)
        begin_at((visit.value + 1) % (len(path) + 1))
    return


@app.cell
def _(kinds):
    def solver(grids):
        """Red-black Gauss-Seidel on a square with so many grids, down to one unknown."""
        return poisson_levels((2**grids + 1,) * 2, smoother="redblack", coarsest=1)

    @cache
    def walked(kind, grids, steps):
        """Every visit of a cycle that starts from a wave with noise; the solution is zero."""
        levels = solver(grids)
        x, y = levels[0].grid.coordinates()
        noise = np.random.default_rng(0).standard_normal((x.size, y.size))
        start = np.sin(np.pi * x) * np.sin(2 * np.pi * y) + 0.3 * noise
        cycle = kinds[kind](grids, steps, steps)
        return list(watch(levels, np.zeros_like(start), start, cycle=cycle))

    @cache
    def measured(kind, grids, steps):
        return asymptotic_factor(solver(grids), kinds[kind](grids, steps, steps))

    counts = [1, 2, 3]
    laplacian = Stencil.laplacian((1.0, 1.0))
    predicted = [two_grid_factor(laplacian, "redblack", pre=nu, post=nu) for nu in counts]
    sizes = [(2**s - 1) ** 2 for s in range(5, 10)]
    chains = {(name, s): (solver(s), kinds[name](s)) for name in ("V", "W") for s in range(5, 10)}
    seconds = cycle_seconds(chains)
    cost = {name: [seconds[name, s] for s in range(5, 10)] for name in ("V", "W")}
    for _grids in range(2, 7):  # as the page opens, so that no slider has to wait
        for _nu in counts:
            walked("V", _grids, _nu), *(measured(_kind, _grids, _nu) for _kind in "VWF")
    return cost, counts, measured, predicted, sizes, walked


@app.cell
def _(cost, counts, grids, kind, measured, path, predicted, sizes, steps, visit, walked):
    trace = walked(kind.value, grids.value, steps.value)
    step = trace[min(visit.value, len(path))]
    left = np.linalg.norm(step.errors[0]) / np.linalg.norm(trace[0].errors[0])
    factor = measured(kind.value if kind.value in "VWF" else "V", grids.value, steps.value)

    fig = canvas.clear()
    top = fig.add_gridspec(1, 6, left=0.03, right=0.98, bottom=0.63, top=0.9, wspace=0.12)
    below = fig.add_gridspec(1, 3, left=0.07, right=0.98, bottom=0.11, top=0.46, wspace=0.36)
    levels = [fig.add_subplot(top[0, k]) for k in range(6)]
    plot_step([fig.add_subplot(below[0, 0]), *levels], step)
    plot_factors(
        fig.add_subplot(below[0, 1]),
        {"two grids, predicted": (counts, predicted)},
        {
            f"{name}, measured": (counts, [measured(name, grids.value, nu) for nu in counts])
            for name in ("W", "V")  # as two grids, the one
        },
        "steps ν before and after",
    ).set_xticks(counts)
    plot_cost(fig.add_subplot(below[0, 2]), sizes, cost)
    number = mo.stat(
        f"{left:.3g}",
        label=f"what is left of the error after {visit.value} of {len(path)} visits",
        caption=f"the factor of later cycles: {factor:.3f}",
        bordered=True,
    )
    mo.vstack([number, mo.image(canvas.url(), alt="the cycle, its errors, factors and cost")])
    return


@app.cell
def _():
    mo.md(r"""
    | at these settings | expect |
    |:---|:---|
    | V on 5 grids, $\nu = 1$, after 1; 9 visits | $.904$; $.098$ of the error is left |
    | $\nu = 1$ before and after: two grids, by Fourier analysis | $.074$ |
    | the same, W on 6 grids: as good as two | $.074$ |
    | the same, V on 6 grids | $.120$ |
    | cost on fine grids | as $N$; W costs 2 to 6 V, for its many visits of small grids |

    ### The equation, and the lines that are it

    $u' \leftarrow 0,\quad g' \leftarrow R\,(g - A u),\quad u \leftarrow u + P u'$, on one grid
    after the other: `descend` smooths and restricts, `ascend` prolongs and smooths.

    ```python
    # mgcore/cycle.py
    states[here] = level.ascend(states[here], coarse, steps)
    states[here], states[here + 1] = level.descend(states[here], steps)
    ```

    ### Exercises

    1. *Explore.* At how many steps does one more stop to pay? Count a step as one unit of work, the
       transfers as one more.
    2. *Extend.* A cycle is a tuple of visits. Write one by hand, say with two steps on the finest
       grid and one elsewhere, for three grids
       `mgcore.Cycle([(0, 2), (1, 1), (2, 1), (1, 1), (0, 2)])`, and measure it:
       `mgcore.asymptotic_factor(solver(3), cycle)`. What does the same cycle leave on five grids,
       `solver(5)`, and what is missing there?
    """)
    return


@app.cell
def _():
    mo.accordion(
        {
            "Source: mgcore/cycle.py, the driver": mo.md(
                f"```python\n{inspect.getsource(walk)}\n```"
            ),
            "Source: mgcore/watch.py, the errors on every level": mo.md(
                f"```python\n{inspect.getsource(watch)}\n```"
            ),
        }
    )
    return


@app.cell
def _():
    mo.download(Path(__file__).read_bytes, Path(__file__).name, label="source of this page")
    return


if __name__ == "__main__":
    app.run()
