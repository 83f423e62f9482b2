"""``python -m mgcore``: model problems on the command line."""

import re
import subprocess
import sys
from importlib import metadata, resources
from pathlib import Path

import numpy as np
import pytest
from helpers import several
from PIL import Image

import mgcore
from mgcore.__main__ import main
from mgcore.problems import PROBLEMS

ROOT = Path(__file__).parents[2]


def run(capsys, *arguments):
    main([*map(str, arguments)])
    return capsys.readouterr().out


@pytest.mark.parametrize("dtype", ["float64", "float32", "mixed"])
@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_what_is_printed_is_the_solve(capsys, problem, dim, dtype):
    n = {1: 257, 2: 65, 3: 33}[dim]
    out = run(capsys, problem, "--dim", dim, "--size", n, "--dtype", dtype, "--cycle", "f",
              "--smoother", "redblack", "--rtol", 1e-5)  # fmt: skip
    shape = (n,) * dim
    exact, g = PROBLEMS[problem](mgcore.Grid(shape).coordinates())
    solution = mgcore.solve_poisson(
        g, boundary=0.0 if exact is None else exact, precision=dtype, cycle="f",
        smoother="redblack", rtol=1e-5,
    )  # fmt: skip
    levels = mgcore.poisson_levels(
        shape, smoother="redblack", dtype="float64" if dtype == "float64" else "float32"
    )
    assert str(several(levels)) in out
    assert str(mgcore.f_cycle(len(levels))) in out
    table = out.split("factor\n")[1].splitlines()
    assert float(table[0].split()[1]) == pytest.approx(solution.residuals[0], rel=1e-5)
    assert len(table[: table.index("")]) == solution.nit + 1
    assert solution.summary in out
    if exact is None:
        assert "differential equation" not in out
    else:
        error = float(out.split("differential equation ")[1])
        assert error == pytest.approx(abs(solution.u - exact).max(), rel=0.01)
        assert error < 0.01  # 33 nodes a side or more


@pytest.mark.parametrize("problem", ["sines", "exponential"])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_known_solutions_are_solutions(problem, dim):
    # -Laplace u by second differences of step 1/256 differs by h^2/12 of the fourth derivatives.
    h = 1 / 256
    x = [np.array([0.4 - h, 0.4, 0.4 + h]).reshape(-1, *[1] * (dim - k - 1)) for k in range(dim)]
    u, g = PROBLEMS[problem](x)
    level = mgcore.poisson_levels((3,) * dim, extent=2 * h)[0]
    assert level.misfit(g, u) < 1e-3 * abs(g).max()


def test_a_figure(capsys, tmp_path):
    path = tmp_path / "sines.png"
    assert str(path) in run(capsys, "--size", 9, "--plot", path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("suffix", "kind"), [("gif", "GIF"), ("png", "PNG")])
def test_an_animation_has_a_picture_for_each_visit(capsys, tmp_path, suffix, kind):
    path = tmp_path / f"cycles.{suffix}"
    out = run(capsys, "noise", "--size", 65, "--cycle", "v", "--guess", "noise", "--rtol", 1e-4,
              "--animate", path)  # fmt: skip
    assert str(path) in out
    cycles = len(out.split("factor\n")[1].split("\n\n")[0].splitlines()) - 1
    cycles = min(cycles, 3)
    assert cycles > 1
    with Image.open(path) as picture:
        assert picture.format == kind
        assert picture.n_frames == 1 + cycles * len(mgcore.v_cycle(6))


def test_the_front_page_shows_what_its_command_draws(capsys, tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    command = re.search(r"`python -m mgcore (noise .*) --animate cycle.gif`", text)[1]
    run(capsys, *command.split(), "--animate", tmp_path / "cycle.gif")
    pictures = [Image.open(path) for path in (tmp_path / "cycle.gif", ROOT / "docs" / "cycle.gif")]
    assert [picture.n_frames for picture in pictures] == [1 + 3 * len(mgcore.v_cycle(5))] * 2
    for number in range(0, pictures[0].n_frames, 9):
        for picture in pictures:
            picture.seek(number)
        drawn, shown = (np.asarray(picture.convert("RGB"), float) for picture in pictures)
        assert abs(drawn - shown).mean() < 4  # of 255: fonts differ


def test_the_first_guess_is_what_was_asked_for(capsys):
    out = run(capsys, "exponential", "--size", 9, "--guess", "noise")
    u, g = PROBLEMS["exponential"](mgcore.Grid((9, 9)).coordinates())
    rough = np.random.default_rng(0).standard_normal(g.shape)
    solution = mgcore.solve_poisson(g, boundary=u, u0=rough)
    assert f"    0  {solution.residuals[0]:.5e}\n" in out


def test_windows_are_shown_where_they_can_be(capsys, monkeypatch):
    import matplotlib.pyplot as plt

    shown = []

    def show():
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()
            shown.append(number)

    monkeypatch.setattr(plt, "get_backend", lambda: "QtAgg")
    monkeypatch.setattr(plt, "show", show)
    run(capsys, "--size", 5, "--show")
    assert len(shown) == 2  # the picture and the animation
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "2"], "3 nodes or more"),
        (["--size", "65", "--maxiter", "1"], "increase maxiter"),
        (["--rtol", "-1"], "rtol must be a number, zero or more"),
        (["--threads", "0"], "threads must be a whole number"),
        (["--size", "9", "--plot", "no/such/folder/x.png"], "No such file"),
        (["--size", "3", "--animate", "no/such/folder/x.gif"], "No such file"),
        (["--size", "3", "--animate", "x.mp3"], "unknown file extension"),
        (["--size", "9", "--show"], "no window can be opened here"),
        (["cosines"], "invalid choice: 'cosines'"),
        (["--size", "x"], "invalid int value: 'x'"),
    ],
)
def test_errors_are_one_line(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    said = caught.value.code if isinstance(caught.value.code, str) else capsys.readouterr().err
    assert said.startswith("mgcore: ")
    assert message in said
    assert "\n" not in said.rstrip()


def test_it_is_a_module_with_a_version():
    command = [sys.executable, "-m", "mgcore"]
    result = subprocess.run(
        [*command, "--version"], capture_output=True, text=True, check=True, timeout=120
    )
    assert result.stdout == f"mgcore {metadata.version('mgcore')}\n"
    assert mgcore.__version__ == metadata.version("mgcore")


@pytest.mark.parametrize("package", ["mgcore", "mgnet"])
def test_types_are_for_users_too(package):
    assert resources.files(package).joinpath("py.typed").is_file()
