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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
    others : mapping, optional
        Values of other controls that are to differ from how the page opens.
    """

    name: str
    values: Sequence[Any]
    label: str
    others: Mapping[str, Any] = {}


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
        Slider("neurons", NEURONS, "neurons, k = 3", {"degree": 3}),
    ],
    "03_features": [
        Slider("width", steps(0, 4, 0.5), "width of the Gaussian"),
        Slider("width", steps(0, 4, 0.5), "width of the Gaussian, on V₃", {"level": 3}),
        Slider("level", range(1, 5), "level of V"),
    ],
    "04_iteration": [
        Slider("sweeps", range(11), "sweeps"),
        Slider("omega", steps(0.1, 1.9, 0.1), "ω"),
    ],
    "05_cycles": [
        Slider("visit", range(10), "visits of a V cycle"),
        Slider("visit", [*range(0, 33, 2), 33], "visits of full multigrid",
               {"kind": "full multigrid"}),
    ],
    "06_anisotropy": [
        Slider("exponent", steps(-3, 0, 0.5), "log₁₀ ε, points, both axes halved"),
        Slider("exponent", steps(-3, 0, 0.5), "log₁₀ ε, points, the strong axis halved first",
               {"remedy": "points, the strong axis first"}),
        Slider("exponent", steps(-3, 0, 0.5), "log₁₀ ε, lines, both axes halved",
               {"remedy": "lines, both axes"}),
        Slider("degrees", range(0, 91, 15), "angle in degrees"),
    ],
    "07_constraints": [
        Slider("load", range(0, 101, 5), "drain"),
        Slider("distance", steps(0, 0.8, 0.1), "distance of the springs"),
    ],
    "08_mgnet": [
        Slider("level", range(1, 4), "kernels of level"),
        Slider("place", steps(0, 1, 0.1), "cut out at"),
        Slider("place", steps(0, 1, 0.1), "cut out at, 32 pixels a side", {"pixels": 32}),
    ],
    "09_hat": [
        Slider("support", [128, 64, 32, 16, 8, 4, 2, 1], "support M"),
        Slider("step", [0, *(10**p for p in range(7))], "steps of training, M = 128"),
        Slider("step", [1, 2, 3, 5, 10, 30], "steps of training, M = 1",
               {"support": 1}),
    ],
    "10_trained": [
        Slider("centre", steps(0.1, 0.45, 0.05), "centre"),
        Slider("edge", steps(-0.05, 0.15, 0.025), "edge, the others near the trained ones",
               {"centre": 0.325, "corner": 0.0375}),
        Slider("corner", steps(-0.05, 0.1, 0.025), "corner, the others near the trained ones",
               {"centre": 0.325, "edge": 0.0875}),
    ],
}  # fmt: skip


def write_pages(app: Any) -> None:
    """A page of the site for each live page, and the frames, if HTML is made."""
    source, folder = Path(app.srcdir, "lecture"), Path(app.srcdir, "live")
    folder.mkdir(exist_ok=True)
    names = sorted(path.stem for path in source.glob("[0-9]*.py"))
    for name in names:
        path = source / f"{name}.py"
        sliders = FRAMES.get(name, [])
        pictures = Path(app.outdir, "frames", name)
        if app.builder.format == "html" and sliders and not _newer(pictures, path):
            _draw(path, sliders, pictures)
        _write(folder / f"{name}.md", _text(path, len(sliders), pictures))
    for path in folder.glob("*.md"):
        if path.stem not in names:
            path.unlink()  # of a page that is gone


def point_to_pages(app: Any, name: str, source: list[str]) -> None:
    """Where sources are read, the list of live pages names their files; here, the site's pages."""
    if name == "lecture":
        source[0] = source[0].replace("](lecture/", "](live/").replace(".py)", ".md)")


@contextmanager
def heard() -> Iterator[dict[str, list[Any]]]:
    """What cells hand to marimo's image, stat and plain_text meanwhile."""
    import marimo

    said: dict[str, list[Any]] = {"image": [], "stat": [], "plain_text": []}
    kept = {name: getattr(marimo, name) for name in said}

    def listen(name: str) -> Callable[..., Any]:
        def call(first: Any, **options: Any) -> Any:
            said[name].append((first, options))
            return kept[name](first, **options)

        return call

    for name in said:
        setattr(marimo, name, listen(name))
    try:
        yield said
    finally:
        for name, function in kept.items():
            setattr(marimo, name, function)


def _draw(path: Path, sliders: Sequence[Slider], folder: Path) -> None:
    """Run the page, then cells that draw, and keep pictures, numbers and text."""
    import matplotlib as mpl

    page = load(path)
    with mpl.rc_context(), heard() as said:
        _, variables = page.app.run()

        def shows(cell: Any, known: Mapping[str, Any]) -> None:
            """Run a cell alone, and hear what it shows."""
            for what in said.values():
                what.clear()
            cell.run(**{name: known[name] for name in cell.refs if name in known})

        folder.mkdir(parents=True, exist_ok=True)
        for number in _still(ast.parse(path.read_text(encoding="utf-8"))):
            shows(page.cells[number], variables)
            if said["image"]:
                stacked([picture for picture, _ in said["image"]]).save(
                    folder / f"cell-{number}.webp", quality=85
                )
            texts = [text for text, _ in said["plain_text"]]
            (folder / f"cell-{number}.txt").write_text(json.dumps(texts), encoding="utf-8")
        for k, slider in enumerate(sliders):
            files, numbers = [], []
            values = _values(slider, moved(page, variables, slider.others))
            for number, value in enumerate(values):
                shows(page.draw, moved(page, variables, {**slider.others, slider.name: value}))
                files.append(f"{k}-{number}.webp")
                stacked([picture for picture, _ in said["image"]]).save(
                    folder / files[-1], quality=85
                )
                ((stat, about),) = said["stat"]
                numbers.append([stat, about["label"], about["caption"]])
            first = getattr(variables[slider.name], "value", values[0])
            if not min(values) <= first <= max(values):
                first = values[0]
            about = {
                "label": slider.label,
                "values": [f"{value:g}" for value in values],
                "files": files,
                "numbers": numbers,
                "start": int(np.argmin([abs(value - first) for value in values])),
            }
            (folder / f"{k}.json").write_text(json.dumps(about), encoding="utf-8")


def moved(page: Any, variables: Mapping[str, Any], controls: Mapping[str, Any]) -> dict[str, Any]:
    """The page's variables with controls at other values, and all that cells make of them."""
    known, changed = dict(variables), set(controls)
    for name, value in controls.items():
        options = getattr(variables[name], "options", {})
        known[name] = At(options.get(value, value) if isinstance(value, str) else value)
    for cell in page.cells:
        if cell is not page.draw and changed & set(cell.refs) and cell.defs:
            _, made = cell.run(**{name: known[name] for name in cell.refs if name in known})
            made = {name: value for name, value in made.items() if name not in controls}
            known |= made
            changed |= set(made)
    return known


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


def _slider(folder: Path, number: int, shown: str) -> str:
    """The frames of one slider and what they show, as HTML for browsers without a network."""
    path = folder / f"{number}.json"
    if not path.exists():
        return ""
    about = json.loads(path.read_text(encoding="utf-8"))
    about["files"] = [f"../frames/{folder.name}/{file}" for file in about["files"]]
    start, count = about["start"], len(about["files"])
    label, data = html.escape(about["label"]), html.escape(json.dumps(about))
    stat, words, caption = map(html.escape, about["numbers"][start])
    return f"""
```{{raw}} html
<figure class="frames" data-frames="{data}">
<label>{label}: <output>{about["values"][start]}</output>
<input type="range" min="0" max="{count - 1}" value="{start}"></label>
<p class="number"><strong>{stat}</strong> <span>{words}</span><br><small>{caption}</small></p>
<img src="{about["files"][start]}" alt="{shown}">
<figcaption>{count} coarse steps, drawn beforehand. On the live page all controls move.</figcaption>
</figure>
```
"""


def _cells(tree: ast.Module) -> list[ast.FunctionDef]:
    """The cells of a page."""
    return [cell for cell in tree.body if isinstance(cell, ast.FunctionDef)]


def _calls(cell: ast.FunctionDef, *names: str) -> bool:
    """Whether a cell has one of marimo's functions in it."""
    return any(isinstance(node, ast.Attribute) and node.attr in names for node in ast.walk(cell))


def _still(tree: ast.Module) -> list[int]:
    """The cells that show a picture or a text, no number, and do not wait for a button."""
    return [
        number for number, cell in enumerate(_cells(tree))
        if _calls(cell, "image", "plain_text") and not _calls(cell, "stat", "stop")
    ]  # fmt: skip


def _beside(number: int, cell: ast.FunctionDef, folder: Path) -> list[str]:
    """What a cell without a number shows: its picture, its texts, that it has a button."""
    found = []
    if (folder / f"cell-{number}.webp").exists():
        name = f"../frames/{folder.name}/cell-{number}.webp"
        image = f'<img src="{name}" alt="{_said_of(cell)}">'
        found.append(f'```{{raw}} html\n<figure class="frames">{image}</figure>\n```')
    texts = folder / f"cell-{number}.txt"
    said = json.loads(texts.read_text(encoding="utf-8")) if texts.exists() else []
    words = [
        call.args[0].value for call in ast.walk(cell)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
        and call.func.attr == "md" and isinstance(call.args[0], ast.Constant)
    ]  # fmt: skip
    for text, shown in zip(words, said, strict=False):
        found += [text, f"```text\n{shown}\n```"]
    for call in ast.walk(cell):
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "run_button":
            (label,) = (k.value.value for k in call.keywords if k.arg == "label")
            found.append(f"*On the live page, a button: {label}.*")
    return found


def _said_of(cell: ast.FunctionDef) -> str:
    """What a cell's pictures show, in words."""
    words = [
        keyword.value.value for call in ast.walk(cell) if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg == "alt" and isinstance(keyword.value, ast.Constant)
    ]  # fmt: skip
    return html.escape("; ".join(words))


def _text(path: Path, sliders: int, folder: Path) -> str:
    """The page's own words in MyST, its figure replaced by the frames of its sliders."""
    source = path.read_text(encoding="utf-8")
    tree, parts = ast.parse(source), []
    for number, cell in enumerate(_cells(tree)):
        if _draws(cell):
            parts += [_slider(folder, k, _said_of(cell)) for k in range(sliders)]
        if number in _still(tree) or _calls(cell, "run_button"):
            parts += _beside(number, cell, folder)
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
        f"    .venv/bin/marimo run docs/lecture/{path.name}\n\n"
        f"{{download}}`Source <../lecture/{path.name}>`: a program of "
        f"{len(source.splitlines())} lines.\n"
    )
    return f"{text}\n\n## The live page\n\n{live}"


def load(path: Path) -> Any:
    """The page as a module, its cells named, that with the number and the figure `draw`."""
    module = types.ModuleType(f"lecture_{path.stem}")
    module.__file__ = str(path)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for number, cell in enumerate(_cells(tree)):
        cell.name = "draw" if _draws(cell) else f"cell_{number}"
    sys.modules[module.__name__] = module
    exec(compile(tree, str(path), "exec"), module.__dict__)
    module.cells = [getattr(module, cell.name) for cell in _cells(tree)]
    return module


def _draws(cell: ast.FunctionDef) -> bool:
    """Whether this is the cell that shows the page's number, `mo.stat`."""
    return _calls(cell, "stat")


def _newer(pictures: Path, path: Path) -> bool:
    """Whether the pictures are there, and younger than all that they are drawn by."""
    made = [file.stat().st_mtime for file in pictures.glob("*.json")]
    root = Path(__file__).parents[1]
    kinds = ("mg*/**/*.py", "mgnet/weights/*", "examples/*.py", "docs/*.png")
    code = [path, Path(__file__), *(file for kind in kinds for file in root.glob(kind))]
    return bool(made) and min(made) > max(file.stat().st_mtime for file in code)


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, Any]:
    """Connect with Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", point_to_pages)
    app.add_js_file("frames.js", loading_method="defer")
    app.add_css_file("frames.css")
    return {"parallel_read_safe": True}
