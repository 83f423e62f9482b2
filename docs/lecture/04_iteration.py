"""Iteration: which errors a smoother takes away, and which it leaves to coarser grids."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="4 Iteration", css_file="pages.css")

with app.setup:
    import inspect
    from pathlib import Path

    import marimo as mo
    import numpy as np

    from mgcore import GaussSeidel, Jacobi, Stencil, fourier, poisson_levels, smoothers
    from mgcore.canvas import Canvas
    from mgcore.convergence import smoothed
    from mgcore.plotting import plot_alias, plot_spectrum, plot_surface, plot_symbol

    canvas = Canvas(10.4, 4.8, font=11.2)


@app.cell
def _():
    mo.md(r"""
    # 4 Iteration

    $u^i = u^{i-1} + B\,(g - A u^{i-1})$ with $B = \omega\,\mathrm{diag}(A)^{-1}$ (Jacobi) or
    $B = (\mathrm{diag}(A) / \omega + L)^{-1}$, $L$ being the part of $A$ below the diagonal
    (Gauss-Seidel): **which part of the error goes, and which stays however often you sweep?**

    /// admonition | Predict first
    The error below is noise: all frequencies are in it, equally strong. What does it look like
    after five sweeps? Mode 30 swings from node to node: what does a grid of every second node take
    it for?
    ///
    """)
    return


@app.cell
def _():
    omega = mo.ui.slider(0.1, 1.9, 0.05, value=0.8, label=r"$\omega$", show_value=True)
    sweeps = mo.ui.slider(0, 10, 1, value=1, label=r"sweeps $\nu$", show_value=True)
    k = mo.ui.slider(1, 31, 1, value=24, label="mode $k$", show_value=True)
    kinds = {
        "Jacobi": lambda omega: Jacobi(omega),
        "red-black Gauss-Seidel": lambda omega: GaussSeidel("redblack", omega),
        "lexicographic Gauss-Seidel": lambda omega: GaussSeidel("lexicographic", omega),
    }
    kind = mo.ui.dropdown(kinds, value="Jacobi", label="smoother")
    mo.hstack([omega, sweeps, k, kind], justify="start", gap=2, wrap=True)
    return k, kind, omega, sweeps


@app.cell
def _():
    m = 32  # mesh widths a side
    A = Stencil.laplacian((1.0, 1.0))
    line = np.linspace(0, np.pi, m + 1)
    theta = np.ix_(line, line)
    noise = np.zeros((m + 1, m + 1))
    noise[1:-1, 1:-1] = np.random.default_rng(0).standard_normal((m - 1, m - 1))
    largest = abs(fourier.spectrum(noise)).max()

    def after(smoother, sweeps, error):
        """What is left of an error on the finest grid of a real solver."""
        return smoothed(
            poisson_levels(error.shape, smoother=smoother, coarsest=1)[0], error, sweeps
        )

    for _smoother in ("jacobi", "redblack", "lexicographic"):
        after(_smoother, 1, noise)  # compiled as the page opens, so that no slider has to wait
    return A, after, largest, line, m, noise, theta


@app.cell
def _(A, after, k, kind, largest, line, m, noise, omega, sweeps, theta):
    smoother = kind.value(omega.value)
    error = after(smoother, sweeps.value, noise)
    mode = np.outer(*[np.sin(k.value * line)] * 2)
    left = np.linalg.norm(after(smoother, sweeps.value, mode)) / np.linalg.norm(mode)
    mu = fourier.smoothing_factor(A, smoother)
    symbol = fourier.amplification(A, smoother, theta)
    predicted = fourier.amplification(A, smoother, [k.value * np.pi / m] * 2, sweeps.value)

    fig = canvas.clear()
    grid = fig.add_gridspec(
        2, 3, width_ratios=[1.4, 1, 1], height_ratios=[1.6, 1], wspace=0.78, hspace=0.6,
        left=0.01, right=0.92, bottom=0.1, top=0.93,
    )  # fmt: skip
    surface = fig.add_subplot(grid[:, 0], projection="3d")
    plot_surface(surface, error, 3.0).set_box_aspect(None, zoom=1.15)
    surface.set_title(f"error, ν = {sweeps.value}")
    both = (k.value, k.value)
    spectrum, gains, signal = map(fig.add_subplot, (grid[0, 1], grid[0, 2], grid[1, 1:]))
    plot_spectrum(spectrum, fourier.spectrum(error), largest, both).set_title("spectrum")
    plot_symbol(gains, symbol, f"symbol, μ = {mu:.3f}", at=[k.value / m] * 2)
    plot_alias(signal, k.value, m)
    number = mo.stat(
        f"{left:.3g}",
        label=f"what is left of mode ({k.value}, {k.value}), ν = {sweeps.value}",
        caption=f"Fourier analysis: {predicted:.3g}",
        bordered=True,
    )
    mo.vstack([number, mo.image(canvas.url(), alt="error, spectrum, symbol and alias")])
    return


@app.cell
def _():
    mo.md(r"""
    | at these settings | expect |
    |:---|:---|
    | Jacobi, $\omega = 0.8$: the smoothing factor, and one sweep on mode 24 | $\mu = .600$; $.366$ |
    | Jacobi, $\omega = 1$, one sweep on mode 31 | $.995$: the highest frequency stays |
    | Gauss-Seidel, $\omega = 1$ | $\mu = .250$ red-black, $.500$ lexicographic |
    | either, $\omega = 1$, ten sweeps on mode 1 | $.91$: only a coarser grid can take this one |

    Inside the dashed line is what a coarser grid sees. Red-black sweeps leave of mode 31 as much as
    of mode 1, and yet $\mu = .250$: what they leave is not mode 31. Red and black turn it into mode
    1, which the coarser grid takes.

    Fourier analysis knows no sides. Jacobi and red-black sweeps map sines to sines, which are zero
    there, and leave just what it says; lexicographic sweeps do not, and leave another part.

    ### The slide's equation, and the line that is it

    $u \leftarrow u + \omega D^{-1} (g - A u)$ takes mode $\theta$ to
    $1 - \omega \hat A(\theta) / D$ of itself:

    ```python
    # mgcore/fourier.py
    correction = omega * A / diagonal
    step = step - _mixing(np.broadcast_to(mask, shape)) @ (correction[..., None] * step)
    ```

    ### Exercises

    1. *Explore.* Which $\omega$ makes Jacobi's $\mu$ smallest? Which modes decide it? And for
       red-black?
    2. *Extend.* `mgcore.Chebyshev(2)` is two Jacobi sweeps with two different $\omega$. Put it
       among the smoothers of this page: is $\mu = 9/41$?
    """)
    return


@app.cell
def _():
    mo.accordion(
        {
            "Source: mgcore/fourier.py, the symbol": mo.md(
                f"```python\n{inspect.getsource(fourier.smoother_symbol)}\n```"
            ),
            "Source: mgcore/smoothers.py, Jacobi": mo.md(
                f"```python\n{inspect.getsource(smoothers.Jacobi)}\n```"
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
