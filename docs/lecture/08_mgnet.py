"""MgNet: the multigrid cycle with trained kernels, on a picture of your own."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="8 MgNet", css_file="pages.css")

with app.setup:
    import inspect
    import io
    from functools import partial
    from pathlib import Path

    import marimo as mo
    import numpy as np
    import torch

    import mgnet
    from mgcore import run, v_cycle
    from mgcore.canvas import Canvas
    from mgnet import theorem
    from mgnet.decoding import read_picture, square_across
    from mgnet.filters import photograph_file
    from mgnet.patterns import FIVE_POINT, effect, principal_patterns, share
    from mgnet.plotting import plot_features, plot_picture, plot_sizes, plot_stencil
    from mgnet.table import published_sizes

    canvas = Canvas(
        10.4,
        4.6,
        font=11.9,
        left=0.005,
        right=0.995,
        bottom=0.01,
        top=0.93,
        wspace=0.02,
        hspace=0.3,
    )
    row = Canvas(10.4, 1.8, font=11.9, left=0.005, right=0.995, bottom=0.02, top=0.84, wspace=0.05)
    sizes = Canvas(12, 4.6, left=0.07, right=0.99, bottom=0.15, top=0.97)

    torch.set_num_threads(1)  # the browser needs the other core: waiting for it takes longer


@app.cell
def _():
    mo.md(r"""
    # 8 MgNet

    The same cycle solves $A u = g$ with a stencil that is given, and finds features of pictures
    with one that is trained. **What does the trained $A$ look like?**

    /// admonition | Predict first
    A solver's $A$ is the five-point stencil. Of nine random weights a ninth, 11 %, lies along it.
    How much of the trained $A$ does: more, less? And what is the rest?
    ///
    """)
    return


@app.cell
def _():
    level = mo.ui.slider(1, 3, 1, value=1, label=r"kernels of level $\ell$", show_value=True)
    pixels = mo.ui.slider(steps=[32, 64, 128], value=64, label="pixels a side", show_value=True)
    place = mo.ui.slider(0, 1, 0.1, value=0.2, label="cut out at", show_value=True)
    names = {"temple": "china", "flower": "flower"}
    name = mo.ui.dropdown(names, value="temple", label="photograph")
    upload = mo.ui.file(filetypes=[".png", ".jpg", ".jpeg", ".webp"], label="or one of yours")
    mo.hstack([level, pixels, place, name, upload], justify="start", gap=2, wrap=True)
    return level, name, pixels, place, upload


@app.cell
def _():
    seer = mgnet.load_pretrained("mgnet-cifar10-strided")
    exact = mgnet.load_pretrained(
        "mgnet-cifar10-strided"
    ).double()  # for the theorem: what differs is rounding
    return exact, seer


@app.cell
def _(seer):
    def drawn(number, A, B):
        """A level's kernels as a picture, and what stands above them."""
        panels = row.clear().subplots(1, 7)
        plot_stencil(panels[0], FIVE_POINT, "solver's $A$")
        for letter, weights, part in (("A", A, panels[1:4]), ("B", B, panels[4:])):
            patterns, shares = principal_patterns(weights)
            for ax, pattern, its in zip(part, patterns, shares, strict=False):
                plot_stencil(ax, pattern, f"${letter}^{number}$: {its:.0%}")
        return row.url(), ", ".join(ax.get_title().replace("$", "") for ax in panels)

    trained = [(each.A[0].weight, each.B[0].weight) for each in seer.network.levels]
    rows = [drawn(number, *pair) for number, pair in enumerate(trained, 1)]  # no state moves them
    return rows, trained


@app.cell
def _(name, pixels, place, upload):
    own = upload.value[0].contents if upload.value else None
    source = photograph_file(name.value) if own is None else io.BytesIO(own)
    try:
        picture = read_picture(source, pixels.value, partial(square_across, place=place.value))
    except ValueError:
        mo.stop(True, mo.callout("Your file is no picture that can be read: clear it.", "warn"))
    mo.md("Your picture is shown; clear its file to come back to the photographs.") if own else None
    return (picture,)


@app.cell
def _(exact, picture, seer):
    features = seer.features(picture)
    seen = seer.predict(picture)
    every = len(picture[0]) // 32  # 32 x 32 pixels say as much about rounding as more do
    small = exact.normalise(picture[None, :, ::every, ::every])
    gap = max(pair.gap for pair in theorem.residuals(exact.network, small))
    return features, gap, seen


@app.cell
def _(features, picture, seen):
    grid = canvas.clear().add_gridspec(3, 3)
    words = f"{seen.names[0]}? {seen.probabilities.max():.0%}"
    whole = grid.figure.add_subplot(grid[:, 0])
    plot_picture(whole, picture.permute(1, 2, 0).numpy() / 255, words)
    for k, u in enumerate(features):
        words = f"$u^{k + 1}$: 8 of {u.shape[1]} channels, {u.shape[2]} x {u.shape[3]} pixels"
        plot_features(grid.figure.add_subplot(grid[k, 1:]), u[0].numpy(), 8, words)
    view = canvas.url()
    return (view,)


@app.cell
def _(features, gap, level, pixels, place, rows, trained, view):
    kernels, titles = rows[level.value - 1]
    A, _ = trained[level.value - 1]
    number = mo.stat(
        f"{effect(A, FIVE_POINT, features[level.value - 1]):.2%}",
        label=f"part of ‖A u‖ on level {level.value} that A makes along the five-point stencil",
        caption=f"{share(A, FIVE_POINT):.1%} of its squared weights lie along it. {pixels.value}² "
        f"pixels, cut out at {place.value:g}; MgNet and pre-act ResNet {gap:.0e} apart on 32² of them",
        bordered=True,
    )
    figure = [
        mo.image(kernels, alt=f"kernels: {titles}"),
        mo.image(view, alt="the picture, and features on every level"),
    ]
    mo.vstack([number, *figure])
    return


@app.cell
def _():
    mo.md(r"""
    First row: the solver's stencil, and the three orthonormal patterns that the trained kernels
    consist of most, with their part: first an average, then mostly derivatives. Page 3's kernels,
    found by training. Below: what $u$ holds as each level is left, the channels that vary most.

    | at these settings | expect |
    |:---|:---|
    | $A^1$; $A^2$; $A^3$ along the five-point stencil | 3.3 %; 3.7 %; 4.8 %, less than by chance |
    | what that part makes of the temple's $A u$, 64 pixels, cut out at .2 | 5.1 %; 7.2 %; 3.4 % |
    | the same on level 1, 32; 128 pixels | 6.2 %; 4.3 %: smoother features, smaller derivatives |
    | the first pattern of $A^1$ | 30 %: all weights positive |
    | MgNet and pre-act ResNet, any picture | a difference of about $10^{-15}$: rounding |

    ### Two algorithms, line by line

    | | multigrid, on its way down | MgNet |
    |:---|:---|:---|
    | begin | $u \leftarrow 0$ | $u \leftarrow 0, \quad g \leftarrow \sigma(\theta * f)$ |
    | smooth | $u \leftarrow u + B (g - A u)$ | $u \leftarrow u + \sigma(B * \sigma(g - A * u))$ |
    | guess | $u' \leftarrow \Pi u$, here $\Pi = 0$ | $u' \leftarrow \sigma(\Pi *_2 u)$ |
    | residual | $r = g - A u$ | $r = g - A * u$ |
    | restrict | $g' \leftarrow R\, r + A' u'$ | $g' \leftarrow \sigma(R *_2 r) + A' * u'$ |

    ```python
    # mgnet/level.py
    def _iterate(self, state: S, kernels: nn.ModuleList, steps: int) -> S:
        e = self._residual(state, A)
        e = _pick(self.before, i)(e)
        e = _pick(kernels, i)(e)
        e = _pick(self.after, i)(e)
        state = self._correct(state, e, A)

    def _residual(self, state: State, A: nn.Module) -> Tensor:
        return state.g if state.u is None else state.g - A(state.u)

    def _below(self, u: Tensor | None, r: Tensor) -> State:
        return State(u, r + self.coarse.A[0](u))  # g' = R (g - A u) + A' u'
    ```

    The solver's levels run all of these lines but the last, with nothing for `before` and `after`:
    they have no $\Pi$, so $u' = 0$ and $g' = R\, r$, as on page 5. And one call walks both, a
    solver for 31 x 31 unknowns and the network on your picture:
    """)
    return


@app.cell
def _(seer):
    solver = mgnet.poisson_levels((33, 33), smoother="jacobi", coarsest=1)
    net = theorem.in_form(seer.network, "feature")  # of the two forms, the one above
    return net, solver


@app.cell
def _(net, picture, seer, solver):
    levels, cycle = solver, v_cycle(len(solver))
    g = np.ones((33, 33))
    given = run(levels, cycle, levels[0].start(g))

    f = net.stem(seer.normalise(picture[None]))
    learned = run(net.levels, net.cycle, net.levels[0].start(f))

    mo.hstack(
        [
            mo.vstack(
                [
                    mo.md("`run(levels, cycle, levels[0].start(g))`"),
                    mo.plain_text(f"{cycle}\n\nu: {tuple(given.u.shape)}"),
                ]
            ),
            mo.vstack(
                [
                    mo.md("`run(net.levels, net.cycle, net.levels[0].start(f))`"),
                    mo.plain_text(f"{net.cycle}\n\nu: {tuple(learned.u.shape)}"),
                ]
            ),
        ],
        widths="equal",
    )
    return


@app.cell
def _():
    mo.md(r"""
    ### MgNet and pre-act ResNet are one theorem

    With $r = g - A * u$, a step of MgNet is a block of a pre-act ResNet with $-A$ for its second
    kernel (He & Xu 2019): $r^i = r^{i-1} - A * \sigma(B * \sigma(r^{i-1}))$.

    ```python
    # mgnet/theorem.py
    r = r - A(after[i](B[i % len(B)](before[i](r))))
    ```

    Under the number above stands the largest difference between both on all levels, relative to the
    largest residual, in double precision, on 32 x 32 pixels of what you see.

    ### Parameters against accuracy

    What is published for CIFAR-100, where the published size is that of the network we build:
    """)
    return


@app.cell
def _():
    plot_sizes(sizes.clear().subplots(), published_sizes("CIFAR-100"), lines=False)
    mo.image(sizes.url(), alt="accuracy on CIFAR-100 against the number of parameters")
    return


@app.cell
def _():
    mo.md(r"""
    And what we trained on CIFAR-10, all with one recipe of twelve epochs
    (`python examples/reproduce.py --data DIR --tables sizes --compile`): at equal size MgNet and ResNet
    are one curve, a densely connected net lies above it and computes more, and so do networks
    that others trained for hundreds of epochs:
    """)
    return


@app.cell
def _():
    ours = Path(__file__).parents[1] / "sizes.png"
    mo.image(ours.read_bytes(), alt="accuracy on CIFAR-10 against the number of parameters")
    return


@app.cell
def _():
    mo.md(r"""
    ### Exercises

    1. *Explore.* Upload a photograph of a cat or a car. At which level do you no longer see where
       it is? Does the answer change with the cut? With more pixels than the 32 it was trained on?
    2. *Extend.* Take the two derivatives out of $A^1$: set its part along the second and the third
       pattern to zero, and let `seer.predict` read your pictures again. What did they do?
    """)
    return


@app.cell
def _():
    mo.accordion(
        {
            "Source: mgnet/level.py, both kinds of levels": mo.md(
                f"```python\n{inspect.getsource(mgnet.ConvLevel)}\n"
                f"{inspect.getsource(mgnet.FeatureLevel)}\n```"
            ),
            "Source: mgnet/theorem.py": mo.md(f"```python\n{inspect.getsource(theorem)}\n```"),
            "Source: mgcore/cycle.py, run": mo.md(f"```python\n{inspect.getsource(run)}\n```"),
        }
    )
    return


@app.cell
def _():
    mo.download(Path(__file__).read_bytes, Path(__file__).name, label="source of this page")
    return


if __name__ == "__main__":
    app.run()
