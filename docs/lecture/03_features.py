"""Convolution and features: edges in a photograph, on grids from fine to coarse."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="3 Convolution and features", css_file="pages.css")

with app.setup:
    import inspect
    from pathlib import Path

    import marimo as mo

    from mgcore.canvas import Canvas
    from mgnet import filters
    from mgnet.plotting import plot_picture, plot_stencil

    canvas = Canvas(12, 5.9, left=0, right=1, bottom=0.0, top=0.95, wspace=0.05, hspace=0.12)


@app.cell
def _():
    mo.md(r"""
    # 3 Convolution and features

    Nine numbers, moved over a photograph: **what do they see, and does a coarser grid see the
    same?**

    /// admonition | Predict first
    Which kernel sees the lines of the roofs, which the pillars? What does ReLU throw away? And with
    a quarter of the pixels, from $V_1$ to $V_2$: how much of the contrast is gone, and is it twice
    as much on $V_3$?
    ///
    """)
    return


@app.cell
def _():
    level = mo.ui.slider(1, 4, 1, value=1, label=r"$V_\ell$: level $\ell$", show_value=True)
    width = mo.ui.slider(
        0, 4, 0.5, value=1, label=r"width of the Gaussian, in pixels of $V_\ell$", show_value=True
    )
    kernel = mo.ui.dropdown(filters.KERNELS, value="-Laplace", label="kernel")
    names = {"temple": "china", "flower": "flower"}
    name = mo.ui.dropdown(names, value="temple", label="photograph")
    mo.hstack([level, width, kernel, name], justify="start", gap=2, wrap=True)
    return kernel, level, name, width


@app.cell
def _(name):
    photograph = filters.photograph(name.value)
    return (photograph,)


@app.cell
def _(kernel, level, photograph, width):
    x = filters.piecewise_constant(photograph, level.value)
    seen = filters.extract(x, kernel.value, width.value)

    fig = canvas.clear()
    grid = fig.add_gridspec(2, 5)
    plot_picture(fig.add_subplot(grid[0, :2]), x, f"photograph in $V_{level.value}$")
    plot_stencil(fig.add_subplot(grid[0, 2]), kernel.value.to_array(), "kernel")
    plot_picture(fig.add_subplot(grid[0, 3:]), seen.filtered, "kernel * Gaussian * x", signed=True)
    plot_picture(fig.add_subplot(grid[1, :2]), seen.positive, "ReLU")
    plot_stencil(fig.add_subplot(grid[1, 2]), filters.AVERAGE.to_array(), "average", digits=2)
    plot_picture(fig.add_subplot(grid[1, 3:]), seen.average, "feature")
    number = mo.stat(
        f"{seen.average.mean():.2e}",
        label=f"mean of the feature, with a Gaussian of width {width.value:g}",
        caption=f"{filters.left_out(photograph, level.value):.1%} of the photograph's contrast is "
        f"finer than the pixels of V{'₁₂₃₄'[level.value - 1]}",
        bordered=True,
    )
    mo.vstack([number, mo.image(canvas.url(), alt="a photograph on its way to a feature")])
    return


@app.cell
def _():
    mo.md(r"""
    | at these settings | expect |
    |:---|:---|
    | temple, $V_1$; $V_2$; $V_3$; $V_4$ | 0.0 %; 18.7 %; 25.0 %; 30.2 % |
    | flower, the same | 0.0 %; 15.2 %; 24.5 %; 33.5 % |
    | temple, -Laplace, width 1; 2 on $V_1$ | the feature's mean 0.0104; 0.0032 |
    | -Laplace, width 0, then 2 | noise and leaves, then outlines |

    What is smooth would be missed twice as much from level to level, an edge $\sqrt 2$ times, what
    is rough all over hardly more on one level than on the next: a photograph is edges and texture.

    ### The slide's equation, and the line that is it

    $$(K * x)_{i,j} = \sum_{s,t=-1}^{1} K_{s,t}\, x_{i+s,\,j+t}$$

    ```python
    # mgcore/stencil.py
    total = total + weight * wide[window]
    ```

    The same line applies the $A$ of a Poisson problem: the third kernel *is* that $A$. ReLU and the
    projection onto $V_\ell$, a mean over blocks, are

    ```python
    # mgnet/filters.py
    positive = np.maximum(filtered, 0)
    return x.reshape(rows // side, side, columns // side, side).mean((1, 3))
    ```

    ### Exercises

    1. *Explore.* Find a width and a level at which the temple's outline is there and the leaves are
       not. Can the level alone do it, with width 0? Who finds the same edge at less cost?
    2. *Extend.* ReLU keeps one side of an edge. Add the kernels with the other sign to `KERNELS`:
       how many does a feature need that does not care which side is bright?
    """)
    return


@app.cell
def _():
    mo.accordion(
        {
            "Source: mgnet/filters.py": mo.md(f"```python\n{inspect.getsource(filters)}\n```"),
        }
    )
    return


@app.cell
def _():
    mo.download(Path(__file__).read_bytes, Path(__file__).name, label="source of this page")
    return


if __name__ == "__main__":
    app.run()
