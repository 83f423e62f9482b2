"""Constraints: u >= 0 by a projected smoother in the same cycle."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="7 Constraints", css_file="pages.css")

with app.setup:
    import inspect
    from functools import cache
    from pathlib import Path

    import marimo as mo

    from examples import nonnegative
    from examples.nonnegative import NonnegativeLevel, solve, two_springs
    from mgcore import solve_poisson
    from mgcore.canvas import Canvas
    from mgcore.plotting import plot_constraint, plot_convergence, plot_field

    canvas = Canvas(10.4, 3.52, font=11.2)


@app.cell
def _():
    mo.md(r"""
    # 7 Constraints

    The lecture's model of a picture $g$ and its feature $u$: $A * u = g$ with $u \geq 0$. Where the
    equation would make $u$ negative, $u = 0$ and the equation has to give way. **Does multigrid
    survive that?**

    /// admonition | Predict first
    Two springs fill a square, and everywhere some of it drains away. As the drain grows, where does
    $u$ become zero first? Is $u$ just the solution without the constraint with its negative part
    cut off? Does a coarse grid still help, if no correction may push $u$ below zero?
    ///
    """)
    return


@app.cell
def _():
    load = mo.ui.slider(0, 100, 5, value=30, label="drain", show_value=True)
    distance = mo.ui.slider(
        0, 0.8, 0.05, value=0.4, label="distance of the springs", show_value=True
    )
    s = mo.ui.slider(3, 7, 1, value=6, label="grids", show_value=True)
    mo.hstack([load, distance, s], justify="start", gap=2, wrap=True)
    return distance, load, s


@app.cell
def _():
    @cache
    def solved(s, load, distance):
        """By cycles, and as many by the smoother alone."""
        g = two_springs(2**s + 1, load, distance)
        cycles = solve(g)
        return g, cycles, solve(g, levels=1, maxiter=len(cycles.residuals) - 1)

    for _load in range(0, 101, 5):  # as the page opens, so that no slider has to wait
        solved(6, _load, 0.4)
    return (solved,)


@app.cell
def _(distance, load, s, solved):
    g, cycles, sweeps = solved(s.value, load.value, distance.value)
    held, cut = ((u[1:-1, 1:-1] <= 0).mean() for u in (cycles.u, solve_poisson(g).u))

    fig = canvas.clear()
    cells = fig.add_gridspec(1, 3, wspace=0.7, left=0.06, right=0.98, bottom=0.15, top=0.9)
    left, middle, right = map(fig.add_subplot, cells)
    plot_field(left, g, cmap="cividis").set_title("g")
    plot_constraint(middle, cycles.u).set_title("u, zero outside")
    plot_convergence(
        right, {"V(2,2)": cycles.residuals, "no coarse grids": sweeps.residuals}
    ).set_title("what is left of the residual")
    right.set(ylabel="", ylim=(1e-9, 1e3))
    for ax in (left, middle):
        ax.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    number = mo.stat(
        f"{held:.1%}",
        label="part of the unknowns held at zero",
        caption=f"without the constraint {cut:.1%} are negative; residual below 1e-8 after "
        f"{len(cycles.residuals) - 1} V(2,2)",
        bordered=True,
    )
    mo.vstack([number, mo.image(canvas.url(), alt="g, u and the residuals")])
    return


@app.cell
def _():
    mo.md(r"""
    | at these settings | expect |
    |:---|:---|
    | drain 0, 6 grids | nothing is held: plain multigrid, 7 cycles |
    | drain 60, distance .4, 6 grids | 68.1 % held, 25 cycles |
    | the same on 7 grids | 67.9 %: the place of the border does not depend on the grid |
    | drain 30, distance .4, 6 grids: no coarse grids | .4 of the residual after 28 times four sweeps |

    ### The equation, and the lines that are it

    $u \leftarrow \sigma(u + B\,(g - A u))$ with $\sigma = \max(0, \cdot)$ on the finest grid; on
    coarser ones a correction may be as low as all nodes around can bear:

    ```python
    # examples/nonnegative.py
    u[i, j] = max(lower[i, j], (g[i, j] / a + around) / 4)
    room = maximum_filter(lower - u, 3)[::2, ::2]
    ```

    MgNet's $u \leftarrow u + \sigma(B * \sigma(g - A * u))$ has its $\sigma$ in another place:
    there no *step* is negative, and so $u$ never is, either.

    ### Exercises

    1. *Explore.* Move the springs apart until there are two lakes. Does it take more cycles, or
       fewer?
    2. *Extend.* A ceiling $u \leq 1$ as well: which lines of `examples/nonnegative.py` know of the
       floor, and what has to stand beside each?
    """)
    return


@app.cell
def _():
    mo.accordion(
        {
            "Source: examples/nonnegative.py, a level of one's own": mo.md(
                f"```python\n{inspect.getsource(NonnegativeLevel)}\n```"
            ),
            "What a level is asked for": mo.md(f"```\n{inspect.getdoc(nonnegative)}\n```"),
        }
    )
    return


@app.cell
def _():
    mo.download(Path(__file__).read_bytes, Path(__file__).name, label="source of this page")
    return


if __name__ == "__main__":
    app.run()
