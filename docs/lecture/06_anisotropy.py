"""Anisotropy and borders: where point smoothing fails, and what mends it."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="6 Anisotropy and borders", css_file="pages.css")

with app.setup:
    import inspect
    from functools import cache
    from pathlib import Path

    import marimo as mo
    import numpy as np

    from mgcore import Grid, Stencil, asymptotic_factor, fourier, poisson_levels, v_cycle
    from mgcore.canvas import Canvas
    from mgcore.convergence import smoothed
    from mgcore.plotting import plot_factors, plot_field, plot_symbol

    canvas = Canvas(10.4, 3.68, font=11.2)


@app.cell
def _():
    mo.md(r"""
    # 6 Anisotropy and borders

    $-u_{ss} - \varepsilon\, u_{tt} = g$: strong along $s$, weak across. **Where does smoothing
    point by point fail, and what mends it?**

    /// admonition | Predict first
    With $\varepsilon = .01$, what does the error look like after five sweeps: smooth along $s$,
    along $t$, or both? Which coarser grid could see it? And if $s$ lies at 45°?
    ///
    """)
    return


@app.cell
def _():
    exponent = mo.ui.slider(-3, 0, 0.5, value=-1, label=r"$\log_{10} \varepsilon$", show_value=True)
    degrees = mo.ui.slider(0, 90, 15, value=0, label="angle of $s$ in degrees", show_value=True)
    sweeps = mo.ui.slider(0, 10, 1, value=5, label="sweeps", show_value=True)
    sides = mo.ui.dropdown(["dirichlet", "neumann", "periodic"], value="dirichlet", label="sides")
    remedies = {  # what smooths, and whether the strong axis is halved first
        "points, both axes": ("redblack", False),
        "points, the strong axis first": ("redblack", True),
        "lines, both axes": ("zebra", False),
    }
    remedy = mo.ui.radio(
        remedies, value="points, both axes", label="smooth, and halve", inline=True
    )
    mo.hstack([exponent, degrees, sweeps, sides, remedy], justify="start", gap=1.5, wrap=True)
    return degrees, exponent, remedies, remedy, sides, sweeps


@app.cell
def _(remedies):
    powers = np.arange(-3, 0.1, 0.5)  # of ten: the values of eps that the slider has

    def shape(sides):
        """Nodes; along periodic axes the end is not counted twice."""
        return (64, 64) if sides == "periodic" else (65, 65)

    def operator(eps, degrees):
        return Stencil.diffusion(eps, np.deg2rad(degrees))

    def extent(eps, degrees, strong):
        """Lengths of a box whose mesh widths tell the solver to halve the strong axis first.

        Stretched by eps^-1/2 across, -u_ss - eps u_tt is -Laplace.
        """
        stretch = eps**-0.5 if strong else 1.0
        return (1.0, stretch) if degrees <= 45 else (stretch, 1.0)

    def halved(eps, degrees, strong):
        return Grid(shape(""), extent(eps, degrees, strong)).halved_axes()

    @cache
    def solver(eps, degrees, sides, remedy):
        smoother, strong = remedy
        return poisson_levels(
            shape(sides), operator=operator(eps, degrees), sides=sides, smoother=smoother,
            extent=extent(eps, degrees, strong),
        )  # fmt: skip

    @cache
    def measured(eps, degrees, sides, remedy):
        levels = solver(eps, degrees, sides, remedy)
        return asymptotic_factor(levels, v_cycle(len(levels)), cycles=60, last=10)

    @cache
    def predicted(eps, degrees, remedy):
        """The factor on two grids, with R A P on the coarser one, as the solver has it."""
        smoother, strong = remedy
        return fourier.two_grid_factor(
            operator(eps, degrees), smoother, coarse="galerkin",
            halved=halved(eps, degrees, strong),
        )  # fmt: skip

    def curve(degrees, remedy):
        """Predicted factors at every eps; the axes change places at 90 degrees less the angle."""
        angle = min(degrees, 90 - degrees)
        return powers, [predicted(10.0**p, angle, remedy) for p in powers]

    for _degrees in (0, 15, 30, 45):  # as the page opens, so that no slider has to wait
        for _remedy in remedies.values():
            curve(_degrees, _remedy), measured(0.1, _degrees, "dirichlet", _remedy)
    noise = np.zeros((65, 65))
    noise[1:-1, 1:-1] = np.random.default_rng(0).standard_normal((63, 63))
    line = np.linspace(-np.pi, np.pi, 65)
    theta = np.ix_(line, line)
    return curve, halved, measured, noise, operator, predicted, solver, theta


@app.cell
def _(
    curve, degrees, exponent, halved, measured, noise, operator, predicted, remedies, remedy,
    sides, solver, sweeps, theta,
):  # fmt: skip
    eps, angle, how = 10.0**exponent.value, degrees.value, remedy.value
    # At an angle the operator is not its own mirror image, and has no Neumann sides.
    kind = "dirichlet" if sides.value == "neumann" and angle % 90 else sides.value
    fine = solver(eps, angle, kind, how)[0]
    begun = noise[tuple(map(slice, fine.grid.shape))]
    error = smoothed(fine, begun, sweeps.value)
    factor = measured(eps, angle, kind, how)
    smoother, strong = how
    seen = halved(eps, angle, strong)
    mu = fourier.smoothing_factor(operator(eps, angle), smoother, halved=seen)
    symbol = fourier.amplification(operator(eps, angle), smoother, theta)

    fig = canvas.clear()
    cells = fig.add_gridspec(
        1, 3, width_ratios=[1, 1, 1.35], wspace=0.62, left=0.06, right=0.98, bottom=0.15, top=0.9
    )
    left, middle, right = map(fig.add_subplot, cells)
    plot_field(left, error, cmap="RdBu_r", vmin=-1, vmax=1)
    left.set(title=f"error after {sweeps.value} sweeps", xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    plot_symbol(middle, symbol, f"symbol, μ = {mu:.3f}", seen, whole=True)
    names = dict(zip(remedies.values(), ("both axes", "strong axis first", "lines"), strict=True))
    plot_factors(
        right,
        {name: curve(angle, each) for each, name in names.items()},
        {"V(1,1)": ([exponent.value], [factor])},
        "log ε",
        like={"V(1,1)": names[how]},
    ).set_ylim(0, 1.3)
    right.set(title="factor on two grids", ylabel="", xticks=[-3, -2, -1, 0], yticks=[0, 0.5, 1])
    right.legend(loc="upper right", ncols=2, frameon=False, fontsize="small", handlelength=2.2,
                 columnspacing=1)  # fmt: skip
    note = "" if kind == sides.value else "; no Neumann sides at an angle: Dirichlet's instead"
    share = fourier.roughness(error, kind, seen) / fourier.roughness(begun, kind, seen)
    number = mo.stat(
        f"{share:.2g}",
        label=f"what is left after {sweeps.value} sweeps of what a coarser grid cannot see{note}",
        caption=f"V(1,1) leaves {factor:.3f} of the error, measured; two grids "
        f"{predicted(eps, min(angle, 90 - angle), how):.3f}, predicted",
        bordered=True,
    )
    mo.vstack([number, mo.image(canvas.url(), alt="error, symbol and factors")])
    return


@app.cell
def _():
    mo.md(r"""
    | at these settings | expect |
    |:---|:---|
    | $\log_{10} \varepsilon = 0$ | $.0073$ after 5 sweeps; $\mu = .250$; factor $.062$ |
    | $-1$, angle 0, points, both axes | $.083$; $\mu = .826$; factor $.674$, hardly less than $\mu^2$ |
    | the same, the strong axis first; lines | $.014$; $.0033$; $\mu = .125$; factor $.083$; $.078$ |
    | $-3$, angle 0: points; lines | $.34$; $.000012$; factor $.986$; $.025$ |
    | $-2$, angle 15°: points; the strong axis first; lines | factor $.855$; $.654$; $.466$: better, not good |
    | $-2$, angle 45°, the same | factor $.810$; $.948$; $.780$: no axis is the strong one |
    | periodic, $-1$, angle 0: points; the strong axis first | factor $.673$; $.084$ |
    | periodic, $-3$, angle 0, the strong axis first | factor $.545$: its last four nodes stay |
    | $-2$, angle 0; 15°; 45°, lines on two grids | $.052$; $.369$; $.471$ |

    Inside the dashed line is what the coarser grid sees, and $\mu$ what one sweep leaves of the rest
    at most. *Lines* (zebra): every second line along the strong axis is solved at once, then the
    others. Where the strong direction lies between the axes nothing here is good: many grids leave
    more than two would, most of all with the strong axis first, as coarser and coarser grids see
    less and less of a direction that is none of theirs. W cycles leave less.

    With the strong axis first many grids leave more than two even at angle 0: at $-1$ the factor is
    $.083$, where two grids have $.050$. A V cycle solves its coarse problems by one cycle, which is
    not enough; W cycles, by two, have $.048$.

    Sides change little, but for one thing: a periodic axis ends at four nodes, along which errors
    that are constant stay strong.

    ### The equation, and the lines that are it

    Red-black Gauss-Seidel leaves of a high frequency
    $\left(1 - \hat A(\theta)/D\right)^2$ or so, and $\hat A$ is small wherever $\theta_s$ is. Which
    errors smoothing has to remove depends on which axes are halved:

    ```python
    # mgcore/grid.py
    axis.can_coarsen and h < limit * min(able)
    ```

    Or a sweep takes lines, $u \leftarrow u + \omega\, T^{-1} (g - A u)$ with $T$ the part of $A$ along
    them, in place of its diagonal:

    ```python
    # mgcore/stencil_level.py
    zebra.solve(u, state.loads, r, self._A, walk, lines, omega, self._scale)
    ```

    ### Exercises

    1. *Explore.* At which $\varepsilon$ does halving the strong axis first begin to pay? At which
       angle does it stop?
    2. *Extend.* One cycle as a preconditioner of conjugate gradients
       (`levels.as_preconditioner()`) takes out the few modes that a cycle cannot. At 45° and
       $\varepsilon = .01$, how many iterations replace 60 to 70 cycles with points to $10^{-8}$?
    """)
    return


@app.cell
def _():
    mo.accordion(
        {
            "Source: mgcore/grid.py, which axes are halved": mo.md(
                f"```python\n{inspect.getsource(Grid.halved_axes)}\n```"
            ),
            "Source: mgcore/fourier.py, two grids": mo.md(
                f"```python\n{inspect.getsource(fourier.two_grid_symbol)}\n```"
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
