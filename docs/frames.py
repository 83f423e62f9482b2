"""The lecture's live pages as pages of the site: their text, and their figures under sliders.

A page of `docs/lecture` is run once; then the cell with its number and its figure is run for each
value of a slider, and the picture that it shows is kept. So a frame is what the live page shows in
that state. `FRAMES` says which sliders, and which of their values.
"""

from __future__ import annotations

import ast
import html
import io
import json
import re
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from inspect import cleandoc
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import numpy as np


class At(NamedTuple):
    """What a cell sees of a slider or a choice."""

    value: Any


class Slider(NamedTuple):
    """One slider of a live page, to be moved on the site.

    Attributes
    ----------
    name : str
        The page's variable.
    values : sequence
        Where it stops.
    label : str
        What stands beside it.
    others : callable, optional
        From the page's variables to those that are to differ from how the page opens.
    """

    name: str
    values: Sequence[Any]
    label: str
    others: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda page: {}


def fmg(page: Mapping[str, Any]) -> dict[str, Any]:
    """Full multigrid on as many grids as the page opens with."""
    kind = "full multigrid"
    return {"kind": At(kind), "path": page["kinds"][kind](page["grids"].value, 1, 1)}


def steps(first: float, last: float, step: float) -> list[float]:
    """Numbers at equal distances, the last one among them."""
    return [round(first + k * step, 10) for k in range(round((last - first) / step) + 1)]


NEURONS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128]

FRAMES = {
    "01_separation": [
        Slider("penalty", [10.0**p for p in range(2, -17, -1)], "λ"),
        Slider("stray", steps(0, 1, 0.1), "ringed point moved by"),
    ],
    "02_functions": [
        Slider("neurons", NEURONS, "neurons, k = 1"),
        Slider("neurons", NEURONS, "neurons, k = 3", lambda page: {"degree": At(3)}),
    ],
    "03_features": [
        Slider("width", steps(0, 4, 0.5), "width of the Gaussian"),
        Slider("level", range(1, 5), "level of V"),
    ],
    "04_iteration": [
        Slider("sweeps", range(11), "sweeps"),
        Slider("omega", steps(0.1, 1.9, 0.1), "ω"),
    ],
    "05_cycles": [
        Slider("visit", range(10), "visits of a V cycle"),
        Slider("visit", range(34), "visits of full multigrid", fmg),
    ],
    "06_anisotropy": [
        Slider("exponent", steps(-3, 0, 0.5), "log₁₀ ε, both axes halved"),
        Slider("exponent", steps(-3, 0, 0.5), "log₁₀ ε, the strong axis halved first",
               lambda page: {"coarsening": At(True)}),
        Slider("degrees", range(0, 91, 15), "angle in degrees"),
    ],
    "07_constraints": [
        Slider("load", range(0, 101, 5), "drain"),
        Slider("distance", steps(0, 0.8, 0.1), "distance of the springs"),
    ],
    "08_mgnet": [Slider("level", range(1, 4), "kernels of level")],
    "09_hat": [
        Slider("support", [128, 64, 32, 16, 8, 4, 2, 1], "support M"),
        Slider("step", [0, *(10**p for p in range(7))], "steps of training, M = 128"),
        Slider("step", [0, *(10**p for p in range(7))], "steps of training, M = 1",
               lambda page: {"support": At(1)}),
    ],
    "10_trained": [
        Slider("centre", steps(0.1, 0.45, 0.05), "centre"),
        Slider("edge", steps(-0.05, 0.15, 0.025), "edge, the others near the trained ones",
               lambda page: {"centre": At(0.325), "corner": At(0.0375)}),
    ],
}  # fmt: skip


def write_pages(app: Any) -> None:
    """A page of the site for each live page, and the list of them; the frames, if HTML is made."""
    source, folder = Path(app.srcdir, "lecture"), Path(app.srcdir, "live")
    folder.mkdir(exist_ok=True)
    names = sorted(path.stem for path in source.glob("[0-9]*.py"))
    rows = []
    for name in names:
        path = source / f"{name}.py"
        sliders = FRAMES.get(name, [])
        pictures = Path(app.outdir, "frames", name)
        if app.builder.format == "html" and sliders and not _newer(pictures, path):
            _draw(path, sliders, pictures)
        text = _text(path, "\n".join(_slider(pictures, k) for k in range(len(sliders))))
        _write(folder / f"{name}.md", text)
        rows.append(f"- [{_title(text)}]({name}.md): {_doc(path)}")
    lines = (Path(app.srcdir) / "lecture.md").read_text(encoding="utf-8")
    table = ["```{toctree}", ":hidden:", "", *names, "```", ""]
    _write(folder / "index.md", "\n".join([lines, *rows, "", *table]))


def _draw(path: Path, sliders: Sequence[Slider], folder: Path) -> None:
    """Run the page, then the cell that draws once for each value, and keep the pictures."""
    import marimo
    import matplotlib as mpl

    page, shown = load(path), []
    show = marimo.image
    marimo.image = lambda picture, **options: shown.append(picture)
    try:
        with mpl.rc_context():
            _, variables = page.app.run()
            known = {name: variables[name] for name in page.draw.refs if name in variables}
            folder.mkdir(parents=True, exist_ok=True)
            for k, slider in enumerate(sliders):
                others, files = slider.others(variables), []
                values = _values(slider, {**variables, **others})
                for number, value in enumerate(values):
                    shown.clear()
                    page.draw.run(**{**known, **others, slider.name: At(value)})
                    files.append(f"{k}-{number}.webp")
                    stacked(shown).save(folder / files[-1], quality=85)
                first = getattr(variables[slider.name], "value", values[0])
                about = {
                    "label": slider.label,
                    "values": [f"{value:g}" for value in values],
                    "files": files,
                    "start": int(np.argmin([abs(value - first) for value in values])),
                }
                (folder / f"{k}.json").write_text(json.dumps(about), encoding="utf-8")
    finally:
        marimo.image = show


def stacked(pictures: Sequence[bytes | str]) -> Any:
    """Pictures of equal width, some of them data URLs, as one: each below the one before."""
    from PIL import Image

    files = [urlopen(each) if isinstance(each, str) else io.BytesIO(each) for each in pictures]
    return Image.fromarray(np.vstack([np.asarray(Image.open(f).convert("RGB")) for f in files]))


def _values(slider: Slider, variables: Mapping[str, Any]) -> list[Any]:
    """The slider's stops; a walk ends with its path."""
    values = list(slider.values)
    if slider.name == "visit":
        values = [value for value in values if value <= len(variables["path"])]
    return values


def _slider(folder: Path, number: int) -> str:
    """The frames of one slider, as HTML for browsers without a network."""
    path = folder / f"{number}.json"
    if not path.exists():
        return ""
    about = json.loads(path.read_text(encoding="utf-8"))
    about["files"] = [f"../frames/{folder.name}/{file}" for file in about["files"]]
    start, count = about["start"], len(about["files"])
    label, data = html.escape(about["label"]), html.escape(json.dumps(about))
    return f"""
```{{raw}} html
<figure class="frames" data-frames="{data}">
<label>{label}: <output>{about["values"][start]}</output>
<input type="range" min="0" max="{count - 1}" value="{start}"></label>
<img src="{about["files"][start]}" alt="the figure of the live page">
<figcaption>{count} states, drawn beforehand; the live page has every one.</figcaption>
</figure>
```
"""


def _text(path: Path, frames: str) -> str:
    """The page's own words in MyST, its figure replaced by `frames`."""
    parts = []
    for cell in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(cell, ast.FunctionDef):
            continue
        if _draws(cell):
            parts.append(frames)
        for statement in cell.body:
            match statement:
                case ast.Expr(ast.Call(ast.Attribute(attr="md"), [ast.Constant(str(text))])):
                    parts.append(cleandoc(text))
    text = "\n\n".join(parts)
    text = re.sub(
        r"^/// admonition \| (.*?)\n(.*?)\n///$", r"```{admonition} \1\n\2\n```", text,
        flags=re.MULTILINE | re.DOTALL,
    )  # fmt: skip
    text = re.sub("^###", "##", text, flags=re.MULTILINE)
    live = (
        f"Live, in a clone: `make lecture`, or this page alone:\n\n"
        f"    marimo run docs/lecture/{path.name}\n\n"
        f"{{download}}`Source <../lecture/{path.name}>`: a program of 130 to 250 lines.\n"
    )
    return f"{text}\n\n## The live page\n\n{live}"


def load(path: Path) -> Any:
    """The page as a module, its cell with the number and the figure called `draw`."""
    module = types.ModuleType(f"lecture_{path.stem}")
    module.__file__ = str(path)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for cell in tree.body:
        if isinstance(cell, ast.FunctionDef) and _draws(cell):
            cell.name = "draw"
    sys.modules[module.__name__] = module
    exec(compile(tree, str(path), "exec"), module.__dict__)
    return module


def _draws(cell: ast.FunctionDef) -> bool:
    """Whether this is the cell that shows the page's number, `mo.stat`."""
    return any(isinstance(node, ast.Attribute) and node.attr == "stat" for node in ast.walk(cell))


def _title(text: str) -> str:
    return text.split("\n", 1)[0].lstrip("# ")


def _doc(path: Path) -> str:
    """What the page says of itself, without its name."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return doc.partition(": ")[2] or doc


def _newer(pictures: Path, path: Path) -> bool:
    """Whether the pictures are there, and younger than all that they are drawn by."""
    made = [file.stat().st_mtime for file in pictures.glob("*.json")]
    root = Path(__file__).parents[1]
    code = [path, Path(__file__), *root.glob("mg*/**/*.py"), *root.glob("examples/*.py")]
    return bool(made) and min(made) > max(file.stat().st_mtime for file in code)


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, Any]:
    """Connect with Sphinx."""
    app.connect("builder-inited", write_pages)
    app.add_js_file("frames.js", loading_method="defer")
    app.add_css_file("frames.css")
    return {"parallel_read_safe": True}
