"""Separation and logistic regression: as lambda falls, the line becomes that of the SVM."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(
    width="medium", app_title="1 Separation and logistic regression", css_file="pages.css"
)

with app.setup:
    import inspect
    from functools import cache
    from pathlib import Path

    import marimo as mo
    import numpy as np

    from mgcore.canvas import Canvas
    from mgnet import separation as sep
    from mgnet.plotting import plot_boundaries, plot_norms

    canvas = Canvas(12, 5.6, left=0.06, right=0.99, bottom=0.13, top=0.84, wspace=0.15)


@app.cell
def _():
    mo.md(r"""
    # 1 Separation and logistic regression

    Many lines separate two sets. **Which one does logistic regression choose?**

    /// admonition | Predict first
    The penalty $\lambda$ falls towards 0. Does the line come to rest, and where? Do the weights?
    Then the ringed point crosses over to the other set: what do the weights do now?
    ///
    """)
    return


@app.cell
def _():
    penalties = [10.0**p for p in range(2, -17, -1)]
    penalty = mo.ui.slider(steps=penalties, value=1.0, label=r"$\lambda$", show_value=True)
    stray = mo.ui.slider(0, 1, 0.1, value=0.5, label="ringed point moved by", show_value=True)
    kinds = {"two clouds": sep.clouds, "disc and ring": sep.disc_and_ring}
    kind = mo.ui.dropdown(kinds, value="two clouds", label="sets")
    lifted = mo.ui.switch(label="feature $x_1^2 + x_2^2$")
    mo.hstack([penalty, stray, kind, lifted], justify="start", gap=2, wrap=True)
    return kind, kinds, lifted, penalties, penalty, stray


@app.cell
def _(kinds, penalties):
    @cache
    def solved(make, moved, lifted):
        """The sets, the minimisers for all lambdas, and the SVM's line if there is one."""
        points, first = make(moved)
        x = sep.with_radius(points) if lifted else points
        lines = [sep.logistic_regression(x, first, value) for value in penalties]
        svm = sep.maximum_margin(x, first) if sep.separable(x, first) else None
        return points, first, lines, svm

    for _make in kinds.values():
        solved(_make, 0.5, True)  # as the page opens, so that no slider has to wait
    return (solved,)


@app.cell
def _(kind, lifted, penalties, penalty, solved, stray):
    points, first, lines, svm = solved(kind.value, stray.value, lifted.value)
    here = penalties.index(penalty.value)
    feature = sep.with_radius if lifted.value else np.asarray
    boundaries = {"logistic regression": lambda x: lines[here](feature(x))}
    if svm is not None:
        boundaries["SVM"] = lambda x: svm(feature(x))
    norms = [np.linalg.norm(line.w) for line in lines]

    left, right = canvas.clear().subplots(1, 2)
    plot_boundaries(left, points, first, boundaries, stray=0)
    plot_norms(right, np.array(penalties), np.array(norms), here)
    number = mo.stat(
        "inseparable" if svm is None else f"{lines[here].angle(svm):.2f}°",
        label="angle between w and the SVM's w",
        caption=f"length of the weights: {norms[here]:.1f}",
        bordered=True,
    )
    mo.vstack([number, mo.image(canvas.url(), alt="two sets, lines between them, |w|")])
    return


@app.cell
def _():
    mo.md(r"""
    | at these settings | expect |
    |:---|:---|
    | two clouds, moved by 0.5, $\lambda = 1$ | 19.19°, $\lVert w\rVert = 2.0$ |
    | the same, $\lambda = 10^{-4}$; $10^{-16}$ | 5.94°; 1.04°, $\lVert w\rVert = 117.8$ |
    | moved by 1 | inseparable; $\lVert w\rVert = 3.8$ from $\lambda = 10^{-4}$ on |
    | disc and ring, moved by 0, without the feature | inseparable |
    | the same, with it, $\lambda = 1$; $10^{-3}$; $10^{-16}$ | 1.29°; 3.21°; 1.21° |

    ### The slide's equation, and the line that is it

    $$L_\lambda(\theta) = \sum_j -\log p(x_j; \theta) + \lambda \|\theta\|^2$$

    ```python
    # mgnet/separation.py
    return float(np.logaddexp(0, -rows @ theta).sum() + theta**2 @ ridge / 2)
    ```

    `rows` are $(x_j, 1)$, with a minus sign on $A_2$; `ridge` is $2 \lambda$, and 0 for $b$. The
    theorem: for separable sets $L_0$ has no minimiser, and for small $\lambda$ that of $L_\lambda$
    separates. More is true: its direction tends to the SVM's. In the end the angle falls as
    $1 / \|w\|$ (before, it may rise), and $\|w\|$ grows as $\log(1/\lambda)$ over the margin:
    slowly. Inseparable sets have a minimiser
    of $L_0$, and the curve levels off.

    ### Exercises

    1. *Explore.* How far must the ringed point go before the sets are inseparable? What do you see
       first, the line or $\|w\|$? Is the line with the widest margin the one you would trust?
    2. *Extend.* `logistic_regression` has two classes. The lecture has $k$, with $w_1, \dots, w_k$:
       which vectors can be added to all of them without a change of $p$? Write it for three.
    """)
    return


@app.cell
def _():
    mo.accordion(
        {
            "Source: mgnet/separation.py": mo.md(f"```python\n{inspect.getsource(sep)}\n```"),
        }
    )
    return


@app.cell
def _():
    mo.download(Path(__file__).read_bytes, Path(__file__).name, label="source of this page")
    return


if __name__ == "__main__":
    app.run()
