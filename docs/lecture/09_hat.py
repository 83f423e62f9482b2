"""Hat functions: which frequencies a network learns first depends on its basis."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="9 Hat functions", css_file="pages.css")

with app.setup:
    import inspect
    import math
    from pathlib import Path

    import marimo as mo
    import numpy as np
    import torch

    from mgcore.canvas import Canvas
    from mgnet import frequency as fp
    from mgnet.plotting import plot_basis, plot_fit, plot_modes

    canvas = Canvas(13, 5.0, left=0.06, right=0.99, bottom=0.14, top=0.82, wspace=0.36)
    trained = Canvas(12, 4.8, left=0.1, right=0.99, bottom=0.14, top=0.84)

    torch.set_num_threads(1)  # the browser needs the other core: waiting for it takes longer


@app.cell
def _():
    mo.md(r"""
    # 9 Hat functions

    Hats and ReLUs on the same nodes span the same functions. **Does gradient descent find the same
    ones first?**

    /// admonition | Predict first
    The target has a slow, a middle and a fast wave. Which of them does a network with ReLU learn
    first? And one with hats? What happens as the support of a hat grows?
    ///
    """)
    return


@app.cell
def _():
    supports = [128, 64, 32, 16, 8, 4, 2, 1]
    support = mo.ui.slider(steps=supports, value=128, label="support $M$", show_value=True)
    step = mo.ui.slider(
        steps=[0, 1, 3, 10, 30, 100, 300, 1000, 10**4, 10**5, 10**6], value=1000,
        label="steps of training", show_value=True,
    )  # fmt: skip
    count = mo.ui.slider(steps=[32, 64, 128], value=64, label="neurons $n$", show_value=True)
    mo.hstack([support, step, count], justify="start", gap=2, wrap=True)
    return count, step, support


@app.cell
def _():
    x = fp.midpoints()
    waves = (1, 3, 7)
    modes = [k - 1 for k in waves]
    names = [rf"$\sin {2 * k}\pi x$" for k in waves]
    f = fp.sines(x, waves)
    times = np.unique(np.logspace(0, 6, 61).round()).astype(int)
    return f, modes, names, times, waves, x


@app.cell
def _(count, f, modes, names, step, support, times, waves, x):
    n = count.value
    phi = fp.neurons(x, n, support.value)
    now, *errors = fp.descend(phi, f, [step.value, *times])
    parts = fp.spectrum(np.array(errors), max(waves))[:, modes].T
    slow, *_, fast = fp.spectrum(now, max(waves))[modes]

    left, middle, right = canvas.clear().subplots(1, 3)
    fine = np.linspace(0, 1, 513)  # nodes among them
    plot_basis(left, fine, fp.neurons(fine, n, support.value), [n // 8, n // 2, 5 * n // 8])
    plot_fit(middle, x, f, f - now)
    plot_modes(right, times, dict(zip(names, parts, strict=True)), max(step.value, 1))
    number = mo.stat(
        f"{fast:.1%}",
        label=f"what is left of the fast wave, M = {support.value}, n = {n}",
        caption=f"of the slow one {slow:.1%}; condition number {fp.condition_number(phi):.1e}",
        bordered=True,
    )
    mo.vstack([number, mo.image(canvas.url(), alt="neurons, f and f_n, modes of the error")])
    return


@app.cell
def _():
    mo.md(r"""
    | at these settings | expect |
    |:---|:---|
    | $M = 128$ is ReLU; $n = 64$, 1,000 steps | fast wave 94.2 % left, slow one 6.0 % |
    | the same after 100,000; 1,000,000 steps | fast wave 71.7 %; 5.8 % |
    | $M = 1$, the lecture's hat, 3 steps | fast wave 0.1 %; condition number 4 |
    | twice as many neurons, ReLU | a condition number 17 times as large, as $n^4$; hats keep theirs |

    ### The slide's equation, and the lines that are it

    $$\varphi_i(x) = \varphi\Bigl(\frac{x - x_{i-1}}{2h}\Bigr)$$

    $$r_i(x) = \mathrm{ReLU}\Bigl(\frac{x - x_{i-1}}{2h}\Bigr)$$

    ```python
    # mgnet/frequency.py
    t = n / 2 * x - np.arange(n)[:, None] / 2  # (x - x_{i-1}) / (2 h)
    return 2 * np.maximum(np.minimum(t, support - t), 0)
    ```

    The factor 2 makes the hat's height 1; $r_i$ has it here, too.

    Gradient descent for the $a_i$ leaves $(1 - \lambda / \lambda_{\max})^t$ of what an eigenvector
    of the mass matrix has in the error. For hats $\lambda = h (2 + \cos\theta) / 3$, from $h/3$ to
    $h$, and $h/4$ for the half hat at the end: all modes fall within a factor of four. For ReLU the fast ones have tiny $\lambda$: that is the frequency principle, and page 4's
    smoother is its mirror image.

    ### All weights, trained before your eyes

    Above, $w$ and $b$ stay as they are, which has an exact solution. Here Adam trains all of
    $a$, $w$, $b$ of both networks, 64 neurons each, from the same start:
    """)
    return


@app.cell
def _():
    again = mo.ui.run_button(label="train both, 1,000 steps each")
    again
    return (again,)


@app.cell
def _(again, f, modes, names, waves):
    mo.stop(not again.value, mo.md("*a few seconds*"))
    marks = np.unique(np.logspace(0, 3, 40).round()).astype(int)
    for ax, title, width in zip(
        trained.clear().subplots(1, 2), ("ReLU", "hat, $M = 1$"), (math.inf, 1.0), strict=True
    ):
        lost = fp.train(fp.ShallowNetwork(64, width), f, marks, rate=0.005)
        found = fp.spectrum(lost, max(waves))[:, modes].T
        plot_modes(ax, marks, dict(zip(names, found, strict=True)))
        ax.set_xlabel(f"steps of training, {title}")
    mo.image(trained.url(), alt="modes of the error of both networks, all weights trained")
    return


@app.cell
def _():
    mo.md(r"""
    ### Exercises

    1. *Explore.* Is there a support at which the fast wave falls first? And when all weights are
       trained? Where does a hat of support $M$ begin to behave as ReLU: does that depend on $n$?
    2. *Extend.* `descend` is gradient descent. What would conjugate gradients make of a condition
       number of $10^8$? Write it in ten lines and draw its spectrum with `plot_modes`.
    """)
    return


@app.cell
def _():
    mo.accordion(
        {
            "Source: mgnet/frequency.py": mo.md(f"```python\n{inspect.getsource(fp)}\n```"),
        }
    )
    return


@app.cell
def _():
    mo.download(Path(__file__).read_bytes, Path(__file__).name, label="source of this page")
    return


if __name__ == "__main__":
    app.run()
