"""Function classes: how fast networks with one hidden layer approximate a function."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="2 Function classes", css_file="pages.css")

with app.setup:
    import inspect
    from functools import cache
    from pathlib import Path

    import marimo as mo

    from mgcore.canvas import Canvas
    from mgnet import greedy
    from mgnet.plotting import plot_approximation, plot_greedy

    canvas = Canvas(12, 5.6, left=0.06, right=0.99, bottom=0.13, top=0.9, wspace=0.25)


@app.cell
def _():
    mo.md(r"""
    # 2 Function classes

    $f_n(x) = \sum_{i=1}^n a_i\, \sigma(w_i x + b_i)$: **how fast does the error fall with the
    number of neurons, and for which $\sigma$ does it fall at all?**

    /// admonition | Predict first
    Twice as many neurons: is the error half as large? Does a higher power $k$ help? And
    $\sigma(t) = t^k$ in place of $\mathrm{ReLU}(t)^k$?
    ///
    """)
    return


@app.cell
def _():
    neurons = mo.ui.slider(
        steps=[1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128], value=8, label="neurons $n$",
        show_value=True,
    )  # fmt: skip
    degree = mo.ui.slider(0, 3, 1, value=1, label="power $k$", show_value=True)
    axes = mo.ui.slider(1, 2, 1, value=1, label="dimension $d$", show_value=True)
    kinds = {"ReLU(t)^k": greedy.relu_power, "t^k": greedy.power}
    sigma = mo.ui.dropdown(kinds, value="ReLU(t)^k", label=r"$\sigma(t)$")
    mo.hstack([neurons, degree, axes, sigma], justify="start", gap=2, wrap=True)
    return axes, degree, kinds, neurons, sigma


@app.cell
def _(kinds):
    @cache
    def approximated(make, k, d):
        return greedy.orthogonal_greedy(greedy.bump, make(k), d, 128)

    for _make in kinds.values():
        for _k in range(4):
            for _d in (1, 2):
                approximated(_make, _k, _d)  # as the page opens, so that no slider has to wait
    return (approximated,)


@app.cell
def _(approximated, axes, degree, neurons, sigma):
    found = approximated(sigma.value, degree.value, axes.value)
    rate = greedy.theorem_rate(degree.value, axes.value)
    used = min(neurons.value, len(found))
    counted = "1 neuron" if used == 1 else f"{used} neurons"

    left, right = canvas.clear().subplots(1, 2)
    relu = sigma.value is greedy.relu_power
    rates = {f"$n^{{{rate:g}}}$": rate, "$n^{-1/2}$": -0.5} if relu else {}
    plot_approximation(left, found, neurons.value, kinks=relu)
    plot_greedy(right, found, neurons.value, rates)
    if relu:
        number = mo.stat(
            f"{found.error(neurons.value):.2e}".replace("-", "−"),
            label=f"error with {counted}",
            caption=f"slope from n = 8 on: {found.slope():.2f}, the theorem's: {rate:g}".replace(
                "-", "−"
            ),
            bordered=True,
        )
    else:
        number = mo.stat(
            f"{found.error(neurons.value):.3f}",
            label=f"error with {counted}",
            caption=f"all polynomials of degree {degree.value} are spanned by {len(found)}: then it "
            f"is {found.errors[-1]:.3f}",
            bordered=True,
        )
    mo.vstack([number, mo.image(canvas.url(), alt="f and f_n; the error against n")])
    return


@app.cell
def _():
    mo.md(r"""
    | at these settings | expect |
    |:---|:---|
    | ReLU, $k = 1$, $d = 1$, 8; 32 neurons | error 0.0306; 0.0017: four times as many, 18 times less |
    | the same | slope $-2.05$; the theorem has $-2$ |
    | ReLU$^2$; ReLU$^3$, $d = 1$ | $-3.21$; $-4.5$ for $-3$; $-4$ |
    | ReLU, $k = 1$, $d = 2$ | $-1.27$ for $-1.25$ |
    | $t^3$, $d = 1$; $d = 2$ | 0.223; 0.727 from 4; 10 neurons on |

    ### The slide's equation, and the lines that are it

    $$\inf_{f_n \in \Sigma_n^\sigma} \|f - f_n\|_{L^2} \lesssim n^{-\frac12 - \frac{2k+1}{2d}}$$

    ```python
    # mgnet/greedy.py
    return -0.5 - (2 * k + 1) / (2 * d)
    ```

    for $f$ with enough derivatives (in the variation space of $\sigma$). The greedy algorithm reaches
    that rate (Siegel & Xu 2022). With what is left, $r = f - f_{n-1}$,
    it takes as next neuron $g_n = \operatorname{argmax}_g |\langle g, r \rangle|$, and projects $f$
    onto the span of $g_1, \dots, g_n$:

    ```python
    # mgnet/greedy.py
    best = int(np.argmax(abs(g @ rest)))
    rest -= coefficients[i] * basis[i]
    ```

    ### Exercises

    1. *Explore.* Where do the first kinks go, and where do 48 of them lie closest? Compare with a
       spline on equal steps. Why does $k = 0$ need so many?
    2. *Extend.* `orthogonal_greedy` takes any `sigma`. Is the logistic function
       $1 / (1 + e^{-t})$ a polynomial in disguise? What about $w$ of other lengths than 1?
    """)
    return


@app.cell
def _():
    mo.accordion(
        {
            "Source: mgnet/greedy.py": mo.md(
                f"```python\n{inspect.getsource(greedy.orthogonal_greedy)}\n```"
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
