"""The tables of what to expect, on the lecture's live pages: every number is what a page shows."""

import importlib.util
import re
from functools import cache
from pathlib import Path

import matplotlib as mpl
import pytest

import mgcore
import mgnet
from mgcore.canvas import Canvas
from mgnet import frequency

marimo = pytest.importorskip(
    "marimo", reason="the pages need marimo: pip install 'mgcore[lecture]'"
)

mpl.use("Agg")
pytestmark = pytest.mark.usefixtures("own_settings_of_figures")
DOCS = Path(__file__).parents[2] / "docs"


@cache
def frames():
    """What makes the site's frames, which runs a page's cell alone."""
    spec = importlib.util.spec_from_file_location("frames", DOCS / "frames.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def opened(name):
    """A page, and the variables that all cells have made."""
    page = frames().load(DOCS / "lecture" / f"{name}.py")
    _, variables = page.app.run()
    return page, variables


@pytest.fixture
def shown(monkeypatch):
    """Draw a page with its controls at some values; what its number and its figure then say."""
    said = []
    stat, image, clear = marimo.stat, marimo.image, Canvas.clear

    def heard(value, label=None, caption=None, **options):
        said.append(f"{value}; {label}; {caption}")
        return stat(value, label=label, caption=caption, **options)

    def described(picture, alt, **options):
        said.append(alt)
        return image(picture, alt=alt, **options)

    figures = []

    def cleared(canvas):
        figures.append(clear(canvas))
        return figures[-1]

    monkeypatch.setattr(marimo, "stat", heard)
    monkeypatch.setattr(marimo, "image", described)
    monkeypatch.setattr(Canvas, "clear", cleared)

    def draw(name, controls):
        page, variables = opened(name)
        known = frames().moved(page, variables, controls)
        said.clear()
        figures.clear()
        page.draw.run(**{ref: known[ref] for ref in page.draw.refs if ref in known})
        titles = [axes.get_title() for figure in figures[-1:] for axes in figure.axes]
        return "; ".join([*said, *titles])

    return draw


def plain(text):
    """Text with numbers as Python writes them."""
    text = text.replace("−", "-").replace("$", "").replace("\\%", "%").replace(" %", "%")
    return re.sub(r"(?<![\d.])\.(?=\d)", "0.", text)


def numbers(text):
    return [float(found) for found in re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?", plain(text))]


def says(text, number):
    """Whether a text has a number that is `number`, as it is rounded there."""
    number = plain(number)
    digits = len(number.partition(".")[2])
    return any(abs(x - float(number)) <= 0.501 * 10.0**-digits for x in numbers(text))


def relu(degree, axes):
    return {"degree": degree, "axes": axes}


def waves(support, step, count=64):
    return {"support": support, "step": step, "count": count}


def weak(exponent, degrees=0, remedy="points, both axes"):
    return {"exponent": exponent, "degrees": degrees, "remedy": remedy}


STRONG, LINES = "points, the strong axis first", "lines, both axes"


def drained(load, distance, s):
    return {"load": load, "distance": distance, "s": s}


def by_hand(centre, edge, corner):
    return {"centre": centre, "edge": edge, "corner": corner}


#: Of each page: where its controls are, and the numbers that its table gives for that.
STATES = {
    "01_separation": [
        ({"penalty": 1.0, "stray": 0.5}, ["19.19", "2.0"]),
        ({"penalty": 1e-4, "stray": 0.5}, ["5.94"]),
        ({"penalty": 1e-16, "stray": 0.5}, ["1.04", "117.8"]),
        ({"penalty": 1e-4, "stray": 1.0}, ["3.8"]),
        ({"penalty": 1e-16, "stray": 1.0}, ["3.8"]),
        *(
            ({"penalty": penalty, "stray": 0.0, "kind": "disc and ring", "lifted": True}, [angle])
            for penalty, angle in ((1.0, "1.29"), (1e-3, "3.21"), (1e-16, "1.21"))
        ),
    ],
    "02_functions": [
        (relu(1, 1), ["-2.05", "-2"]),
        (relu(1, 1) | {"neurons": 8}, ["0.0306"]),
        (relu(1, 1) | {"neurons": 32}, ["0.0017"]),
        (relu(2, 1), ["-3.21", "-3"]),
        (relu(3, 1), ["-4.5", "-4"]),  # the next digit is rounding: processors differ
        (relu(1, 2), ["-1.27", "-1.25"]),
        ({**relu(3, 1), "sigma": "t^k"}, ["0.223", "4"]),
        ({**relu(3, 2), "sigma": "t^k"}, ["0.727", "10"]),
    ],
    "03_features": [
        ({"level": level, "name": name, "width": 1}, [left])
        for name, row in (
            ("temple", ["0.0", "18.7", "25.0", "30.2"]),
            ("flower", ["0.0", "15.2", "24.5", "33.5"]),
        )
        for level, left in enumerate(row, 1)
    ]
    + [
        ({"level": 1, "name": "temple", "width": width}, [mean])
        for width, mean in ((1, "0.0104"), (2, "0.0032"))
    ],
    "04_iteration": [
        ({"omega": 0.8, "sweeps": 1, "k": 24}, [".600", ".366"]),
        ({"omega": 1.0, "sweeps": 1, "k": 31}, [".995"]),
        ({"omega": 1.0, "kind": "red-black Gauss-Seidel"}, [".250"]),
        ({"omega": 1.0, "kind": "lexicographic Gauss-Seidel"}, [".500"]),
        *(
            ({"omega": 1.0, "sweeps": 10, "k": 1, "kind": f"{kind} Gauss-Seidel"}, [".91"])
            for kind in ("red-black", "lexicographic")
        ),
    ],
    "05_cycles": [
        ({"grids": 5, "kind": "V", "visit": 1}, [".904"]),
        ({"grids": 5, "kind": "V", "visit": 9}, [".098"]),
        ({"grids": 6, "kind": "W"}, [".074"]),
        ({"grids": 6, "kind": "V"}, [".120"]),
    ],
    "06_anisotropy": [
        (weak(0), [".0073", ".250", ".062"]),
        (weak(-1), [".083", ".826", ".674"]),
        (weak(-1, 0, STRONG), [".014", ".125", ".083"]),
        (weak(-1, 0, LINES), [".0033", ".125", ".078"]),
        (weak(-3), [".34", ".986"]),
        (weak(-3, 0, LINES), [".000012", ".025"]),
        (weak(-2, 15), [".855"]),
        (weak(-2, 15, STRONG), [".654"]),
        (weak(-2, 15, LINES), [".466", ".369"]),
        (weak(-2, 45), [".810"]),
        (weak(-2, 45, STRONG), [".948"]),
        (weak(-2, 45, LINES), [".780", ".471"]),
        (weak(-2, 0, LINES), [".052"]),
        (weak(-1) | {"sides": "periodic"}, [".673"]),
        (weak(-1, 0, STRONG) | {"sides": "periodic"}, [".084"]),
        (weak(-3, 0, STRONG) | {"sides": "periodic"}, [".545"]),
    ],
    "07_constraints": [
        (drained(0, 0.4, 6), ["7"]),
        (drained(60, 0.4, 6), ["68.1", "25"]),
        (drained(60, 0.4, 7), ["67.9"]),
        (drained(30, 0.4, 6), ["28"]),
    ],
    "08_mgnet": [
        ({"level": 1}, ["3.3", "30", "5.1"]),
        ({"level": 2}, ["3.7", "7.2"]),
        ({"level": 3}, ["4.8", "3.4"]),
        ({"level": 1, "pixels": 32}, ["6.2"]),
        ({"level": 1, "pixels": 128}, ["4.3"]),
    ],
    "09_hat": [
        (waves(128, 1000), ["94.2", "6.0"]),
        (waves(128, 10**5), ["71.7"]),
        (waves(128, 10**6), ["5.8"]),
        (waves(1, 3), ["0.1", "4"]),
    ],
    "10_trained": [
        (by_hand(0.2, 0.0, 0.0), [".362", ".600", ".103", ".044", ".307", ".240"]),
        (by_hand(0.3, 0.075, 0.025), [".114", ".200"]),
        (by_hand(0.325, 0.0875, 0.0375), [".110", ".302"]),
    ],
}


def sweeps_alone(page):
    """What so many sweeps leave of the residual, without coarser grids."""
    residuals = page["solved"](6, 30, 0.4)[2].residuals
    return residuals[-1] / residuals[0]


def growth(page, support):
    """Of the condition number, with twice as many neurons."""
    few, many = (frequency.neurons(page["x"], n, support) for n in (64, 128))
    return frequency.condition_number(many) / frequency.condition_number(few)


def trained_below(page):
    """What the kernel leaves that is trained from .2, 0, 0 as the page does it."""
    kernel = mgnet.SymmetricKernel([0.2, 0.0, 0.0])
    small = mgnet.poisson_levels((17, 17), smoother=kernel, coarsest=1)
    mgnet.train_smoother(small, steps=200, lr=0.004, progress=False)
    return mgcore.asymptotic_factor(*page["solver"](kernel.record()))


#: Numbers of a table for which no control stands, and what a page has for them.
OTHERS = {
    "05_cycles": [(".074", lambda page: page["predicted"][0])],
    "07_constraints": [(".4", sweeps_alone)],
    "09_hat": [("17", lambda page: growth(page, 128)), ("1", lambda page: growth(page, 1))],
    "10_trained": [
        (".120", lambda page: page["factors"]["red-black"]),
        (".250", lambda page: page["seen"]("redblack")[1]),
        (".12", trained_below),
    ],
}


def expected(name):
    """The right column of a page's table."""
    text = (DOCS / "lecture" / f"{name}.py").read_text(encoding="utf-8")
    table = re.search(r"\| at these settings \| expect \|\n.*\n((?: *\|.*\n)+)", text)[1]
    return "\n".join(row.replace("\\|", "").split("|")[2] for row in table.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("name", STATES)
def test_a_table_has_the_numbers_that_its_page_shows(name, shown):
    column = expected(name)
    for controls, found in STATES[name]:
        said = shown(name, controls)
        for number in found:
            assert says(column, number), f"{number} is not in the table"
            assert says(said, number), f"{controls}: {number} is expected, the page has {said}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "number", "value"),
    [(name, *row) for name, rows in OTHERS.items() for row in rows],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_table_has_what_its_page_works_out(name, number, value):
    assert says(f"{value(opened(name)[1]):.9f}", number)


@pytest.mark.parametrize("name", STATES)
def test_no_number_of_a_table_is_left_out(name):
    """Those with a decimal point, which somebody has measured."""
    tested = {number for _, found in STATES[name] for number in found}
    tested |= {number for number, _ in OTHERS.get(name, [])}
    measured = re.findall(r"-?\d+\.\d+", plain(expected(name)))
    assert sorted(set(measured) - {plain(number) for number in tested}) == []


def test_every_page_has_a_table():
    pages = (page.stem for page in (DOCS / "lecture").glob("[0-9][0-9]_*.py"))
    assert sorted(STATES) == sorted(pages)
