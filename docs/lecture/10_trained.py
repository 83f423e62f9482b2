"""Fixed against trained: three weights by hand, three by back-propagation, and SOR."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="10 Fixed against trained", css_file="pages.css")

with app.setup:
    import inspect
    from pathlib import Path

    import marimo as mo
    import numpy as np
    import torch

    import mgnet
    from mgcore import Stencil, asymptotic_factor, fourier, poisson_levels, v_cycle
    from mgcore.canvas import Canvas
    from mgcore.convergence import cycle_seconds
    from mgcore.plotting import plot_symbol
    from mgnet import SymmetricKernel, train_smoother
    from mgnet.plotting import plot_digits

    canvas = Canvas(14, 4.0, font=14.5, left=0.055, right=0.985, bottom=0.16, top=0.9)

    torch.set_num_threads(1)  # the browser needs the other core: waiting for it takes longer


@app.cell
def _():
    mo.md(r"""
    # 10 Fixed against trained

    A smoother $u \leftarrow u + h^2 K * (g - A * u)$ with a symmetric $3 \times 3$ kernel $K$ has
    three weights. **Can you find better ones than training does, and is training better than SOR?**

    /// admonition | Predict first
    With the centre alone this is Jacobi, and a cycle V(1,1) leaves .36 of the error. Which sign do
    the edge and the corner want? How far down do three numbers get?
    ///
    """)
    return


@app.cell
def _():
    centre = mo.ui.slider(0.1, 0.45, 0.0125, value=0.2, label="centre", show_value=True)
    edge = mo.ui.slider(-0.05, 0.15, 0.0125, value=0.0, label="edge", show_value=True)
    corner = mo.ui.slider(-0.05, 0.1, 0.0125, value=0.0, label="corner", show_value=True)
    mo.hstack([centre, edge, corner], justify="start", gap=2, wrap=True)
    return centre, corner, edge


@app.cell
def _():
    A = Stencil.laplacian((1.0, 1.0))
    line = np.linspace(0, np.pi, 65)
    theta = np.ix_(line, line)
    # By `python -m benchmarks.smoothers`, 1,000 steps on 63 x 63 unknowns.
    trained = SymmetricKernel([0.3246, 0.0925, 0.0330]).record()

    def solver(smoother):
        levels = poisson_levels((65, 65), smoother=smoother, coarsest=1)
        return levels, v_cycle(len(levels))

    fixed = {"trained": solver(trained), "red-black": solver("redblack"), "SOR": solver("sor")}
    factors = {name: asymptotic_factor(*pair) for name, pair in fixed.items()}

    def seen(smoother):
        """What one step leaves of each frequency, and at most of high ones."""
        return fourier.amplification(A, smoother, theta), fourier.smoothing_factor(A, smoother)

    known = {"trained": seen(trained), "SOR": seen("sor")}
    return factors, fixed, known, seen, solver


@app.cell
def _(centre, corner, edge, factors, fixed, known, seen, solver):
    by_hand = SymmetricKernel([centre.value, edge.value, corner.value]).record()
    solvers = {"by hand": solver(by_hand), **fixed}
    measured = {"by hand": asymptotic_factor(*solvers["by hand"]), **factors}
    seconds = cycle_seconds(solvers)

    grid = canvas.clear().add_gridspec(1, 5, width_ratios=[1, 1, 1, 0.6, 1.3], wspace=0.28)
    *symbols, digits = (grid.figure.add_subplot(grid[k]) for k in (0, 1, 2, 4))
    spectra = {"by hand": seen(by_hand), **known}
    for ax, (name, (left, mu)) in zip(symbols, spectra.items(), strict=True):
        plot_symbol(ax, left, f"{name}: μ = {mu:.3f}", bar=ax is symbols[-1])
        if ax is not symbols[0]:
            ax.set(ylabel="", yticks=[])
    plot_digits(digits, {name: (f, seconds[name]) for name, f in measured.items()})
    number = mo.stat(
        f"{measured['by hand']:.3f}",
        label="what V(1,1) with the kernel by hand leaves of the error",
        caption=f"trained {factors['trained']:.3f}, SOR {factors['SOR']:.3f}; 65 x 65 nodes",
        bordered=True,
    )
    mo.vstack([number, mo.image(canvas.url(), alt="three spectra, and the time for a digit")])
    return


@app.cell
def _():
    mo.md(r"""
    | at these settings | expect |
    |:---|:---|
    | .2, 0, 0: Jacobi | factor .362, $\mu = .600$ |
    | .3, .075, .025 | .114, $\mu = .200$ |
    | .325, .0875, .0375 | .110, $\mu = .302$: a worse smoother in a better cycle |
    | trained; red-black; SOR 1.15 | .103; .120; .044, $\mu = .307$; $.250$; $.240$ |
    | trained below, from .2, 0, 0 | .12 |

    Inside the dashed line is what the coarser grid sees, and orange is what grows. SOR makes the highest
    frequencies, $\theta = (\pi, \pi)$, 1.32 times as large, but not as what they are: red and black
    turn them into smooth ones, which the coarser grid takes. So its $\mu$, what is left of high ones as high
    ones, is small all the same.

    In time the compiled red-black passes win, as half of a cycle is one pass over memory there; how
    much is measured anew with each picture, on this machine, all four in turns.

    ### The equation, and the lines that are it

    $u \leftarrow u + h^2 K * (g - A * u)$ takes mode $\theta$ to
    $1 - h^2 \hat K(\theta) \hat A(\theta)$ of itself. Training descends along the gradient of the
    logarithm of the second of two factors, back through both cycles:

    ```python
    # mgnet/kernel.py
    once = fine.solution(run(levels, path, fine.start(zero, error)))
    twice = fine.solution(run(levels, path, fine.start(zero, once)))
    ratio = _norm(twice) / _norm(once)
    loss = ratio.log().mean()
    ```

    ### Trained before your eyes

    From your three weights, 200 steps on 15 x 15 unknowns:
    """)
    return


@app.cell
def _():
    go = mo.ui.run_button(label="train from here, a few seconds")
    go
    return (go,)


@app.cell
def _(centre, corner, edge, go, solver):
    mo.stop(not go.value)
    _kernel = SymmetricKernel([centre.value, edge.value, corner.value])
    _small = mgnet.poisson_levels((17, 17), smoother=_kernel, coarsest=1)
    _factors = train_smoother(_small, steps=200, lr=0.004, progress=False)
    _weights = ", ".join(f"{weight:.4f}" for weight in _kernel.weights.tolist())
    _factor = asymptotic_factor(*solver(_kernel.record()))
    mo.md(
        f"$K$ = ({_weights}), centre, edge, corner: V(1,1) on 65 x 65 nodes leaves "
        f"**{_factor:.3f}** of the error. On the small grid {_factors[0]:.3f} became "
        f"{_factors[-1]:.3f}."
    )
    return


@app.cell
def _():
    mo.md(r"""
    ### Exercises

    1. *Explore.* Find weights with a smaller $\mu$ than the trained kernel's .307: the sliders have
       .200, three free numbers .159. Is the factor of the cycle smaller, too? Which low frequencies pay for it?
    2. *Extend.* `Kernel` takes any 3 x 3 stencil. For diffusion that is strong along one axis,
       `Stencil.diffusion(0.1)`, how many weights should the kernel have, and which symmetry?
    """)
    return


@app.cell
def _():
    mo.accordion(
        {
            "Source: mgnet/kernel.py": mo.md(f"```python\n{inspect.getsource(mgnet.kernel)}\n```"),
        }
    )
    return


@app.cell
def _():
    mo.download(Path(__file__).read_bytes, Path(__file__).name, label="source of this page")
    return


if __name__ == "__main__":
    app.run()
